package drainer

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// flush is the minimum interval between two transactions that settle deliveries, and maxFlush the maximum number of
	// deliveries in one.
	flush    = 30 * time.Millisecond
	maxFlush = 2000
)

type settled struct {
	of *held
	store.Drained
}

// settle queues the outcome of a delivery, to be written to the parked queue together with others.
func (x *held) settle(w work, as store.DrainedAs) {
	if x.settleHanded(w, as) {
		return
	}
	x.settling.Lock()
	x.settled = append(x.settled, settled{x, store.Drained{ParkedDelivery: w, As: as}})
	x.settling.Unlock()
	signal(x.toSettle)
}

// remember queues the time of the hook's last attempt to be written.
func (x *held) remember() {
	x.settling.Lock()
	x.attempted[x] = true
	x.settling.Unlock()
	signal(x.toSettle)
}

func (r *round) nextToSettle() (list []settled, attempts []store.DrainLease) {
	r.settling.Lock()
	defer r.settling.Unlock()
	n := min(len(r.settled), maxFlush)
	list, r.settled = r.settled[:n:n], r.settled[n:]
	for x := range r.attempted {
		attempts = append(attempts, x.leaseNow())
	}
	clear(r.attempted)
	return list, attempts
}

// settleAll writes queued outcomes until ctx ends.
func (r *round) settleAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.toSettle:
		}
		for {
			began := time.Now()
			list, attempts := r.nextToSettle()
			if len(list)+len(attempts) == 0 {
				break
			}
			r.record(list, attempts)
			if len(list) < maxFlush {
				daemon.Sleep(ctx, flush-time.Since(began))
			}
		}
	}
}

// record writes outcomes, and retries until it succeeds, unless the drainer has expired: its rows then belong to others.
func (r *round) record(list []settled, attempts []store.DrainLease) {
	drained := make([]store.Drained, len(list))
	for i := range list {
		drained[i] = list[i].Drained
	}
	life := r.life.Context()
	daemon.Until(life, look/4, func() error {
		_, err := daemon.Within(life, lease.Margin, func(ctx context.Context) (none struct{}, err error) {
			if len(attempts) > 0 {
				err = r.Store.NoteAttempts(ctx, attempts)
			}
			if err == nil && len(drained) > 0 {
				err = r.Store.Settle(ctx, r.id, drained)
			}
			return none, err
		})
		return err
	}, func(err error) {
		r.Log.Warn("failed to record outcomes in the parked queue", zap.Int("deliveries", len(list)), zap.Error(err))
	})
	freed := 0
	for i := range list {
		freed += list[i].Size
		list[i].of.leaveHand(list[i].ParkedDelivery)
	}
	if left := r.bytes.Add(int64(-freed)); left+int64(freed) >= maxBytes {
		signal(r.short)
	}
}
