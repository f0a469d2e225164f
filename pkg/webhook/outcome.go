package webhook

import (
	"bytes"
	"slices"
	"time"
)

// MaxRetryAfter is the longest wait that a receiver can ask for.
const MaxRetryAfter = 24 * time.Hour

// Result is the part of an attempt's result that determines what happens next.
type Result struct {
	// Status is the HTTP status, or 0 if no answer came.
	Status int
	Class  ErrorClass
	// RetryAfter is what the receiver asked for, or 0.
	RetryAfter time.Duration
}

// Success reports whether the answer counts as delivered. The sender has set a Class on those that do not.
func (r Result) Success() bool { return r.Class == ClassNone && r.Status != 0 }

// Round is the series of attempts that an attempt belongs to: the first one, or one that a replay began.
type Round struct {
	// Retries is how many attempts of this round came before this one.
	Retries int
	// StartedAt is when the round's first attempt began, plus the time that the delivery was parked since: time in
	// the parked queue does not count against the schedule.
	StartedAt time.Time
	// PublishedAt is when the event was published.
	PublishedAt time.Time
}

// Decision is the consequence of an attempt for its delivery.
type Decision struct {
	State  DeliveryState // Delivered, Waiting or Dead
	Reason Reason
	// NextAt is when the next attempt is due, if the state is Waiting.
	NextAt time.Time
	// DisableHook says that the receiver asked never to be called again.
	DisableHook bool
}

// Decide decides what follows from an attempt. now is when the attempt ended; random, in [0, 1), determines the
// jitter.
//
// An answer in time that counts as delivered (config.success; 2xx by default) is a success. If the transform failed,
// the delivery is dead, because it would fail again. A 410 disables the hook (Standard Webhooks 1.0.0). A status
// listed in stop_on is final. Everything else is retried on the hook's schedule. A receiver's Retry-After (RFC 9110
// section 10.2.3), up to MaxRetryAfter, is a minimum: it can lengthen a delay but never shortens one.
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

// mentions reports whether the JSON may contain a key that is read as the word, in any spelling.
func mentions(raw []byte, word string) bool {
	for i := range raw {
		if raw[i] == '\\' || i+len(word) <= len(raw) && bytes.EqualFold(raw[i:i+len(word)], []byte(word)) {
			return true
		}
	}
	return false
}

// Expired reports whether the hook's deadline for the delivery has passed, so that no attempt is made. The deadline
// does not apply to replays and tests, which a person has asked for.
func (d *Due) Expired(now time.Time) bool {
	if d.Replay || d.Test || !mentions(d.Hook.RetryConfig, "deadline") { // for most hooks this avoids parsing the config
		return false
	}
	deadline := d.Hook.Countdown().Deadline
	return deadline > 0 && now.Sub(d.Round.PublishedAt) > deadline
}
