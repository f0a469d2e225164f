package webhook

import (
	"slices"
	"time"
)

// MaxRetryAfter is the longest wait that a receiver can ask for.
const MaxRetryAfter = 24 * time.Hour

// Result is what an attempt's answer was, as far as it matters for what comes next.
type Result struct {
	// Status is the HTTP status, 0 where no answer came.
	Status int
	Class  ErrorClass
	// RetryAfter is what the receiver asked for; 0 where it did not.
	RetryAfter time.Duration
}

// Success reports a 2xx answer that came to its end in time.
func (r Result) Success() bool { return r.Class == ClassNone && r.Status >= 200 && r.Status <= 299 }

// Round is the run of attempts that an attempt belongs to: the first one, or one that a replay began.
type Round struct {
	// Retries is how many attempts of this round came before this one.
	Retries int
	// StartedAt is when the round's first attempt began.
	StartedAt time.Time
	// PublishedAt is when the event was published.
	PublishedAt time.Time
}

// Decision is what an attempt means for its delivery.
type Decision struct {
	State  DeliveryState // Delivered, Waiting or Dead
	Reason Reason
	// NextAt is when the next attempt is due, if the state is Waiting.
	NextAt time.Time
	// DisableHook says that the receiver asked never to be called again.
	DisableHook bool
}

// Decide says what follows from an attempt. now is when the attempt ended; random, in [0, 1), places the jitter.
//
// 2xx, in time, is success. 410 disables the hook (Standard Webhooks 1.0.0). A status that stop_on lists is final. All else is
// retried on the hook's schedule; a receiver's Retry-After (RFC 9110 section 10.2.3) takes the place of the schedule's
// delay, up to MaxRetryAfter.
func Decide(c Countdown, stopOn []int, round Round, result Result, now time.Time, random float64) Decision {
	switch {
	case result.Success():
		return Decision{State: Delivered}
	case result.Status == 410:
		return Decision{State: Dead, Reason: ReasonGone, DisableHook: true}
	case result.Status != 0 && slices.Contains(stopOn, result.Status):
		return Decision{State: Dead, Reason: ReasonStopStatus}
	}
	delay, ok := c.Delay(round.Retries+1, random)
	if !ok {
		return Decision{State: Dead, Reason: ReasonExhausted}
	}
	if result.RetryAfter > 0 {
		delay = min(result.RetryAfter, MaxRetryAfter)
	}
	next := now.Add(delay)
	switch {
	case next.Sub(round.StartedAt) > MaxRetrySpan:
		return Decision{State: Dead, Reason: ReasonExhausted}
	case c.Deadline > 0 && next.Sub(round.PublishedAt) > c.Deadline:
		return Decision{State: Dead, Reason: ReasonExpired}
	}
	return Decision{State: Waiting, Reason: ReasonFailed, NextAt: next}
}
