package deliveryworker

import (
	"context"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// followEvery is how often consumers are asked how far they are behind.
const followEvery = 2 * time.Second

// follow reads how far consumers are behind until ctx ends, and has the lanes keep less when the workers together hold half of
// what the bus hands out.
func (s *Service) follow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		crowded := false
		for _, c := range bus.Consumers() {
			lag, err := s.bus.Lag(ctx, c)
			if err != nil {
				continue
			}
			s.metrics.behind(c, lag)
			if c == bus.Fanout || c == bus.Retry {
				crowded = crowded || lag.InFlight > uint64(bus.MaxInHand(c)/2) //nolint:gosec // positive
			}
		}
		s.lanes.Crowd(crowded)
		s.metrics.stored(ctx, s.bus)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
