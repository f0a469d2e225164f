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
	Reason           webhook.Reason        `json:"reason" doc:"Why it is in its state, in one fixed word; may be empty"`
	AttemptCount     int                   `json:"attempt_count"`
	Status           *int                  `json:"status" doc:"The HTTP status of the last attempt; null where no answer came"`
	ErrorClass       webhook.ErrorClass    `json:"error_class" doc:"Why the last attempt failed, in one fixed word; empty for a success"`
	Replay           bool                  `json:"replay" doc:"Whether a person asked for the last attempts"`
	SupersededBy     *uuid.UUID            `json:"superseded_by" format:"uuid" nullable:"true" doc:"The delivery of a newer event that took its place; null unless it is superseded"`
	NextAttemptDate  *time.Time            `json:"next_attempt_date" doc:"Null unless it is waiting"`
	FirstAttemptDate *time.Time            `json:"first_attempt_date"`
	CreatedDate      time.Time             `json:"created_date" doc:"When the event was published"`
	ModifiedDate     time.Time             `json:"modified_date"`
}

// DeliveryDetail is a delivery with its attempts.
type DeliveryDetail struct {
	Delivery

	Attempts []Attempt `json:"attempts" nullable:"false" doc:"The first one first"`
	Erased   *Erased   `json:"erased,omitzero" doc:"Since when the payload of the event, and with it what receivers answered, is not there any more; absent while it is"`
}

// Attempt is one HTTP request for a delivery.
type Attempt struct {
	Number               int                    `json:"number" doc:"Counts from 1"`
	StartedAt            time.Time              `json:"started_at"`
	Duration             float64                `json:"duration" doc:"Seconds"`
	Outcome              webhook.AttemptOutcome `json:"outcome" enum:"succeeded,failed,unknown" doc:"unknown: a worker ended before it could tell"`
	Status               *int                   `json:"status" doc:"The HTTP status; null where no answer came"`
	ErrorClass           webhook.ErrorClass     `json:"error_class"`
	Error                string                 `json:"error" doc:"What went wrong, for people"`
	Replay               bool                   `json:"replay"`
	Worker               string                 `json:"worker"`
	Method               string                 `json:"method"`
	URL                  string                 `json:"url"`
	RequestHeaders       []HeaderLine           `json:"request_headers" nullable:"false" doc:"The integrator's own values are hidden"`
	RequestSize          int                    `json:"request_size" doc:"Of the body, in bytes"`
	RequestDigest        string                 `json:"request_digest,omitempty" doc:"SHA-256 of the body, in hexadecimal digits; absent where none was sent, or nobody knows which"`
	ResponseHeaders      []HeaderLine           `json:"response_headers" nullable:"false"`
	ResponseBody         string                 `json:"response_body" doc:"The first 16 KiB, or up to 64 KiB decoded from them"`
	ResponseBodyDecoded  bool                   `json:"response_body_decoded" doc:"Whether the receiver sent the body compressed (Content-Encoding)"`
	ResponseBodyIsBase64 bool                   `json:"response_body_is_base64" doc:"Whether the body was no text"`
	Truncated            bool                   `json:"truncated" doc:"Whether there was more of the answer than is shown"`
	Timings              AttemptTimings         `json:"timings"`
}

// AttemptTimings are the parts of an attempt's duration.
type AttemptTimings struct {
	DNS       float64 `json:"dns" doc:"Seconds; 0 on a connection that was there already"`
	Connect   float64 `json:"connect"`
	TLS       float64 `json:"tls"`
	FirstByte float64 `json:"first_byte" doc:"Seconds from the begin of the attempt to the begin of the answer"`
}

// HeaderLine is one HTTP header line.
type HeaderLine struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
