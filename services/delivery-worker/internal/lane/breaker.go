package lane

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Breaker says when a hook's receiver counts as failing.
type Breaker struct {
	// MinAttempts and FailureRatio within Window open the breaker.
	MinAttempts  int
	FailureRatio float64
	Window       time.Duration
	// Open is how long it stays open before one probe is let through.
	Open time.Duration
}

func (b Breaker) new() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, Interval: b.Window, BucketPeriod: b.Window / 6, Timeout: b.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			ended := c.TotalSuccesses + c.TotalFailures // not those under way
			return int(ended) >= b.MinAttempts && float64(c.TotalFailures) >= b.FailureRatio*float64(ended)
		},
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
	})
}
