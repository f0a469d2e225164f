package client

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// HookStats counts what became of a hook's deliveries; webhook.ErrNotFound where there is no such hook.
func (c *Client) HookStats(ctx context.Context, id uuid.UUID) (api.HookStats, error) {
	var s api.HookStats
	err := c.do(ctx, request{method: http.MethodGet, path: hookPath(id, "stats/")}, &s)
	return s, err
}
