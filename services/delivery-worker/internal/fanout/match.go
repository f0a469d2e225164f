package fanout

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// match finds the hooks that an event goes to. If filters or expressions have to be evaluated, it gives the event to the
// evaluator and returns false.
func (f *Fanout) match(ctx context.Context, t taken) (taken, bool) {
	t.stale = f.Refresher.StaleAt()
	candidates := f.Hooks.Candidates(t.event)
	t.hooks = make([]*webhook.Hook, 0, len(candidates))
	for _, c := range candidates {
		if c.Filter == nil && !c.Config.Evaluates() {
			t.hooks = append(t.hooks, c.Hook)
		}
	}
	j := &job{taken: t, fanout: f, candidates: candidates}
	switch {
	case len(t.hooks) == len(candidates):
		return t, true
	case !t.again && t.msg.Deliveries > poisonAfter: // this is its last try, so it must not be handed back or postponed
		t.hooks, _ = f.Evaluator.match(t.event, candidates, f.Evaluator.filtered.FilterFailed)
		return t, true
	}
	if !f.enter() {
		f.finish(t, errNotSettled)
		return taken{}, false
	}
	if again, ok := f.Evaluator.submit(ctx, j); !ok {
		go func() {
			defer f.leave()
			f.putOff(ctx, t, again)
		}()
	}
	return taken{}, false
}

// putOff postpones an event by storing it in the RETRIES stream. There it holds up neither the events after it nor the trimming
// of the event log.
func (f *Fanout) putOff(ctx context.Context, t taken, at time.Time) {
	f.Evaluator.filtered.PutOff()
	err := f.Bus.Retries().PutOff(ctx, f.Bus.Time(at), t.event)
	if err != nil {
		f.Log.Warn("failed to postpone event, returned for redelivery", trace.Event(t.event), zap.Error(err))
	}
	f.finish(t, err)
}

// Again fans out an event that was postponed.
func (f *Fanout) Again(ctx context.Context, m *bus.Message, e *webhook.Event) {
	t := taken{msg: m, event: e, again: true}
	if !f.enter() {
		f.finish(t, errNotSettled)
		return
	}
	defer f.leave()
	if found, ok := f.match(ctx, t); ok {
		f.fanOutAll(ctx, []taken{found})
	}
}

// finish acknowledges an event that is settled, and returns others for redelivery. If the event was fanned out with a stale
// index, finish first waits until the ledger has stored that fact, because this worker may die before it learns of hooks that
// should have received the event.
func (f *Fanout) finish(t taken, err error) {
	if err != nil || t.stale == "" {
		t.msg.Settle(err)
		return
	}
	f.open.Add(1)
	f.Rejecter.Stale(&whispererv1.StaleFanout{Tenant: t.event.Tenant, Snapshot: t.stale, Since: t.event.PublishedAt.UnixNano()}, func() {
		t.msg.Settle(nil)
		f.open.Done()
	})
}
