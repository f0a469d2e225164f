package usecase

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// MaxBulkIDs is how many ids a bulk change may list.
	MaxBulkIDs = 1000
	// MaxBulkReplays is how many hooks may be replayed at once, because each gets a job of its own.
	MaxBulkReplays = 100
)

// HookChoice selects hooks to change. Empty criteria match every hook; if all are empty, All is required.
type HookChoice struct {
	store.HookFilter

	// All says that all of the tenant's hooks are meant.
	All bool
}

func (h *HookChoice) check() error {
	invalid := &webhook.ValidationError{}
	checkIDs(invalid, h.IDs)
	if err := h.Labels.Check(); err != nil {
		invalid.Collect("/labels", err)
	}
	switch h.Status {
	case "", webhook.Active, webhook.Paused, webhook.Disabled:
	default:
		invalid.Add("/status", "must be active, paused or disabled")
	}
	if err := webhook.ValidatePattern(h.EventType); h.EventType != "" && err != nil {
		invalid.Add("/event_type", "%s", err)
	}
	if h.IDs == nil && len(h.Labels) == 0 && h.TargetURL+h.EventType+h.Search+string(h.Status) == "" && !h.All {
		invalid.Add("/all", "must be true where nothing else chooses: ids, labels, event_type, target_url, search or status")
	}
	return invalid.OrNil()
}

func checkIDs(invalid *webhook.ValidationError, ids []uuid.UUID) {
	if len(ids) > MaxBulkIDs {
		invalid.Add("/ids", "must be at most %d", MaxBulkIDs)
	}
}

// ChangeStatuses pauses the selected hooks or makes them active, all of them or none, and returns how many. A dry run
// only counts them.
func (s *Hooks) ChangeStatuses(ctx context.Context, c *Caller, choice HookChoice, to webhook.HookStatus, dryRun bool) (int, error) {
	if err := choice.check(); err != nil {
		return 0, err
	}
	change := store.StatusChange{To: to, Filter: choice.HookFilter}
	if dryRun {
		return s.CountStatuses(ctx, c, change)
	}
	return s.SetStatuses(ctx, c, change)
}

// Replays is the result of a replay of many hooks.
type Replays struct {
	Jobs []store.Job
	// Refused are hooks without a job, with the reason.
	Refused map[uuid.UUID]string
}

// ReplayHooks begins a replay of each of the selected hooks, at most MaxBulkReplays. A dry run only counts them. It
// skips a hook that is disabled, has a job already, or has nothing to replay.
func (s *Jobs) ReplayHooks(ctx context.Context, c *Caller, choice HookChoice, r Replay, dryRun bool) (Replays, error) {
	out := Replays{Refused: map[uuid.UUID]string{}}
	if err := choice.check(); err != nil {
		return out, err
	}
	hooks, more, err := s.hooks.List(ctx, c.Tenant, choice.HookFilter, store.Page{Limit: MaxBulkReplays})
	if err != nil {
		return out, err
	}
	invalid := &webhook.ValidationError{}
	if more {
		invalid.Add("/ids", "chooses more than %d hooks: narrow it", MaxBulkReplays)
	}
	if _, wrong := r.job(c.Tenant, uuid.Nil); wrong.OrNil() != nil {
		invalid.Collect("", wrong)
	}
	if r.Reason == "" && !dryRun {
		invalid.Add("/reason", "must have 1 to %d bytes", maxReplayReason)
	}
	if err := invalid.OrNil(); err != nil {
		return out, err
	}
	for i := range hooks {
		if err := s.replayOne(ctx, c, &hooks[i], r, dryRun, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (s *Jobs) replayOne(ctx context.Context, c *Caller, h *webhook.Hook, r Replay, dryRun bool, out *Replays) error {
	counted, err := s.CountReplay(ctx, c, h.ID, r)
	if unreadable, ok := errors.AsType[*store.UnreadableError](err); ok {
		out.Refused[h.ID] = "The hook cannot be read: " + unreadable.Hook.Unreadable + "."
		return nil
	}
	job := *Counted(c, counted)
	switch {
	case errors.Is(err, webhook.ErrNotFound): // deleted meanwhile
		return nil
	case err != nil:
		return err
	case h.Status == webhook.Disabled:
		out.Refused[h.ID] = "The hook is disabled: resume it first."
		return nil
	case counted.Total == 0 && !counted.IncludeMissing:
		return nil
	case !dryRun:
		job, err = s.BeginReplay(ctx, c, h.ID, r)
	}
	if refused, ok := errors.AsType[*store.ReplayError](err); ok {
		out.Refused[h.ID] = refused.Reason
		return nil
	}
	if err == nil {
		out.Jobs = append(out.Jobs, job)
	}
	return err
}

// RetryChosen retries the selected deliveries at once and returns how many: the newest ones, at most
// store.MaxRetried. A dry run only counts them.
func (s *Deliveries) RetryChosen(ctx context.Context, c *Caller, r api.RetryChoice, dryRun bool) (int, error) {
	f, err := readRetryChoice(&r)
	switch {
	case err != nil:
		return 0, err
	case dryRun:
		return s.CountRetriable(ctx, c, f, r.Force)
	}
	return s.RetryMany(ctx, c, f, r.Force)
}
