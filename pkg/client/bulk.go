package client

import (
	"context"
	"net/http"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

type (
	// HookChoice chooses hooks to change. Where nothing chooses, All has to say that all of the tenant's hooks are meant.
	HookChoice = api.HookChoice
	// RetryChoice chooses deliveries to be tried again. It needs IDs or From.
	RetryChoice = api.RetryChoice
)

// PauseHooks pauses all hooks of the choice, and says how many; with dryRun it only counts them.
func (c *Client) PauseHooks(ctx context.Context, choice HookChoice, dryRun bool) (int, error) {
	return c.changeHooks(ctx, "pause/", choice, dryRun)
}

// ResumeHooks makes the paused and disabled hooks of the choice active again, as PauseHooks pauses them.
func (c *Client) ResumeHooks(ctx context.Context, choice HookChoice, dryRun bool) (int, error) {
	return c.changeHooks(ctx, "resume/", choice, dryRun)
}

func (c *Client) changeHooks(ctx context.Context, what string, choice HookChoice, dryRun bool) (int, error) {
	var done api.BulkCount
	body := api.BulkHooks{HookChoice: choice, DryRun: dryRun}
	err := c.do(ctx, request{method: http.MethodPost, path: hooksPath + what, body: body}, &done)
	return done.Count, err
}

// ReplayHooks begins a replay of each hook of the choice; with fields.DryRun it only counts.
func (c *Client) ReplayHooks(ctx context.Context, choice HookChoice, fields ReplayFields) (api.BulkReplay, error) {
	var done api.BulkReplay
	body := api.BulkReplayFields{HookChoice: choice, ReplayFields: fields}
	err := c.do(ctx, request{method: http.MethodPost, path: hooksPath + "replay/", body: body}, &done)
	return done, err
}

// RetryDeliveries has the newest deliveries of the choice tried again at once; with dryRun it only counts them.
func (c *Client) RetryDeliveries(ctx context.Context, choice RetryChoice, dryRun bool) (api.BulkCount, error) {
	var done api.BulkCount
	body := api.BulkRetry{RetryChoice: choice, DryRun: dryRun}
	err := c.do(ctx, request{method: http.MethodPost, path: deliveriesPath + "retry/", body: body}, &done)
	return done, err
}
