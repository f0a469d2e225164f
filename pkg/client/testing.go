package client

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/google/uuid"
)

// Trial says what a test sends.
type Trial struct {
	// EventType is a known type; empty for the first that the hook wants.
	EventType string `json:"event_type,omitempty"`
	// Data is the event's; nil for the type's example.
	Data json.RawMessage `json:"data,omitempty"`
	// Hook has fields that are not saved; nil for none.
	Hook *HookFields `json:"hook,omitempty"`
}

// Tried is what became of a test.
type Tried struct {
	Event     string    `json:"event"`
	EventType string    `json:"event_type"`
	WebhookID uuid.UUID `json:"webhook_id"`
	// RequestBody is what was sent; empty where no request could be made.
	RequestBody string `json:"request_body"`
	// Attempt is the request and the receiver's answer. A receiver that fails is no error.
	Attempt Attempt `json:"attempt"`
}

// TestHook sends an example event to a hook now and returns the receiver's answer. It waits for as long as the hook's
// timeout lets the receiver take.
func (c *Client) TestHook(ctx context.Context, id uuid.UUID, t Trial) (Tried, error) {
	var tried Tried
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(id, "test/"), body: t}, &tried)
	return tried, err
}

// TestUnsavedHook is TestHook for the hook that the trial's fields would create.
func (c *Client) TestUnsavedHook(ctx context.Context, t Trial) (Tried, error) {
	var tried Tried
	err := c.do(ctx, request{method: http.MethodPost, path: hooksPath + "test/", body: t}, &tried)
	return tried, err
}
