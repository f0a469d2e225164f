package fanout

import (
	"context"
	"fmt"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

// suspect handles an event that has come often. Its workers may have died of it, or of anything else while it waited for
// a ledger that could not be asked, as all do that come again. So it has one more try, when the ledger answers and with a
// note of it before: whoever gets it after that knows what it does.
func (f *Fanout) suspect(ctx context.Context, m *bus.Message) {
	var lease postgres.Lease
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
		tenant, _ := bus.SplitEventSubject(m.Subject)
		f.reject(m, tenant, envelope.Poison, "it was handed to workers too often without being settled")
	default:
		f.handle(ctx, []*bus.Message{m})
	}
}

// tryName is the lease of an event's last try; the time tells streams apart that count from 1 again.
func tryName(m *bus.Message) string { return fmt.Sprintf("try:%d:%d", m.Seq, m.PublishedAt.UnixNano()) }
