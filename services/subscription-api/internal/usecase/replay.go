package usecase

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// DefaultReplayRate is in deliveries per second.
	DefaultReplayRate = 100
	// ReplayTimeout bounds counting the deliveries of a replay.
	ReplayTimeout = 15 * time.Second

	maxReplayRate   = 10_000 // deliveries per second
	maxReplayReason = 500    // bytes
)

// Replay says which of a hook's deliveries to send again.
type Replay struct {
	// From and To bound the time of publication. To is at most a minute ago, which is also its default.
	From, To time.Time
	// EventTypes are types and patterns; an empty list means all.
	EventTypes []string
	States     []webhook.DeliveryState
	// IncludeMissing also includes events that the hook wants and that caused no delivery to it.
	IncludeMissing bool
	// Rate is in deliveries per second.
	Rate   int
	Reason string
}

// NewReplay returns a replay of dead deliveries at the default rate.
func NewReplay() Replay {
	return Replay{States: []webhook.DeliveryState{webhook.Dead}, Rate: DefaultReplayRate}
}

// CountReplay returns the job that BeginReplay would begin, with its Total. It needs no reason, and the hook may be
// disabled.
func (s *Jobs) CountReplay(ctx context.Context, c *Caller, hook uuid.UUID, r Replay) (store.NewJob, error) {
	n, invalid := r.job(c.Tenant, hook)
	if err := invalid.OrNil(); err != nil {
		return n, err
	}
	if _, err := s.hooks.Get(ctx, c.Tenant, hook); err != nil {
		return n, err
	}
	var err error
	n.Total, err = s.jobs.CountReplay(ctx, n.Replay)
	return n, err
}

// Counted returns the job for a dry run of a replay.
func Counted(c *Caller, n store.NewJob) *store.Job {
	return &store.Job{NewJob: n, State: store.JobState(api.JobDryRun), Owner: c.Actor(), Counted: true}
}

// BeginReplay counts and begins a replay. It returns a *store.ReplayError if the hook is disabled or has an
// unfinished job, and webhook.ErrNotFound if there is no such hook.
func (s *Jobs) BeginReplay(ctx context.Context, c *Caller, hook uuid.UUID, r Replay) (store.Job, error) {
	n, invalid := r.job(c.Tenant, hook)
	if n.Reason == "" {
		invalid.Add("/reason", "must have 1 to %d bytes", maxReplayReason)
	}
	if err := invalid.OrNil(); err != nil {
		return store.Job{}, err
	}
	h, err := s.hooks.Get(ctx, c.Tenant, hook)
	switch {
	case err != nil:
		return store.Job{}, err
	case h.Status == webhook.Disabled:
		return store.Job{}, &store.ReplayError{Reason: "The hook is disabled: resume it first."}
	}
	if n.Total, err = s.jobs.CountReplay(ctx, n.Replay); err != nil {
		return store.Job{}, err
	}
	return s.jobs.Create(ctx, c.Actor(), n)
}

// job returns the replay as it is stored, and what is wrong with it.
func (r *Replay) job(tenant string, hook uuid.UUID) (store.NewJob, *webhook.ValidationError) {
	invalid := &webhook.ValidationError{}
	n := store.NewJob{Reason: r.Reason, Rate: r.Rate, Replay: store.Replay{
		Tenant: tenant, HookID: hook, IncludeMissing: r.IncludeMissing, EventTypes: webhook.CanonicalEventTypes(r.EventTypes),
		Range: store.TimeRange{From: r.From.UTC(), To: time.Now().Add(-store.Settled)},
	}}
	if !r.To.IsZero() && r.To.Before(n.Range.To) {
		n.Range.To = r.To.UTC()
	}
	switch {
	case r.From.IsZero():
		invalid.Add("/from", "is required")
	case !storable(n.Range.From):
		invalid.Add("/from", "must be after the year 2000")
	case !n.Range.From.Before(n.Range.To):
		invalid.Add("/from", "must be before to, and more than a minute ago")
	}
	if n.Rate < 1 || n.Rate > maxReplayRate {
		invalid.Add("/rate", "must be a whole number from 1 to %d", maxReplayRate)
	}
	if len(n.Reason) > maxReplayReason {
		invalid.Add("/reason", "must have 1 to %d bytes", maxReplayReason)
	}
	if len(n.EventTypes) > webhook.MaxEventTypes {
		invalid.Add("/event_types", "must name at most %d event types", webhook.MaxEventTypes)
	}
	for _, t := range n.EventTypes {
		if err := webhook.ValidatePattern(t); err != nil {
			invalid.Add("/event_types", "%q %s", webhook.Clip(t), err)
		}
	}
	for _, state := range r.States {
		if state == webhook.Cancelled || state == webhook.Superseded || !slices.Contains(webhook.DeliveryStates(), state) {
			invalid.Add("/states", "must be of dead, delivered, waiting, parked")
			break
		}
		if !slices.Contains(n.States, state) {
			n.States = append(n.States, state)
		}
	}
	return n, invalid
}

// Recovery counts what a hook missed while it was last disabled, and says which replay recovers that.
func (s *Jobs) Recovery(ctx context.Context, c *Caller, hook uuid.UUID) (store.Recovery, error) {
	return s.jobs.FindRecovery(ctx, c.Tenant, hook)
}

// ReplayedBy selects the deliveries that a job has handed over: those of its hook, time range and event types for
// which a replay was requested since the job began. They include deliveries that a person has retried individually
// meanwhile.
func ReplayedBy(j *Job) DeliveryFilter {
	return DeliveryFilter{Hook: j.HookID, Range: j.Range, EventTypes: j.EventTypes, ReplayedSince: j.CreatedAt}
}

// Outcome counts the deliveries that a job has handed over, by state.
func (s *Jobs) Outcome(ctx context.Context, c *Caller, j *Job) (map[webhook.DeliveryState]int, error) {
	return s.Stats.CountByState(ctx, c.Tenant, ReplayedBy(j))
}
