package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// EraseFields say which payloads to erase: exactly one of Events, Entity and Path is needed, and Reason unless it is a dry run.
type EraseFields = api.EraseFields

const erasuresPath = "/whisperer/erasures/"

// Erase begins to erase payloads, or counts them where it is a dry run. It cannot be undone.
func (c *Client) Erase(ctx context.Context, fields EraseFields) (api.Erasure, error) {
	var e api.Erasure
	err := c.do(ctx, request{method: http.MethodPost, path: erasuresPath, body: fields}, &e)
	return e, err
}

// Erasures lists the tenant's erasures, newest first.
func (c *Client) Erasures(ctx context.Context) iter.Seq2[api.Erasure, error] {
	return pages[api.Erasure](ctx, c, erasuresPath, nil)
}

// Erasure returns an erasure and how far it is.
func (c *Client) Erasure(ctx context.Context, id uuid.UUID) (api.Erasure, error) {
	var e api.Erasure
	err := c.do(ctx, request{method: http.MethodGet, path: erasuresPath + id.String() + "/"}, &e)
	return e, err
}

// CancelErasure has no more events looked for; what was begun to be erased is erased. webhook.ErrConflict comes where it has ended.
func (c *Client) CancelErasure(ctx context.Context, id uuid.UUID) (api.Erasure, error) {
	var e api.Erasure
	err := c.do(ctx, request{method: http.MethodPost, path: erasuresPath + id.String() + "/cancel/"}, &e)
	return e, err
}

const retentionPath = "/whisperer/retention/"

// Retention lists for how long the tenant keeps payloads of event types, where that is shorter than for all.
func (c *Client) Retention(ctx context.Context) ([]api.RetentionPolicy, error) {
	var r api.Retention
	err := c.do(ctx, request{method: http.MethodGet, path: retentionPath}, &r)
	return r.Results, err
}

// SetRetention says for how many days payloads of an event type, or of those of a pattern, are kept; nil for as long as all others. It
// returns all policies of the tenant.
func (c *Client) SetRetention(ctx context.Context, eventType string, days *int) ([]api.RetentionPolicy, error) {
	var r api.Retention
	err := c.do(ctx, request{method: http.MethodPost, path: retentionPath, body: api.RetentionFields{EventType: eventType, Days: days}}, &r)
	return r.Results, err
}
