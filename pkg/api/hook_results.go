package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Rotated is a hook's new secret.
type Rotated struct {
	SecretKey *string    `json:"secret_key" doc:"The new secret, shown only now; null for an ed25519 key, which receivers do not need"`
	PublicKey *string    `json:"public_key" doc:"Public key (whpk_…) that verifies v1a signatures if the secret is an ed25519 key; otherwise null"`
	OldUntil  *time.Time `json:"old_until" doc:"Until when the one before signs, too; null where there was none"`
}

// RetryStep is one line of a retry timetable.
type RetryStep struct {
	Retry    int     `json:"retry" doc:"Counts from 1"`
	DelayMin float64 `json:"delay_min" doc:"The shortest wait after the attempt before, in seconds"`
	DelayMax float64 `json:"delay_max" doc:"The longest wait after the attempt before, in seconds"`
	AfterMin float64 `json:"after_min" doc:"The earliest time since the first attempt, in seconds"`
	AfterMax float64 `json:"after_max" doc:"The latest time since the first attempt, in seconds"`
}

// Timetable is when a delivery that always fails is retried.
type Timetable struct {
	Retries []RetryStep `json:"retries" nullable:"false" doc:"The retries that a delivery which always fails gets"`
}

// TestResult is what became of a test.
type TestResult struct {
	Event       string    `json:"event" doc:"The id of the event, which was made for the test unless a delivery was replayed"`
	EventType   string    `json:"event_type"`
	WebhookID   uuid.UUID `json:"webhook_id" format:"uuid" doc:"The header webhook-id that was sent: a fresh one, or that of the delivery that was replayed"`
	RequestBody string    `json:"request_body" doc:"What was sent; empty where no request could be made"`
	Attempt     Attempt   `json:"attempt" doc:"The request, without what is secret in it, and the receiver's answer"`
}

// Backtest says what a hook would have got.
type Backtest struct {
	From             time.Time        `json:"from"`
	To               time.Time        `json:"to"`
	Scanned          int              `json:"scanned" doc:"How many events of the types were looked at, the newest first"`
	Matched          int              `json:"matched" doc:"How many of them the hook would have got"`
	Missed           map[string]int   `json:"missed" doc:"How many not, by reason: config_filter, filter, filter_failed"`
	Made             int              `json:"made,omitempty" doc:"How many of the matched events the transform was evaluated for, of at most 1,000"`
	Unmade           int              `json:"unmade,omitempty" doc:"For how many it could not be; their deliveries would be dead"`
	TransformFailure *BacktestSample  `json:"transform_failure,omitempty" doc:"The newest of those, with why; absent where there is none"`
	Failure          *BacktestSample  `json:"failure,omitempty" doc:"The newest event that the filter could not be evaluated for, and that it would miss because of that, with why; absent where there is none"`
	Truncated        bool             `json:"truncated" doc:"Whether there were more events than were looked at: choose a shorter time"`
	Samples          []BacktestSample `json:"samples" nullable:"false" doc:"Some that the hook would have got, with why"`
	Misses           []BacktestSample `json:"misses" nullable:"false" doc:"Some that it would not have got, with why"`
}

// BacktestSample is an event with what a hook would have had to do with it.
type BacktestSample struct {
	EventID     string    `json:"event_id"`
	EventType   string    `json:"event_type"`
	Entity      string    `json:"entity"`
	CreatedDate time.Time `json:"created_date" doc:"When it was published"`
	Reason      string    `json:"reason" doc:"What keeps it from the hook, in one fixed word; empty for nothing"`
	Detail      string    `json:"detail" doc:"Why, for people: what the filter saw; may be empty"`

	Before json.RawMessage `json:"before,omitempty" doc:"The data as it was published, where config has a transform; absent where it is larger than 64 KiB"`
	After  json.RawMessage `json:"after,omitempty" doc:"What the transform makes of it; absent where it cannot be made or is larger than 64 KiB"`
	// Headers are those of headers_from.
	Headers map[string]string `json:"headers,omitempty" doc:"What headers_from makes of it"`
	Problem string            `json:"problem,omitempty" doc:"Why there is no after"`
}
