package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// EventSummary is an event in a list.
type EventSummary struct {
	ID             string         `json:"event_id"`
	Type           string         `json:"event_type"`
	Time           time.Time      `json:"event_time" doc:"When it happened, by the publisher's clock"`
	Entity         string         `json:"entity"`
	Sequence       int64          `json:"sequence" doc:"Grows with publication; receivers get it as X-Whisperer-Sequence"`
	Size           int            `json:"size" doc:"Of the data, in bytes"`
	CreatedDate    time.Time      `json:"created_date" doc:"When it was published"`
	SchemaProblems []FieldProblem `json:"schema_problems" nullable:"false" doc:"What the JSON Schema of its type has against the data, where it is checked; the pointers are into the data"`
	Erased         *Erased        `json:"erased,omitzero" doc:"Since when its payload is not there any more; absent while it is"`
}

// Event is an event with its payload, as it was published.
type Event struct {
	EventSummary

	Context      Object          `json:"current_context"`
	ConfigFilter Object          `json:"config_filter"`
	Data         json.RawMessage `json:"data" doc:"As it was published"`
	Traceparent  string          `json:"traceparent" doc:"W3C trace context; may be empty"`
	Deliveries   OutcomeCounts   `json:"deliveries" doc:"How many it has caused"`
}

// Published says what became of events that were published.
type Published struct {
	EventID string           `json:"event_id,omitempty" doc:"Of the event, where one was sent by itself"`
	Results []PublishedEvent `json:"results" nullable:"false" doc:"The events, in the order in which they were sent"`
}

// PublishedEvent is one of them.
type PublishedEvent struct {
	EventID        string         `json:"event_id"`
	SchemaProblems []FieldProblem `json:"schema_problems,omitempty" doc:"What the schema of the type has against the event, which goes on nevertheless; the pointers are into the event"`
}

// Rejected is something that was published and is no event.
type Rejected struct {
	Seq         int64        `json:"seq" doc:"In the stream of events"`
	Subject     string       `json:"subject" doc:"What it was published to"`
	Reason      string       `json:"reason" doc:"Why it was rejected, in one fixed word"`
	Detail      string       `json:"detail" doc:"Why it was rejected, for people"`
	Raw         string       `json:"raw" doc:"The first 16 KiB of what was published"`
	RawIsBase64 bool         `json:"raw_is_base64" doc:"Whether it was no text"`
	Size        int          `json:"size" doc:"Of all that was published, in bytes"`
	Headers     []HeaderLine `json:"headers" nullable:"false"`
	CreatedDate time.Time    `json:"created_date" doc:"When it was published"`
}

// ExplainedHook says why a hook did or did not get an event.
type ExplainedHook struct {
	Hook         uuid.UUID  `json:"hook" format:"uuid"`
	Name         string     `json:"name" doc:"The hook's; empty where it has been deleted"`
	Outcome      string     `json:"outcome" enum:"delivered,waiting,parked,dead,cancelled,superseded,not_matched,not_recorded" doc:"not_recorded: the hook wants the event now, and there is no delivery of it"`
	Reason       string     `json:"reason" doc:"Why, in one fixed word; may be empty"`
	Detail       string     `json:"detail" doc:"Why, for people; may be empty"`
	Delivery     *string    `json:"delivery" format:"uuid" doc:"Its id; null where there is none"`
	SupersededBy *uuid.UUID `json:"superseded_by" format:"uuid" nullable:"true" doc:"The delivery that took its place; null unless the outcome is superseded"`
	AttemptCount int        `json:"attempt_count"`
	Status       *int       `json:"status" doc:"The HTTP status of the last attempt; null where no answer came"`
	NextAttempt  *time.Time `json:"next_attempt_date"`
	Evaluated    string     `json:"evaluated" enum:"recorded,now" doc:"Whether this is what happened, or what follows from the hook as it is now"`
}

// EventType is a type of events that the tenant knows.
type EventType struct {
	Name        string          `json:"name" example:"package.created"`
	Description string          `json:"description" doc:"What happened when such an event is sent"`
	Schema      json.RawMessage `json:"schema" doc:"JSON Schema of the event's data; null where there is none"`
	Example     json.RawMessage `json:"example" doc:"An event's data; null where there is none"`
	BuiltIn     bool            `json:"built_in" doc:"Whether the type is known from the start; the others were declared by the tenant"`
	SchemaCheck string          `json:"schema_check" enum:"off,warn,reject" doc:"What is done with events whose data does not fit the schema: nothing, mark them, or reject them"`
	Deprecated  bool            `json:"deprecated" doc:"Whether the type should not be used any more; nothing else follows from it"`
}
