package client

import (
	"context"
	"net/http"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// BacktestFields say what a hook would be, and of which time its events are; what is empty is left to the API.
type BacktestFields = api.BacktestFields

// Backtest asks what a hook would have got of the last day's events, before it is saved.
func (c *Client) Backtest(ctx context.Context, f BacktestFields) (api.Backtest, error) {
	var b api.Backtest
	err := c.do(ctx, request{method: http.MethodPost, path: hooksPath + "backtest/", body: f}, &b)
	return b, err
}
