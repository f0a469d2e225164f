package fanout

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// resume continues events that other workers may have handled before: it makes the deliveries that the ledger does not have. It
// waits for the ledger's answer, because recorded deliveries must not be sent again. Interrupted deliveries to hooks that no
// longer match the event are parked, as retries would be.
func (f *Fanout) resume(ctx context.Context, events ...taken) {
	var keys []store.DeliveryKey
	published := make([]store.Published, len(events))
	for i, t := range events {
		keys = append(keys, deliveryKeys(t)...)
		published[i] = store.Published{EventKey: store.EventKey{Tenant: t.event.Tenant, ID: t.event.ID}, At: t.event.PublishedAt}
	}
	var recorded map[uuid.UUID]store.Recorded
	var interrupted []store.InterruptedDelivery
	ok := f.retryUntilStopped(ctx, events[0].msg, func() (err error) {
		if recorded, err = f.History.Certain(ctx, keys); err == nil {
			interrupted, err = f.History.Interrupted(ctx, published)
		}
		return err
	})
	for _, t := range events {
		if !ok {
			f.finish(t, errNotSettled)
			continue
		}
		f.deliver(t, dues(t, recorded), begun(t, interrupted))
	}
}

// begun returns an event's interrupted deliveries to hooks that no longer match the event.
func begun(t taken, interrupted []store.InterruptedDelivery) []webhook.Due {
	var list []webhook.Due
	for _, d := range interrupted {
		due := webhook.FirstDue(&webhook.Hook{ID: d.Hook}, t.event)
		goes := slices.ContainsFunc(t.hooks, func(h *webhook.Hook) bool { return h.ID == d.Hook })
		if due.ID != d.ID || !d.PublishedAt.Equal(t.event.PublishedAt) || goes {
			continue
		}
		due.Attempts, due.First = d.Attempts, false
		list = append(list, due)
	}
	return list
}

// retryUntilStopped calls ask until it succeeds. It returns false if the event has to be handed back: the worker is ending,
// waiting events take up too much room, or the worker has asked for askFor, and another worker may have more success. Ordered
// hooks wait for the event meanwhile.
func (f *Fanout) retryUntilStopped(ctx context.Context, m *bus.Message, ask func() error) bool {
	for began := time.Now(); ; {
		err := ask()
		if err == nil {
			return true
		}
		f.Log.Warn("redelivered event waits", trace.Message(m.Header), zap.Uint64("seq", m.Seq), zap.Error(err))
		if !daemon.Sleep(ctx, askAgain) || m.Crowds() || // waiting events take the room of events that could go on
			m.Deliveries <= poisonAfter && time.Since(began) > askFor {
			return false
		}
	}
}

// alone is the weight in Fanout.tried of an event that is tried alone. Other events have weight 1.
const alone = math.MaxInt32

var errOthersTried = errors.New("other events that came too often are tried first")

// tryPoisonCandidate handles an event that was delivered often. It may have crashed its workers, or they may have died of
// something else while the event waited for an unavailable ledger, as all redelivered events do. So the event gets two more
// tries once the ledger answers, and a lease notes each beforehand. The first try may run beside other candidates, any of which
// may crash the worker. The second runs without any. If both were noted and the event comes again, the event itself is to
// blame, and it is rejected.
func (f *Fanout) tryPoisonCandidate(ctx context.Context, m *bus.Message) {
	for _, weight := range []int64{1, alone} {
		first, err := f.noteTry(ctx, m, weight)
		switch {
		case err != nil:
			m.Settle(err)
			return
		case first:
			m.OnSettled(func() { f.tried.Release(weight) })
			f.handle(ctx, []*bus.Message{m})
			return
		}
		f.tried.Release(weight)
	}
	// Give the event up, so that the sweep does not find and retry deliveries that were begun. The message is not decoded for
	// this, because decoding it may be what crashes workers.
	if !f.retryUntilStopped(ctx, m, func() error { return f.Seen.GiveUp(ctx, m.Place(), m.PublishedAt) }) {
		m.Settle(errNotSettled)
		return
	}
	f.reject(m, nil, envelope.Poison, "it was handed to workers too often without being settled")
}

// noteTry waits until the event may be tried beside the other candidates, and then notes the try. first reports that this try
// was not noted before. The caller must release weight from f.tried, unless err is not nil: then the event goes back to the
// bus.
func (f *Fanout) noteTry(ctx context.Context, m *bus.Message, weight int64) (first bool, err error) {
	if !f.retryUntilStopped(ctx, m, func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, askFor, errOthersTried)
		defer cancel()
		if f.tried.Acquire(ctx, weight) != nil {
			return context.Cause(ctx)
		}
		return nil
	}) {
		return false, errNotSettled
	}
	var lease store.Lease
	var ours bool
	ok := f.retryUntilStopped(ctx, m, func() (err error) {
		if err = f.History.CatchUp(ctx); err == nil {
			lease, ours, err = f.Tries.Acquire(ctx, tryName(m, weight), f.Worker, tryTime)
		}
		return err
	})
	if !ok || !ours {
		f.tried.Release(weight)
		return false, errNotSettled
	}
	return lease.Fence == 1, nil
}

// tryName returns the name of the lease for one of an event's last tries. It contains the time of publication, because a stream
// that was re-created counts from 1 again.
func tryName(m *bus.Message, weight int64) string {
	name := "try"
	if weight == alone {
		name = "try alone"
	}
	return fmt.Sprintf("%s:%d:%d", name, m.Place(), m.PublishedAt.UnixNano())
}
