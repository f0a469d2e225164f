package usecase

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// MaxBulkIDs is how many ids a change of many things names.
	MaxBulkIDs = 1000
	// MaxBulkReplays is how many hooks are replayed at once: each has a job of its own.
	MaxBulkReplays = 100
)

// HookChoice chooses hooks to change. What is empty lets every hook pass; one that chooses nothing needs All.
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

// ChangeStatuses pauses the chosen hooks or makes them active, all of them or none, and says how many; only counts them for a dry
// run.
func (s *Service) ChangeStatuses(ctx context.Context, c *Caller, choice HookChoice, to webhook.HookStatus, dryRun bool) (int, error) {
	if err := choice.check(); err != nil {
		return 0, err
	}
	change := store.StatusChange{To: to, Filter: choice.HookFilter}
	if dryRun {
		return s.CountStatuses(ctx, c, change)
	}
	return s.SetStatuses(ctx, c, change)
}

// Replays is what became of a replay of many hooks.
type Replays struct {
	Jobs []store.Job
	// Refused are hooks that have none, with the reason.
	Refused map[uuid.UUID]string
}

// ReplayHooks begins a replay of each of the chosen hooks, which are MaxBulkReplays at the most; only counts them for a dry run. A
// hook that is disabled, has a job or has nothing to be sent again is left out.
func (s *Service) ReplayHooks(ctx context.Context, c *Caller, choice HookChoice, r Replay, dryRun bool) (Replays, error) {
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

func (s *Service) replayOne(ctx context.Context, c *Caller, h *webhook.Hook, r Replay, dryRun bool, out *Replays) error {
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

// RetryChoice chooses deliveries to be made again. It needs IDs or From.
type RetryChoice struct {
	IDs        []uuid.UUID
	Hook       uuid.UUID
	Labels     webhook.LabelSelector
	EventTypes []string
	Entity     string
	States     []webhook.DeliveryState
	// From and To bound when the events were published; a zero To is no bound.
	From, To time.Time
	// Force chooses those that were delivered or superseded, too.
	Force bool
}

func (r *RetryChoice) filter() (store.DeliveryFilter, error) {
	invalid := &webhook.ValidationError{}
	f := store.DeliveryFilter{
		OneOf: r.IDs, Hook: r.Hook, Labels: r.Labels, EventTypes: webhook.CanonicalEventTypes(r.EventTypes), Entity: r.Entity, States: r.States,
		Range: store.TimeRange{From: r.From.UTC(), To: r.To.UTC()},
	}
	checkIDs(invalid, r.IDs)
	if err := r.Labels.Check(); err != nil {
		invalid.Collect("/labels", err)
	}
	if len(r.EventTypes) > webhook.MaxEventTypes {
		invalid.Add("/event_types", "must name at most %d event types", webhook.MaxEventTypes)
	}
	for _, t := range f.EventTypes {
		if err := webhook.ValidatePattern(t); err != nil {
			invalid.Add("/event_types", "%q %s", webhook.Clip(t), err)
		}
	}
	if err := webhook.ValidateEntity(r.Entity); err != nil {
		invalid.Add("/entity", "%s", err)
	}
	for _, state := range r.States {
		done := state == webhook.Delivered || state == webhook.Superseded
		if state != webhook.Dead && state != webhook.Waiting && state != webhook.Cancelled && (!done || !r.Force) {
			invalid.Add("/states", "must be of dead, waiting, cancelled, and with force delivered, superseded")
			break
		}
	}
	switch {
	case r.From.IsZero() && r.IDs == nil:
		invalid.Add("/from", "is required, or ids")
	case !r.From.IsZero() && !storable(r.From):
		invalid.Add("/from", "must be after the year 2000")
	}
	switch {
	case !r.To.IsZero() && !storable(r.To):
		invalid.Add("/to", "must be before the year 2200")
	case !r.To.IsZero() && !r.From.Before(r.To):
		invalid.Add("/from", "must be before to")
	}
	return f, invalid.OrNil()
}

// RetryChosen has the chosen deliveries made again, at once, and says how many, the newest store.MaxRetried at the most; only counts
// them for a dry run.
func (s *Service) RetryChosen(ctx context.Context, c *Caller, r RetryChoice, dryRun bool) (int, error) {
	f, err := r.filter()
	switch {
	case err != nil:
		return 0, err
	case dryRun:
		return s.CountRetriable(ctx, c, f, r.Force)
	}
	return s.RetryDeliveries(ctx, c, f, r.Force)
}
