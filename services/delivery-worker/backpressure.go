package deliveryworker

import (
	"context"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// lagEvery is the interval at which the lag of consumers is read.
const lagEvery = 5 * time.Second

// measureLag reads how far consumers are behind, and makes the limiter hold fewer deliveries when all workers together hold half of
// what the bus hands out.
func (s *Service) measureLag(ctx context.Context) {
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
	s.limiter.Crowd(crowded)
	s.metrics.stored(ctx, s.bus)
}
