package fanout

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// probeEvery is how often a ledger is asked that could not be asked, and probeTime how long the answer may take.
	probeEvery = time.Second
	probeTime  = 2 * time.Second
)

// asking is whether the ledger is asked about fresh events. One that does not answer would hold up each batch: from the
// first question that fails, events go on without asking, until it answers a probe that no event waits for.
type asking struct {
	off     atomic.Bool
	stopped chan error // why it is off; has room for one
}

// stopAsking ends the asking after a question failed.
func (f *Fanout) stopAsking(why error) {
	if f.asking.off.CompareAndSwap(false, true) {
		f.asking.stopped <- why
	}
}

// askAgainLater begins the asking again, whenever it was stopped, as soon as the ledger answers. It returns when ctx ends.
func (f *Fanout) askAgainLater(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var began time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case why := <-f.asking.stopped:
			began = time.Now()
			f.Log.Warn("ledger unavailable: events are not checked for duplicates",
				zap.Error(why))
		case <-tick.C:
			if !began.IsZero() && f.probe(ctx) == nil {
				f.Log.Info("ledger available again: events are checked for duplicates", zap.Duration("after", time.Since(began)))
				began = time.Time{}
				f.asking.off.Store(false)
			}
		}
	}
}

// probe asks for an event that there is none of.
func (f *Fanout) probe(ctx context.Context) error {
	_, err := daemon.Within(ctx, probeTime, func(ctx context.Context) (map[store.EventKey]store.SeenEvent, error) {
		return f.Seen.SeenEvents(ctx, []store.Published{{At: f.Stream.Time(time.Now())}})
	})
	return err
}
