package webhook

import (
	"time"

	"github.com/google/uuid"
)

// DeliveryState is where a delivery is.
type DeliveryState string

// The states of a delivery.
const (
	// Waiting: an attempt failed and the next one is scheduled for a time.
	Waiting DeliveryState = "waiting"
	// Parked: waits for its hook, not for a time.
	Parked DeliveryState = "parked"
	// Delivered: a receiver gave an answer that counts, 2xx unless its hook says otherwise. Final.
	Delivered DeliveryState = "delivered"
	// Dead: it will not be tried again by itself. Final.
	Dead DeliveryState = "dead"
	// Cancelled: its hook was deleted before it could be delivered. Final.
	Cancelled DeliveryState = "cancelled"
	// Superseded: a newer event of its entity waited for the same hook, and that one goes out instead. Final.
	Superseded DeliveryState = "superseded"
)

// DeliveryStates lists the states that a delivery can be in.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{Waiting, Parked, Delivered, Dead, Cancelled, Superseded}
}

// Final reports whether nothing more happens to the delivery by itself.
func (s DeliveryState) Final() bool {
	return s == Delivered || s == Dead || s == Cancelled || s == Superseded
}

// DeliveryID derives the id of the delivery of an event to a hook (UUID version 5 in the hook's namespace).
func DeliveryID(hook uuid.UUID, eventID string) uuid.UUID { return uuid.NewSHA1(hook, []byte(eventID)) }

// Reason says why a delivery is in its state, in one of a few fixed words.
type Reason string

// Reasons of states.
const (
	ReasonNone         Reason = ""
	ReasonFailed       Reason = "attempt_failed"    // waiting: the schedule goes on
	ReasonUnknown      Reason = "unknown"           // waiting: a worker died before it could tell of an attempt
	ReasonExhausted    Reason = "exhausted"         // dead: no retry is left
	ReasonExpired      Reason = "expired"           // dead: the deadline passed
	ReasonStopStatus   Reason = "stop_status"       // dead: the hook's stop_on lists the status
	ReasonGone         Reason = "gone"              // dead: the receiver answered 410
	ReasonTransform    Reason = "transform_failed"  // dead: the hook's expressions could not make a request of its event
	ReasonHookDisabled Reason = "hook_disabled"     // dead: the hook was disabled while it waited
	ReasonPoison       Reason = "poison"            // dead: its event killed workers again and again
	ReasonPayloadGone  Reason = "payload_gone"      // dead: its event's payload is not kept any more
	ReasonErased       Reason = "erased"            // dead: its event's payload was erased
	ReasonHookDeleted  Reason = "hook_deleted"      // cancelled
	ReasonPaused       Reason = "paused"            // parked: a person paused the hook
	ReasonConcurrency  Reason = "concurrency_limit" // parked: over the hook's cap
	ReasonRate         Reason = "rate_limit"        // parked: over the hook's rate
	ReasonBreaker      Reason = "breaker_open"      // parked: the hook's receiver is failing
	ReasonOrdered      Reason = "ordered"           // parked: an earlier delivery has to go first
	ReasonMaintenance  Reason = "maintenance"       // parked: inside a maintenance window
	ReasonReplay       Reason = "replay"            // parked: a person asked for it
	ReasonBatch        Reason = "batch"             // parked: it waits for others of its batch
	ReasonHookUnknown  Reason = "hook_unknown"      // parked: its worker did not know the hook, or knew it as disabled
)

// Delivery is one event for one hook.
type Delivery struct {
	ID          uuid.UUID
	Tenant      string
	HookID      uuid.UUID
	EventID     string
	EventType   string
	Entity      string
	PublishedAt time.Time // of the event; it decides the partition
	State       DeliveryState
	Reason      Reason
	// Attempts is how many were made.
	Attempts int
	// NextAt is when the next attempt is due; zero unless the state is Waiting.
	NextAt         time.Time
	FirstAttemptAt time.Time
	UpdatedAt      time.Time
	// LastStatus is the last attempt's HTTP status, 0 where there was none.
	LastStatus int
	// LastError is the last attempt's error class.
	LastError ErrorClass
	// Replay says that a person asked for the current round of attempts.
	Replay bool
	// SupersededBy is the delivery that took its place when it was superseded; nil in any other state.
	SupersededBy *uuid.UUID
	// Erased is the event's, where the delivery was read by itself.
	Erased *Erased
}

// Due is a delivery whose next attempt is to be made now.
type Due struct {
	ID    uuid.UUID
	Hook  *Hook
	Event *Event
	// Attempts is how many were made before, over all rounds.
	Attempts int
	// Round is where the current run of attempts stands.
	Round Round
	// ParkedAt is since when it was parked; zero for a delivery that was not.
	ParkedAt time.Time
	// Replay says that a person asked for this round.
	Replay bool
	// Unknown says that the attempt may have been made before, by a worker that died before it could tell.
	Unknown bool
	// First says that nothing was told of the delivery yet, as far as is known here.
	First bool
	// Test says that a person tries the hook out: the request is marked, and nothing of it is a delivery.
	Test bool
}

// FirstDue is the first attempt of a delivery.
func FirstDue(h *Hook, e *Event) Due {
	return Due{ID: DeliveryID(h.ID, e.ID), Hook: h, Event: e, Round: Round{PublishedAt: e.PublishedAt}, First: true}
}
