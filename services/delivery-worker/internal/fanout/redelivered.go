package fanout

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// resume delivers what the ledger does not know of yet. It asks that for as long as it takes, since what it has must not be
// sent again.
func (f *Fanout) resume(ctx context.Context, t taken) {
	var recorded map[uuid.UUID]store.Recorded
	keys := deliveryKeys(t)
	ok := f.retryUntilStopped(ctx, t.msg, func() (err error) { recorded, err = f.History.Certain(ctx, keys); return err })
	if !ok {
		f.finish(t, errNotSettled)
		return
	}
	f.deliver(t, dues(t, recorded))
}

// retryUntilStopped asks until there is an answer; false means that the event has to be handed back: the worker is ending, or
// out of room, or has asked for so long that another one may do better, and ordered hooks wait for the event.
func (f *Fanout) retryUntilStopped(ctx context.Context, m *bus.Message, ask func() error) bool {
	for began := time.Now(); ; {
		err := ask()
		if err == nil {
			return true
		}
		f.Log.Warn("redelivered event waits for the ledger", zap.Uint64("seq", m.Seq), zap.Error(err))
		if !daemon.Sleep(ctx, askAgain) || m.Crowds() || // what waits takes the room of events that could go on
			m.Deliveries <= poisonAfter && time.Since(began) > askFor {
			return false
		}
	}
}

// tryPoisonCandidate handles an event that has come often. Its workers may have died of it, or of anything else while it waited for
// a ledger that could not be asked, as all do that come again. So it has one more try, when the ledger answers and with a
// note of it before: whoever gets it after that knows what it does.
func (f *Fanout) tryPoisonCandidate(ctx context.Context, m *bus.Message) {
	var lease store.Lease
	var ours bool
	ok := f.retryUntilStopped(ctx, m, func() (err error) {
		if err = f.History.CatchUp(ctx); err == nil {
			lease, ours, err = f.Tries.AcquireLease(ctx, tryName(m), f.Worker, tryTime)
		}
		return err
	})
	switch {
	case !ok || !ours:
		m.Settle(errNotSettled)
	case lease.Fence > 1:
		// what was begun of it must not be found by the sweep, and tried again; it is not read to see what that may be
		if !f.retryUntilStopped(ctx, m, func() error { return f.Seen.GiveUp(ctx, m.Place(), m.PublishedAt) }) {
			m.Settle(errNotSettled)
			return
		}
		f.reject(m, m.Published().Tenant, envelope.Poison, "it was handed to workers too often without being settled")
	default:
		f.handle(ctx, []*bus.Message{m})
	}
}

// tryName is the lease of an event's last try; the time tells streams apart that count from 1 again.
func tryName(m *bus.Message) string {
	return fmt.Sprintf("try:%d:%d", m.Place(), m.PublishedAt.UnixNano())
}
