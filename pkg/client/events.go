package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Event is an event to publish. Type and Data are needed.
type Event struct {
	// ID makes publishing again harmless for 24 h; empty for one that the API makes.
	ID   string `json:"event_id,omitempty"`
	Type string `json:"event_type"`
	// Time is when it happened; zero for now.
	Time time.Time `json:"event_time,omitzero"`
	// Entity is what the event is about, such as package:61.
	Entity string `json:"entity,omitempty"`
	// Context is a JSON object beside the data.
	Context json.RawMessage `json:"current_context,omitempty"`
	// ConfigFilter narrows the event to hooks whose config contains it.
	ConfigFilter json.RawMessage `json:"config_filter,omitempty"`
	Data         json.RawMessage `json:"data"`
}

// Published says what became of an event that was published.
type Published struct {
	ID string `json:"event_id"`
}

// Publish publishes one event and returns when it is stored.
func (c *Client) Publish(ctx context.Context, e Event) (Published, error) {
	var p Published
	err := c.do(ctx, request{method: http.MethodPost, path: "/whisperer/events/", body: e}, &p)
	return p, err
}

// PublishBatch publishes up to 100 events and returns when all are stored. On an error some may be: publish the same
// again, with an ID in each.
func (c *Client) PublishBatch(ctx context.Context, events []Event) error {
	return c.do(ctx, request{method: http.MethodPost, path: "/whisperer/events/", body: events}, nil)
}
