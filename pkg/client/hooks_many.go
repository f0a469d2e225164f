package client

import (
	"context"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// HookChoice chooses hooks to change. Where nothing chooses, All has to say that all of the tenant's hooks are meant.
type HookChoice = api.HookChoice

// PauseMany pauses all hooks of the choice, and says how many; with dryRun it only counts them.
func (c Hooks) PauseMany(ctx context.Context, choice HookChoice, dryRun bool) (api.BulkCount, error) {
	return c.change(ctx, "pause/", choice, dryRun)
}

// ResumeMany makes the paused and disabled hooks of the choice active again, as PauseMany pauses them.
func (c Hooks) ResumeMany(ctx context.Context, choice HookChoice, dryRun bool) (api.BulkCount, error) {
	return c.change(ctx, "resume/", choice, dryRun)
}

func (c Hooks) change(ctx context.Context, what string, choice HookChoice, dryRun bool) (api.BulkCount, error) {
	return post[api.BulkCount](ctx, c.core, hooksPath+what, api.BulkHooks{HookChoice: choice, DryRun: dryRun})
}

// ReplayMany begins a replay of each hook of the choice; with fields.DryRun it only counts.
func (c Hooks) ReplayMany(ctx context.Context, choice HookChoice, fields ReplayFields) (api.BulkReplay, error) {
	return post[api.BulkReplay](ctx, c.core, hooksPath+"replay/", api.BulkReplayFields{HookChoice: choice, ReplayFields: fields})
}
