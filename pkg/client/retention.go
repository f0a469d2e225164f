package client

import (
	"context"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const retentionPath = "/whisperer/retention/"

// Retention says for how long payloads are kept.
type Retention struct{ *core }

// List lists for how long the tenant keeps payloads of event types, where that is shorter than for all.
func (c Retention) List(ctx context.Context) ([]api.RetentionPolicy, error) {
	r, err := get[api.Retention](ctx, c.core, retentionPath)
	return r.Results, err
}

// Set says for how many days payloads of an event type, or of those of a pattern, are kept; nil for as long as all others. It
// returns all policies of the tenant.
func (c Retention) Set(ctx context.Context, eventType string, days *int) ([]api.RetentionPolicy, error) {
	r, err := post[api.Retention](ctx, c.core, retentionPath, api.RetentionFields{EventType: eventType, Days: days})
	return r.Results, err
}
