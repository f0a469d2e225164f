package usecase

import (
	"context"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Get returns one of the tenant's deliveries with its attempts. The error is webhook.ErrNotFound.
func (s *Deliveries) Get(ctx context.Context, c *Caller, id uuid.UUID) (webhook.Delivery, []webhook.Attempt, error) {
	return s.History.GetDelivery(ctx, c.Tenant, id)
}

// AttemptsOf lists the attempts of some of the tenant's deliveries, without headers and bodies.
func (s *Deliveries) AttemptsOf(ctx context.Context, c *Caller, deliveries []webhook.Delivery) ([]webhook.Attempt, error) {
	return s.History.AttemptsOf(ctx, c.Tenant, deliveries)
}

// Retry has a delivery made again, at once; one that was delivered only with force. The errors are *store.ReplayError and
// webhook.ErrNotFound.
func (s *Deliveries) Retry(ctx context.Context, c *Caller, id uuid.UUID, force bool) error {
	return s.jobs.RetryDelivery(ctx, c.Actor(), c.Tenant, id, force)
}

// CountRetriable says how many deliveries RetryMany would have made again, at most store.MaxRetried.
func (s *Deliveries) CountRetriable(ctx context.Context, c *Caller, f store.DeliveryFilter, force bool) (int, error) {
	return s.jobs.CountRetriable(ctx, c.Tenant, f, force)
}

// RetryMany has deliveries made again, at once, and says how many: at most store.MaxRetried. With force they are those that
// were delivered, too.
func (s *Deliveries) RetryMany(ctx context.Context, c *Caller, f store.DeliveryFilter, force bool) (int, error) {
	return s.jobs.RetryDeliveries(ctx, c.Actor(), c.Tenant, f, force)
}

// List returns the tenant's jobs, newest first; those of one hook, unless it is uuid.Nil.
func (s *Jobs) List(ctx context.Context, c *Caller, hook uuid.UUID, page store.Page) (list []store.Job, more bool, err error) {
	return s.jobs.List(ctx, c.Tenant, hook, page)
}

// Get returns one of the tenant's jobs. The error is webhook.ErrNotFound.
func (s *Jobs) Get(ctx context.Context, c *Caller, id uuid.UUID) (store.Job, error) {
	return s.jobs.Get(ctx, c.Tenant, id)
}

// JobChange is what a person does to a job.
type JobChange string

// Changes of jobs.
const (
	PauseJob  JobChange = "pause"
	ResumeJob JobChange = "resume"
	CancelJob JobChange = "cancel"
)

// JobChanges are all of them.
func JobChanges() []JobChange { return []JobChange{PauseJob, ResumeJob, CancelJob} }

// Change pauses, resumes or cancels a job. The errors are *store.ReplayError where it is finished, and webhook.ErrNotFound; so is
// a change that there is not.
func (s *Jobs) Change(ctx context.Context, c *Caller, id uuid.UUID, change JobChange) (store.Job, error) {
	states := map[JobChange]store.JobState{PauseJob: store.JobPaused, ResumeJob: store.JobRunning, CancelJob: store.JobCancelled}
	state, there := states[change]
	if !there {
		return store.Job{}, webhook.ErrNotFound
	}
	return s.jobs.SetState(ctx, c.Actor(), c.Tenant, id, state)
}
