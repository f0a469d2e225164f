package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Pause says how long a hook is paused.
type Pause struct {
	// Until is nil for a pause until the hook is resumed.
	Until *time.Time `json:"until,omitempty" doc:"When the hook becomes active again automatically, at most a year ahead; null for never"`
}

// SecretRotation says what a hook's new secret is.
type SecretRotation struct {
	SecretKey string `json:"secret_key,omitempty" doc:"The new secret; generated if absent" maxLength:"1024"`
	Algorithm string `json:"algorithm,omitempty" doc:"Algorithm of the generated secret: hmac-sha256 (whsec_…, signs v1) if absent, or ed25519 (signs v1a), of which only the public key is shown"`
}

// Rotated is a hook's new secret.
type Rotated struct {
	SecretKey *string    `json:"secret_key" doc:"The new secret, shown only now; null for an ed25519 key, which receivers do not need"`
	PublicKey *string    `json:"public_key" doc:"Public key (whpk_…) that verifies v1a signatures if the secret is an ed25519 key; otherwise null"`
	OldUntil  *time.Time `json:"old_until" doc:"Until when the previous secret signs as well; null if there was none"`
}

// RetrySchedule is a retry schedule whose timetable to show.
type RetrySchedule struct {
	RetryCountdownConfig json.RawMessage `json:"retry_countdown_config,omitempty" doc:"As a hook has it; null for the default schedule" wire:"object"`
}

// RetryStep is one line of a retry timetable.
type RetryStep struct {
	Retry    int     `json:"retry" doc:"Counts from 1"`
	DelayMin float64 `json:"delay_min" doc:"The shortest wait after the previous attempt, in seconds"`
	DelayMax float64 `json:"delay_max" doc:"The longest wait after the previous attempt, in seconds"`
	AfterMin float64 `json:"after_min" doc:"The earliest time since the first attempt, in seconds"`
	AfterMax float64 `json:"after_max" doc:"The latest time since the first attempt, in seconds"`
}

// Timetable lists the retries of a delivery that always fails.
type Timetable struct {
	Retries []RetryStep `json:"retries" nullable:"false" doc:"The retries of a delivery that always fails"`
}

// TestFields say what a test sends.
type TestFields struct {
	// EventType is a known type; empty means the first one that the hook wants.
	EventType string `json:"event_type,omitempty" doc:"A known type; if absent, the first one that the hook names or that its patterns match"`
	// Data is the event's data; nil means the type's example.
	Data json.RawMessage `json:"data,omitempty" doc:"The event's data; the type's example if absent"`
	// Hook has fields that are not saved yet; may be nil.
	Hook *HookFields `json:"hook,omitempty" doc:"Fields that are not saved yet"`
}

// TestResult is the result of a test.
type TestResult struct {
	Event       string    `json:"event" doc:"The id of the event, which was generated for the test unless a delivery was replayed"`
	EventType   string    `json:"event_type"`
	WebhookID   uuid.UUID `json:"webhook_id" format:"uuid" doc:"The header webhook-id that was sent: a new one, or that of the replayed delivery"`
	RequestBody string    `json:"request_body" doc:"The request; empty if none could be made"`
	Attempt     Attempt   `json:"attempt" doc:"The request, without secrets, and the receiver's response"`
}

// BacktestFields describe the hook to test, and the time range of the events. The API fills in empty fields.
type BacktestFields struct {
	// EventType is the old name of EventTypes.
	EventType  []string        `json:"event_type,omitempty" doc:"As in a hook" wire:"types"`
	EventTypes []string        `json:"event_types,omitempty" doc:"As in a hook; all types if neither is given"`
	Config     json.RawMessage `json:"config,omitempty" doc:"As in a hook: filter, transform, and the keys that a published config_filter is compared with" wire:"object"`
	From       time.Time       `json:"from,omitzero" doc:"Events published at this time or later; a day before to if absent"`
	To         time.Time       `json:"to,omitzero" doc:"Events published before this time; now if absent"`
}

// Backtest says what a hook would have received.
type Backtest struct {
	From             time.Time        `json:"from"`
	To               time.Time        `json:"to"`
	Scanned          int              `json:"scanned" doc:"Number of events of the types that were examined, newest first"`
	Matched          int              `json:"matched" doc:"Number of events that the hook would have got"`
	Missed           map[string]int   `json:"missed" doc:"Number of events that it would not have got, by reason: config_filter, filter, filter_failed"`
	Made             int              `json:"made,omitempty" doc:"Number of matched events for which the transform was evaluated, at most 1,000"`
	Unmade           int              `json:"unmade,omitempty" doc:"Number of events for which it could not be evaluated; their deliveries would be dead"`
	TransformFailure *BacktestSample  `json:"transform_failure,omitempty" doc:"The newest of those events, with the reason; absent if there is none"`
	Failure          *BacktestSample  `json:"failure,omitempty" doc:"The newest event for which the filter could not be evaluated, and which it would therefore miss, with the reason; absent if there is none"`
	Truncated        bool             `json:"truncated" doc:"Whether there were more events than were examined: choose a shorter time range"`
	Samples          []BacktestSample `json:"samples" nullable:"false" doc:"Some events that the hook would have got, with the reason"`
	Misses           []BacktestSample `json:"misses" nullable:"false" doc:"Some events that it would not have got, with the reason"`
}

// BacktestSample is an event and what the hook would have done with it.
type BacktestSample struct {
	EventID     string    `json:"event_id"`
	EventType   string    `json:"event_type"`
	Entity      string    `json:"entity"`
	CreatedDate time.Time `json:"created_date" doc:"When it was published"`
	Reason      string    `json:"reason" doc:"Why the hook does not get it, as a fixed word; empty if it does"`
	Detail      string    `json:"detail" doc:"The reason, for people: what the filter saw; may be empty"`

	Before json.RawMessage `json:"before,omitempty" doc:"The data as published, if config has a transform; absent if it is larger than 64 KiB"`
	After  json.RawMessage `json:"after,omitempty" doc:"The transform's result; absent if it cannot be evaluated or is larger than 64 KiB"`
	// Headers are those that headers_from produces.
	Headers map[string]string `json:"headers,omitempty" doc:"The headers that headers_from produces"`
	Problem string            `json:"problem,omitempty" doc:"Why after is absent"`
}
