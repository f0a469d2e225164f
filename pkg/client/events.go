package client

import (
	"context"
	"net/http"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// Event is an event to publish. Type and Data are needed.
type Event = api.EventFields

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
