package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// EventFields are an event to publish. Type and Data are required; the data is passed on byte for byte.
type EventFields struct {
	// ID makes publishing again harmless for 24 h; if empty, the API generates one.
	ID   string `json:"event_id,omitempty" doc:"Publishing it again within 24 hours is harmless; generated if absent" maxLength:"255"`
	Type string `json:"event_type" doc:"Such as package.created"`
	// Time is when it happened; zero means now.
	Time time.Time `json:"event_time,omitzero" doc:"When it happened, in RFC 3339 format; now if absent" wire:"text"`
	// Entity is what the event is about, such as package:61.
	Entity string `json:"entity,omitempty" doc:"What the event is about, such as package:61" maxLength:"256"`
	// Context is a JSON object in addition to the data.
	Context json.RawMessage `json:"current_context,omitempty" doc:"Sent to receivers in addition to the data" wire:"object"`
	// ConfigFilter narrows the event to hooks whose config contains it.
	ConfigFilter json.RawMessage `json:"config_filter,omitempty" doc:"Limits the event to hooks whose config contains this" wire:"object"`
	Data         json.RawMessage `json:"data" doc:"Any JSON"`
}

// EventSummary is an event in a list.
type EventSummary struct {
	ID             string         `json:"event_id"`
	Type           string         `json:"event_type"`
	Time           time.Time      `json:"event_time" doc:"When it happened, by the publisher's clock"`
	Entity         string         `json:"entity"`
	Sequence       int64          `json:"sequence" doc:"Grows with publication; receivers get it as X-Whisperer-Sequence"`
	Size           int            `json:"size" doc:"Of the data, in bytes"`
	CreatedDate    time.Time      `json:"created_date" doc:"When it was published"`
	SchemaProblems []FieldProblem `json:"schema_problems" nullable:"false" doc:"How the data violates the JSON Schema of its type, if that is checked; the pointers are into the data"`
	Erased         *Erased        `json:"erased,omitzero" doc:"When its payload was removed; absent if it is still there"`
}

// Event is an event with its payload, as it was published.
type Event struct {
	EventSummary

	Context      Object          `json:"current_context"`
	ConfigFilter Object          `json:"config_filter"`
	Data         json.RawMessage `json:"data" doc:"As it was published"`
	Traceparent  string          `json:"traceparent" doc:"W3C trace context; may be empty"`
	Deliveries   OutcomeCounts   `json:"deliveries" doc:"Number of deliveries that it caused"`
}

// Published is the result of publishing events.
type Published struct {
	EventID string           `json:"event_id,omitempty" doc:"Id of the event, if a single one was sent"`
	Results []PublishedEvent `json:"results" nullable:"false" doc:"The events, in the order of the request"`
}

// PublishedEvent is one of the published events.
type PublishedEvent struct {
	EventID        string         `json:"event_id"`
	SchemaProblems []FieldProblem `json:"schema_problems,omitempty" doc:"How the event violates its type's schema, although it is accepted; the pointers are into the event"`
}

// Rejected is a published message that is not a valid event.
type Rejected struct {
	Seq         int64        `json:"seq" doc:"In the stream of events"`
	Subject     string       `json:"subject" doc:"The subject that it was published to"`
	Reason      string       `json:"reason" doc:"Why it was rejected, as a fixed word"`
	Detail      string       `json:"detail" doc:"Why it was rejected, for people"`
	Raw         string       `json:"raw" doc:"The first 16 KiB of what was published"`
	RawIsBase64 bool         `json:"raw_is_base64" doc:"Whether it was not text"`
	Size        int          `json:"size" doc:"Size of what was published, in bytes"`
	Headers     []HeaderLine `json:"headers" nullable:"false"`
	CreatedDate time.Time    `json:"created_date" doc:"When it was published"`
}

// ExplainedHook says why a hook did or did not get an event.
type ExplainedHook struct {
	Hook         uuid.UUID  `json:"hook" format:"uuid"`
	Name         string     `json:"name" doc:"The hook's; empty if it was deleted"`
	Outcome      string     `json:"outcome" enum:"delivered,waiting,parked,dead,cancelled,superseded,not_matched,not_recorded" doc:"not_recorded: the hook matches the event now, but there is no delivery"`
	Reason       string     `json:"reason" doc:"The reason, as a fixed word; may be empty"`
	Detail       string     `json:"detail" doc:"The reason, for people; may be empty"`
	Delivery     *string    `json:"delivery" format:"uuid" doc:"Its id; null if there is none"`
	SupersededBy *uuid.UUID `json:"superseded_by" format:"uuid" nullable:"true" doc:"The delivery that replaced it; null unless the outcome is superseded"`
	AttemptCount int        `json:"attempt_count"`
	Status       *int       `json:"status" doc:"The HTTP status of the last attempt; null if there was no response"`
	NextAttempt  *time.Time `json:"next_attempt_date"`
	Evaluated    string     `json:"evaluated" enum:"recorded,now" doc:"Whether this is recorded, or derived from the hook's current settings"`
}

// EventTypeSettings say how events of a type are treated. In a change, empty fields stay as they are.
type EventTypeSettings struct {
	// SchemaCheck is off, warn or reject.
	SchemaCheck string `json:"schema_check,omitempty" enum:"off,warn,reject" doc:"What happens to events whose data does not match the schema; if absent it stays as it is, and is warn for a new type with a schema"`
	Deprecated  *bool  `json:"deprecated,omitempty" doc:"Whether the type should no longer be used"`
}

// EventTypeFields declare an event type of the tenant's own.
type EventTypeFields struct {
	EventTypeSettings

	Name        string `json:"name" doc:"Words of a-z, 0-9 and _ joined by dots" maxLength:"128"`
	Description string `json:"description,omitempty" maxLength:"1024"`
	// Schema is a JSON Schema of the events' data. Example is an example of the data and must match it. Both may be
	// empty.
	Schema  json.RawMessage `json:"schema,omitempty" doc:"JSON Schema of the event's data" wire:"object"`
	Example json.RawMessage `json:"example,omitempty" doc:"Example of an event's data; it must match the schema"`
}

// EventType is a type of events that the tenant knows.
type EventType struct {
	Name        string          `json:"name" example:"package.created"`
	Description string          `json:"description" doc:"What an event of this type means"`
	Schema      json.RawMessage `json:"schema" doc:"JSON Schema of the event's data; null if there is none"`
	Example     json.RawMessage `json:"example" doc:"Example of an event's data; null if there is none"`
	BuiltIn     bool            `json:"built_in" doc:"Whether the type is built in; the others were declared by the tenant"`
	SchemaCheck string          `json:"schema_check" enum:"off,warn,reject" doc:"What happens to events whose data does not match the schema: nothing, they are marked, or they are rejected"`
	Deprecated  bool            `json:"deprecated" doc:"Whether the type should no longer be used; this has no other effect"`
}
