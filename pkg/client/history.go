package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

type (
	// EventFilter narrows a list of events; empty fields let everything pass. Without From the list goes back seven days.
	EventFilter = api.EventFilter
	// RejectedFilter narrows a list of rejected events; empty fields let everything pass. Without From the list goes back seven days.
	RejectedFilter = api.RejectedFilter
)

// Events lists events, newest first, fetching page after page. It ends after the first error.
func (c *Client) Events(ctx context.Context, f EventFilter) iter.Seq2[api.EventSummary, error] {
	return pages[api.EventSummary](ctx, c, eventsPath, queryOf(f))
}

// Event returns an event with its payload; webhook.ErrNotFound where there is none, or not any more.
func (c *Client) Event(ctx context.Context, id string) (api.Event, error) {
	var e api.Event
	err := c.do(ctx, request{method: http.MethodGet, path: eventsPath + id + "/"}, &e)
	return e, err
}

// RejectedEvents lists what was rejected, newest first, fetching page after page. It ends after the first error.
func (c *Client) RejectedEvents(ctx context.Context, f RejectedFilter) iter.Seq2[api.Rejected, error] {
	return pages[api.Rejected](ctx, c, "/whisperer/rejected-events/", queryOf(f))
}

const tenantsPath = "/whisperer/tenants/"

// Tenants lists the tenants, for operators.
func (c *Client) Tenants(ctx context.Context) iter.Seq2[api.Tenant, error] {
	return pages[api.Tenant](ctx, c, tenantsPath, nil)
}

// EnsureTenant makes a tenant where there is none of that name, for operators.
func (c *Client) EnsureTenant(ctx context.Context, name string) error {
	return c.do(ctx, request{method: http.MethodPost, path: tenantsPath, body: map[string]string{"name": name}}, nil)
}

// SetHandshake makes a tenant where there is none of that name, and says which receivers have to agree before its hooks send to them: off,
// new_hosts or always. It is for operators.
func (c *Client) SetHandshake(ctx context.Context, name, policy string) error {
	return c.do(ctx, request{method: http.MethodPost, path: tenantsPath, body: map[string]string{"name": name, "handshake": policy}}, nil)
}
