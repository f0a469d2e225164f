package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// RelayMessage is what somebody gets who listens to deliveries: one of its fields.
type RelayMessage struct {
	Request *RelayedRequest `json:"request,omitempty" doc:"A request that was made"`
	Worker  string          `json:"worker,omitempty" doc:"A worker that will tell of its requests from now on"`
	Dropped int             `json:"dropped,omitempty" doc:"How many requests were left out here, since there were more than can be copied, or than were read"`
	End     string          `json:"end,omitempty" doc:"Why nothing more comes on this connection"`
}

// RelayedRequest is a copy of a request that was made to a hook's receiver.
type RelayedRequest struct {
	Hook       uuid.UUID          `json:"hook" format:"uuid"`
	Deliveries []uuid.UUID        `json:"deliveries" nullable:"false" doc:"One, or those of a batch in its order"`
	EventTypes []string           `json:"event_types" nullable:"false" doc:"Those of the events, in the same order"`
	Attempt    int                `json:"attempt" doc:"Counts from 1"`
	SentAt     time.Time          `json:"sent_at"`
	Method     string             `json:"method"`
	URL        string             `json:"url"`
	Headers    []HeaderLine       `json:"headers" nullable:"false" doc:"As they were sent; values that are the integrator's own are [hidden]"`
	Body       []byte             `json:"body" nullable:"true" contentEncoding:"base64" doc:"The exact bytes that were sent, in base64; null where they were too large to be copied"`
	BodySize   int                `json:"body_size" doc:"Of the body that was sent, in bytes"`
	Status     *int               `json:"status" doc:"The HTTP status that the receiver answered; null where no answer came"`
	ErrorClass webhook.ErrorClass `json:"error_class" doc:"Why the attempt failed, in one fixed word; empty for a success"`
}
