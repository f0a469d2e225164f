package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
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

// Publish publishes one event and returns when it is stored.
func (c *Client) Publish(ctx context.Context, e Event) (api.Published, error) {
	var p api.Published
	err := c.do(ctx, request{method: http.MethodPost, path: "/whisperer/events/", body: e}, &p)
	return p, err
}

// PublishBatch publishes up to 100 events and returns when all are stored. On an error some may be: publish the same
// again, with an ID in each.
func (c *Client) PublishBatch(ctx context.Context, events []Event) error {
	return c.do(ctx, request{method: http.MethodPost, path: "/whisperer/events/", body: events}, nil)
}
