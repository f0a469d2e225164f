package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// RelayMessage is what a listener to deliveries gets: exactly one of its fields is set.
type RelayMessage struct {
	Request *RelayedRequest `json:"request,omitempty" doc:"A request that was made"`
	Worker  string          `json:"worker,omitempty" doc:"A worker that sends copies of its requests from now on"`
	Dropped int             `json:"dropped,omitempty" doc:"Number of requests left out here because they could not be copied, or were not read, fast enough"`
	End     string          `json:"end,omitempty" doc:"Why this connection ends"`
}

// RelayedRequest is a copy of a request to a hook's receiver.
type RelayedRequest struct {
	Hook       uuid.UUID          `json:"hook" format:"uuid"`
	Deliveries []uuid.UUID        `json:"deliveries" nullable:"false" doc:"Id of the event's delivery, or those of a batch in its order"`
	EventTypes []string           `json:"event_types" nullable:"false" doc:"Types of their events, in the same order"`
	Attempt    int                `json:"attempt" doc:"Counts from 1"`
	SentAt     time.Time          `json:"sent_at"`
	Method     string             `json:"method"`
	URL        string             `json:"url"`
	Headers    []HeaderLine       `json:"headers" nullable:"false" doc:"As they were sent; values set by the integrator are [hidden]"`
	Body       []byte             `json:"body" nullable:"true" contentEncoding:"base64" doc:"The exact bytes that were sent, in base64; null if they were too large to copy"`
	BodySize   int                `json:"body_size" doc:"Size of the body that was sent, in bytes"`
	Status     *int               `json:"status" doc:"The HTTP status of the response; null if there was none"`
	ErrorClass webhook.ErrorClass `json:"error_class" doc:"Why the attempt failed, as a fixed word; empty for a success"`
}
