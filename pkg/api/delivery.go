package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Delivery is one event for one hook.
type Delivery struct {
	ID               uuid.UUID             `json:"id" format:"uuid" doc:"Also the header webhook-id"`
	Hook             uuid.UUID             `json:"hook" format:"uuid"`
	Event            string                `json:"event" doc:"The event's id"`
	EventType        string                `json:"event_type"`
	Entity           string                `json:"entity"`
	State            webhook.DeliveryState `json:"state" enum:"waiting,parked,delivered,dead,cancelled,superseded"`
	Reason           webhook.Reason        `json:"reason" doc:"Why it is in its state, as a fixed word; may be empty"`
	AttemptCount     int                   `json:"attempt_count"`
	Status           *int                  `json:"status" doc:"The HTTP status of the last attempt; null if there was no response"`
	ErrorClass       webhook.ErrorClass    `json:"error_class" doc:"Why the last attempt failed, as a fixed word; empty for a success"`
	Replay           bool                  `json:"replay" doc:"Whether a person requested the last attempts"`
	SupersededBy     *uuid.UUID            `json:"superseded_by" format:"uuid" nullable:"true" doc:"The delivery of the newer event that replaced it; null unless it is superseded"`
	NextAttemptDate  *time.Time            `json:"next_attempt_date" doc:"Null unless the delivery is waiting"`
	FirstAttemptDate *time.Time            `json:"first_attempt_date"`
	CreatedDate      time.Time             `json:"created_date" doc:"When the event was published"`
	ModifiedDate     time.Time             `json:"modified_date"`
}

// DeliveryDetail is a delivery with its attempts.
type DeliveryDetail struct {
	Delivery

	Attempts []Attempt `json:"attempts" nullable:"false" doc:"The first one first"`
	Erased   *Erased   `json:"erased,omitzero" doc:"When the event's payload, and with it the responses, was removed; absent if it is still there"`
}

// Retry says how to retry one delivery.
type Retry struct {
	Force bool `json:"force,omitempty" doc:"Send it again even if it was delivered"`
}

// Elsewhere says where to send a delivery, other than to its hook's target.
type Elsewhere struct {
	TargetURL string `json:"target_url" doc:"The URL to send it to, under the same rules as a hook's target_url"`
	// SecretKey signs the request; may be empty.
	SecretKey string `json:"secret_key,omitempty" doc:"Signs the request; it is not stored"`
	// SignAsHook signs the request as the hook's requests are signed.
	SignAsHook bool `json:"sign_as_hook,omitempty" doc:"Sign the request like the hook's; by default it is not signed"`
}

// Attempt is one HTTP request for a delivery.
type Attempt struct {
	Number               int                    `json:"number" doc:"Counts from 1"`
	StartedAt            time.Time              `json:"started_at"`
	Duration             float64                `json:"duration" doc:"Seconds"`
	Outcome              webhook.AttemptOutcome `json:"outcome" enum:"succeeded,failed,unknown" doc:"unknown: the worker stopped before it could record the outcome"`
	Status               *int                   `json:"status" doc:"The HTTP status; null if there was no response"`
	ErrorClass           webhook.ErrorClass     `json:"error_class"`
	Error                string                 `json:"error" doc:"What went wrong, for people"`
	Replay               bool                   `json:"replay"`
	Worker               string                 `json:"worker"`
	Method               string                 `json:"method"`
	URL                  string                 `json:"url"`
	RequestHeaders       []HeaderLine           `json:"request_headers" nullable:"false" doc:"Values set by the integrator are hidden"`
	RequestSize          int                    `json:"request_size" doc:"Of the body, in bytes"`
	RequestDigest        string                 `json:"request_digest,omitempty" doc:"SHA-256 of the body, in hexadecimal; absent if none was sent or it is unknown"`
	ResponseHeaders      []HeaderLine           `json:"response_headers" nullable:"false"`
	ResponseBody         string                 `json:"response_body" doc:"The first 16 KiB, or up to 64 KiB decoded from them"`
	ResponseBodyDecoded  bool                   `json:"response_body_decoded" doc:"Whether the receiver compressed the body (Content-Encoding)"`
	ResponseBodyIsBase64 bool                   `json:"response_body_is_base64" doc:"Whether the body was not text"`
	Truncated            bool                   `json:"truncated" doc:"Whether the response was longer than what is shown"`
	Timings              AttemptTimings         `json:"timings"`
}

// AttemptTimings are the parts of an attempt's duration.
type AttemptTimings struct {
	DNS       float64 `json:"dns" doc:"Seconds; 0 on an existing connection"`
	Connect   float64 `json:"connect"`
	TLS       float64 `json:"tls"`
	FirstByte float64 `json:"first_byte" doc:"Seconds from the start of the attempt to the start of the response"`
}

// HeaderLine is one HTTP header line.
type HeaderLine struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
