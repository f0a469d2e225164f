package webhook

import (
	"bytes"
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

// Success reports an answer that counts as delivered: whoever made the attempt has classed what does not.
func (r Result) Success() bool { return r.Class == ClassNone && r.Status != 0 }

// Round is the run of attempts that an attempt belongs to: the first one, or one that a replay began.
type Round struct {
	// Retries is how many attempts of this round came before this one.
	Retries int
	// StartedAt is when the round's first attempt began, or as much later as its delivery was parked since: that time is not
	// the schedule's.
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
// What counts as delivered (config.success; 2xx by default), in time, is success. What could not be made of the event is not tried again: it would fail again. 410 disables the hook (Standard Webhooks 1.0.0). A status that stop_on lists is final. All else is
// retried on the hook's schedule; a receiver's Retry-After (RFC 9110 section 10.2.3), up to MaxRetryAfter, is the least that
// is waited, and never makes the schedule go faster.
func Decide(c Countdown, stopOn []int, round Round, result Result, now time.Time, random float64) Decision {
	switch {
	case result.Success():
		return Decision{State: Delivered}
	case result.Class == ClassTransform:
		return Decision{State: Dead, Reason: ReasonTransform}
	case result.Status == 410:
		return Decision{State: Dead, Reason: ReasonGone, DisableHook: true}
	case result.Status != 0 && slices.Contains(stopOn, result.Status):
		return Decision{State: Dead, Reason: ReasonStopStatus}
	}
	delay, ok := c.Delay(round.Retries+1, random)
	if !ok {
		return Decision{State: Dead, Reason: ReasonExhausted}
	}
	next := now.Add(max(delay, min(result.RetryAfter, MaxRetryAfter)))
	switch {
	case next.Sub(round.StartedAt) > MaxRetrySpan:
		return Decision{State: Dead, Reason: ReasonExhausted}
	case c.Deadline > 0 && next.Sub(round.PublishedAt) > c.Deadline:
		return Decision{State: Dead, Reason: ReasonExpired}
	}
	return Decision{State: Waiting, Reason: ReasonFailed, NextAt: next}
}

// mentions reports whether JSON may have a key that is read as the word, in whatever spelling.
func mentions(raw []byte, word string) bool {
	for i := range raw {
		if raw[i] == '\\' || i+len(word) <= len(raw) && bytes.EqualFold(raw[i:i+len(word)], []byte(word)) {
			return true
		}
	}
	return false
}

// Expired reports whether the delivery's next attempt would come after the deadline of its hook, so that it is not made. A
// person who asks for a replay wants it all the same.
func (d *Due) Expired(now time.Time) bool {
	if d.Replay || d.Test || !mentions(d.Hook.RetryConfig, "deadline") { // most hooks need not be read for it
		return false
	}
	deadline := d.Hook.Countdown().Deadline
	return deadline > 0 && now.Sub(d.Round.PublishedAt) > deadline
}
