package drainer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// flush is the shortest time from one transaction that settles to the next, maxFlush how many deliveries one takes.
	flush    = 30 * time.Millisecond
	maxFlush = 2000
)

// settler tells the parked queue what became of deliveries, many at once.
type settler struct {
	mu       sync.Mutex
	list     []settled
	attempts map[*held]bool // whose last attempt is to be remembered
	come     chan struct{}
}

type settled struct {
	of *held
	store.Drained
}

func newSettler() *settler {
	return &settler{attempts: map[*held]bool{}, come: make(chan struct{}, 1)}
}

// settle has it told what became of a delivery.
func (s *settler) settle(of *held, w work, as store.DrainedAs) {
	s.mu.Lock()
	s.list = append(s.list, settled{of, store.Drained{ParkedDelivery: w, As: as}})
	s.mu.Unlock()
	signal(s.come)
}

// remember has it told when the hook's last attempt was.
func (s *settler) remember(of *held) {
	s.mu.Lock()
	s.attempts[of] = true
	s.mu.Unlock()
	signal(s.come)
}

func (s *settler) next() (list []settled, attempts []store.DrainLease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.list), maxFlush)
	list, s.list = s.list[:n:n], s.list[n:]
	for x := range s.attempts {
		attempts = append(attempts, x.leaseNow())
	}
	clear(s.attempts)
	return list, attempts
}

// runSettler settles until ctx ends. A write that failed is repeated, unless the drainer has expired: its rows are then others'.
func (r *round) runSettler(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.come:
		}
		for began := time.Now(); ; began = time.Now() {
			list, attempts := r.next()
			if len(list)+len(attempts) == 0 {
				break
			}
			r.tell(ctx, list, attempts)
			if len(list) == maxFlush {
				continue
			}
			select {
			case <-ctx.Done():
			case <-time.After(flush - time.Since(began)):
			}
		}
	}
}

func (r *round) tell(ctx context.Context, list []settled, attempts []store.DrainLease) {
	told := make([]store.Drained, len(list))
	for i := range list {
		told[i] = list[i].Drained
	}
	for r.life.Context().Err() == nil && ctx.Err() == nil {
		_, err := daemon.Within(ctx, lease.Margin, func(ctx context.Context) (struct{}, error) {
			if len(attempts) > 0 {
				if err := r.Store.Attempted(ctx, attempts); err != nil {
					return struct{}{}, err
				}
			}
			if len(told) == 0 {
				return struct{}{}, nil
			}
			return struct{}{}, r.Store.SettleParked(ctx, r.id, told)
		})
		if err == nil {
			break
		}
		r.Log.Warn("failed to record outcomes in the parked queue", zap.Int("deliveries", len(list)), zap.Error(err))
		select {
		case <-ctx.Done():
		case <-r.life.Context().Done():
		case <-time.After(look / 4):
		}
	}
	freed := 0
	for i := range list {
		freed += list[i].Size
		list[i].of.settled(list[i].ParkedDelivery)
	}
	r.free(freed)
}
