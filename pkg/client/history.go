package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"
)

// EventSummary is an event in a list.
type EventSummary struct {
	ID   string `json:"event_id"`
	Type string `json:"event_type"`
	// Time is when it happened, by the publisher's clock.
	Time   time.Time `json:"event_time"`
	Entity string    `json:"entity"`
	// Sequence grows with publication; receivers get it as X-Whisperer-Sequence.
	Sequence int64 `json:"sequence"`
	// Size is that of the data, in bytes.
	Size int `json:"size"`
	// CreatedDate is when it was published.
	CreatedDate time.Time `json:"created_date"`
	// SchemaProblems is what the schema of the type has against the data, where it is checked.
	SchemaProblems []FieldProblem `json:"schema_problems"`
}

// OutcomeCounts says how many deliveries are in which state.
type OutcomeCounts struct {
	Total     int `json:"total"`
	Delivered int `json:"delivered"`
	Dead      int `json:"dead"`
	Waiting   int `json:"waiting"`
	Parked    int `json:"parked"`
	Cancelled int `json:"cancelled"`
	// SuccessRate is the delivered of those that are delivered or dead, 0 to 1; nil where there are none.
	SuccessRate *float64 `json:"success_rate"`
}

// RecordedEvent is an event with its payload, as it was published.
type RecordedEvent struct {
	EventSummary

	Context      json.RawMessage `json:"current_context"`
	ConfigFilter json.RawMessage `json:"config_filter"`
	Data         json.RawMessage `json:"data"`
	// Traceparent is the W3C trace context; may be empty.
	Traceparent string        `json:"traceparent"`
	Deliveries  OutcomeCounts `json:"deliveries"`
}

// EventFilter narrows a list of events; empty fields let everything pass. Without From the list goes back seven days.
type EventFilter struct {
	EventType string
	Entity    string
	// OffSchema leaves the events that the schema of their type has something against.
	OffSchema bool
	From, To  time.Time
	DataFilter
}

// Events lists events, newest first, fetching page after page. It ends after the first error.
func (c *Client) Events(ctx context.Context, f EventFilter) iter.Seq2[EventSummary, error] {
	q := f.add(queryOf(map[string]string{
		"event_type": f.EventType, "entity": f.Entity, "from": timeParameter(f.From), "to": timeParameter(f.To),
	}))
	if f.OffSchema {
		q.Set("off_schema", "true")
	}
	return pages[EventSummary](ctx, c, eventsPath, q)
}

// Event returns an event with its payload; webhook.ErrNotFound where there is none, or not any more.
func (c *Client) Event(ctx context.Context, id string) (RecordedEvent, error) {
	var e RecordedEvent
	err := c.do(ctx, request{method: http.MethodGet, path: eventsPath + id + "/"}, &e)
	return e, err
}

// RejectedEvent is something that was published and is no event.
type RejectedEvent struct {
	// Seq is its number in the stream of events.
	Seq     int64  `json:"seq"`
	Subject string `json:"subject"`
	// Reason is one fixed word, Detail a sentence for people.
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	// Raw is the first 16 KiB of what was published, in base64 where that was no text.
	Raw         string    `json:"raw"`
	RawIsBase64 bool      `json:"raw_is_base64"`
	Size        int       `json:"size"`
	CreatedDate time.Time `json:"created_date"`
}

// RejectedFilter narrows a list of rejected events; empty fields let everything pass. Without From the list goes back
// seven days.
type RejectedFilter struct {
	Reason string
	// Subject is a part of what it was published to, in any case of letters.
	Subject  string
	From, To time.Time
}

// RejectedEvents lists what was rejected, newest first, fetching page after page. It ends after the first error.
func (c *Client) RejectedEvents(ctx context.Context, f RejectedFilter) iter.Seq2[RejectedEvent, error] {
	q := queryOf(map[string]string{
		"reason": f.Reason, "subject": f.Subject, "from": timeParameter(f.From), "to": timeParameter(f.To),
	})
	return pages[RejectedEvent](ctx, c, "/whisperer/rejected-events/", q)
}

// Tenant is one of the installation's tenants.
type Tenant struct {
	Name        string    `json:"name"`
	CreatedDate time.Time `json:"created_date"`
}

const tenantsPath = "/whisperer/tenants/"

// Tenants lists the tenants, for operators.
func (c *Client) Tenants(ctx context.Context) iter.Seq2[Tenant, error] {
	return pages[Tenant](ctx, c, tenantsPath, nil)
}

// EnsureTenant makes a tenant where there is none of that name, for operators.
func (c *Client) EnsureTenant(ctx context.Context, name string) error {
	return c.do(ctx, request{method: http.MethodPost, path: tenantsPath, body: map[string]string{"name": name}}, nil)
}
