package deliveryworker

import (
	"context"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// lagEvery is the interval at which the lag of the consumers is read.
const lagEvery = 5 * time.Second

// measureLag reads the lag of each consumer. If all workers together hold more than half of the messages that the bus hands out
// at most, it makes the limiter park deliveries instead of letting them wait.
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
