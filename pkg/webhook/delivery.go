package webhook

import (
	"time"

	"github.com/google/uuid"
)

// DeliveryState is the state of a delivery.
type DeliveryState string

// The states of a delivery.
const (
	// Waiting: an attempt failed, and the next one is scheduled.
	Waiting DeliveryState = "waiting"
	// Parked: the delivery waits for its hook rather than for a time.
	Parked DeliveryState = "parked"
	// Delivered: the receiver's answer counts as delivered, which is 2xx unless the hook says otherwise. Final.
	Delivered DeliveryState = "delivered"
	// Dead: it will not be retried automatically. Final.
	Dead DeliveryState = "dead"
	// Cancelled: the hook was deleted before it could be delivered. Final.
	Cancelled DeliveryState = "cancelled"
	// Superseded: a newer event of the same entity waited for the same hook, and is sent instead. Final.
	Superseded DeliveryState = "superseded"
)

// DeliveryStates returns all states of deliveries.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{Waiting, Parked, Delivered, Dead, Cancelled, Superseded}
}

// Final reports whether nothing more happens to the delivery automatically.
func (s DeliveryState) Final() bool {
	return s == Delivered || s == Dead || s == Cancelled || s == Superseded
}

// DeliveryID derives the id of the delivery of an event to a hook (UUID version 5 in the hook's namespace).
func DeliveryID(hook uuid.UUID, eventID string) uuid.UUID { return uuid.NewSHA1(hook, []byte(eventID)) }

// Reason says why a delivery is in its state, as one of a few fixed words.
type Reason string

// Reasons for states.
const (
	ReasonNone         Reason = ""
	ReasonFailed       Reason = "attempt_failed"    // waiting: an attempt failed and the schedule continues
	ReasonUnknown      Reason = "unknown"           // waiting: a worker died before it could record an attempt
	ReasonExhausted    Reason = "exhausted"         // dead: no retry is left
	ReasonExpired      Reason = "expired"           // dead: the deadline passed
	ReasonStopStatus   Reason = "stop_status"       // dead: the hook's stop_on lists the status
	ReasonGone         Reason = "gone"              // dead: the receiver answered 410
	ReasonTransform    Reason = "transform_failed"  // dead: the hook's expressions could not produce a request from its event
	ReasonHookDisabled Reason = "hook_disabled"     // dead: the hook was disabled while it waited
	ReasonPoison       Reason = "poison"            // dead: its event crashed workers again and again
	ReasonPayloadGone  Reason = "payload_gone"      // dead: its event's payload is no longer stored
	ReasonErased       Reason = "erased"            // dead: its event's payload was erased
	ReasonHookDeleted  Reason = "hook_deleted"      // cancelled
	ReasonPaused       Reason = "paused"            // parked: a person paused the hook
	ReasonConcurrency  Reason = "concurrency_limit" // parked: over the hook's concurrency limit
	ReasonRate         Reason = "rate_limit"        // parked: over the hook's rate limit
	ReasonBreaker      Reason = "breaker_open"      // parked: the hook's circuit breaker is open
	ReasonOrdered      Reason = "ordered"           // parked: an earlier delivery must go first
	ReasonMaintenance  Reason = "maintenance"       // parked: inside a maintenance window
	ReasonReplay       Reason = "replay"            // parked: a person asked for it
	ReasonBatch        Reason = "batch"             // parked: it waits for the rest of its batch
	ReasonHookUnknown  Reason = "hook_unknown"      // parked: its worker did not know the hook, or only as disabled
)

// Delivery is one event for one hook.
type Delivery struct {
	ID          uuid.UUID
	Tenant      string
	HookID      uuid.UUID
	EventID     string
	EventType   string
	Entity      string
	PublishedAt time.Time // of the event; determines the partition
	State       DeliveryState
	Reason      Reason
	// Attempts is how many attempts were made.
	Attempts int
	// NextAt is when the next attempt is due; zero unless the state is Waiting.
	NextAt         time.Time
	FirstAttemptAt time.Time
	UpdatedAt      time.Time
	// LastStatus is the last attempt's HTTP status, or 0 if there was none.
	LastStatus int
	// LastError is the last attempt's error class.
	LastError ErrorClass
	// Replay says that the current round of attempts is a replay.
	Replay bool
	// SupersededBy is the delivery that superseded this one; nil in any other state.
	SupersededBy *uuid.UUID
	// Erased is that of the event. It is only set if the delivery was read individually.
	Erased *Erased
}

// Due is a delivery whose next attempt is to be made now.
type Due struct {
	ID    uuid.UUID
	Hook  *Hook
	Event *Event
	// Attempts is how many attempts were made before, over all rounds.
	Attempts int
	// Round is the progress of the current round of attempts.
	Round Round
	// ParkedAt is when it was parked; zero if it was not.
	ParkedAt time.Time
	// Replay says that this round is a replay.
	Replay bool
	// Unknown says that the attempt may have been made before, by a worker that died before it could record it.
	Unknown bool
	// First says that nothing was recorded about the delivery before, as far as this worker knows.
	First bool
	// Test says that the request is a test of the hook: it is marked as one, and not recorded as a delivery.
	Test bool
}

// FirstDue returns the first attempt of a delivery.
func FirstDue(h *Hook, e *Event) Due {
	return Due{ID: DeliveryID(h.ID, e.ID), Hook: h, Event: e, Round: Round{PublishedAt: e.PublishedAt}, First: true}
}
