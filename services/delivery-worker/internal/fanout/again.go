package fanout

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// resume delivers what the ledger does not know of yet.
func (f *Fanout) resume(ctx context.Context, t taken, hooks []*webhook.Hook) {
	recorded, ok := f.certain(ctx, t, deliveryKeys(t.event, hooks))
	if !ok {
		f.finish(t, false)
		return
	}
	f.deliver(t, dues(t, hooks, recorded))
}

// certain asks the ledger for as long as it takes, since what it has must not be sent again; false means that the
// event has to be handed back.
func (f *Fanout) certain(ctx context.Context, t taken, keys []store.DeliveryKey) (recorded map[uuid.UUID]store.Recorded, ok bool) {
	ok = f.insist(ctx, t.msg, func() (err error) { recorded, err = f.History.Certain(ctx, keys); return err })
	return recorded, ok
}

// insist asks until there is an answer; false means that the event has to be handed back: the worker is ending, or out of
// room, or has asked for so long that another one may do better, and ordered hooks wait for the event.
func (f *Fanout) insist(ctx context.Context, m *bus.Message, ask func() error) bool {
	for began := time.Now(); ; {
		err := ask()
		if err == nil {
			return true
		}
		f.Log.Warn("redelivered event waits for the ledger", zap.Uint64("seq", m.Seq), zap.Error(err))
		select {
		case <-ctx.Done():
			return false
		case <-time.After(askAgain):
		}
		if m.Crowds() || m.Deliveries <= poisonAfter && time.Since(began) > askFor { // what waits takes the room of events that could go on
			return false
		}
	}
}

// suspect handles an event that has come often. Its workers may have died of it, or of anything else while it waited for
// a ledger that could not be asked, as all do that come again. So it has one more try, when the ledger answers and with a
// note of it before: whoever gets it after that knows what it does.
func (f *Fanout) suspect(ctx context.Context, m *bus.Message) {
	var lease store.Lease
	var ours bool
	ok := f.insist(ctx, m, func() (err error) {
		if err = f.History.CatchUp(ctx); err == nil {
			lease, ours, err = f.Tries.AcquireLease(ctx, tryName(m), f.Worker, tryTime)
		}
		return err
	})
	switch {
	case !ok || !ours:
		f.handBack(m)
	case lease.Fence > 1:
		// what was begun of it must not be found by the sweep, and tried again; it is not read to see what that may be
		if !f.insist(ctx, m, func() error { return f.Seen.GiveUp(ctx, m.Place(), m.PublishedAt) }) {
			f.handBack(m)
			return
		}
		tenant, _ := m.Names()
		f.reject(m, tenant, envelope.Poison, "it was handed to workers too often without being settled")
	default:
		f.handle(ctx, []*bus.Message{m})
	}
}

// tryName is the lease of an event's last try; the time tells streams apart that count from 1 again.
func tryName(m *bus.Message) string {
	return fmt.Sprintf("try:%d:%d", m.Place(), m.PublishedAt.UnixNano())
}
