package usecase

import (
	"context"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Get returns one of the tenant's deliveries with its attempts. It returns webhook.ErrNotFound if there is none.
func (s *Deliveries) Get(ctx context.Context, c *Caller, id uuid.UUID) (webhook.Delivery, []webhook.Attempt, error) {
	return s.History.GetDelivery(ctx, c.Tenant, id)
}

// AttemptsOf lists the attempts of some of the tenant's deliveries, without headers and bodies.
func (s *Deliveries) AttemptsOf(ctx context.Context, c *Caller, deliveries []webhook.Delivery) ([]webhook.Attempt, error) {
	return s.History.AttemptsOf(ctx, c.Tenant, deliveries)
}

// Retry retries a delivery at once; force is required if it was delivered. The errors are *store.ReplayError and
// webhook.ErrNotFound.
func (s *Deliveries) Retry(ctx context.Context, c *Caller, id uuid.UUID, force bool) error {
	return s.jobs.RetryDelivery(ctx, c.Actor(), c.Tenant, id, force)
}

// CountRetriable returns how many deliveries RetryMany would retry, at most store.MaxRetried.
func (s *Deliveries) CountRetriable(ctx context.Context, c *Caller, f store.DeliveryFilter, force bool) (int, error) {
	return s.jobs.CountRetriable(ctx, c.Tenant, f, force)
}

// RetryMany retries deliveries at once and returns how many, at most store.MaxRetried. With force, these include
// delivered ones.
func (s *Deliveries) RetryMany(ctx context.Context, c *Caller, f store.DeliveryFilter, force bool) (int, error) {
	return s.jobs.RetryDeliveries(ctx, c.Actor(), c.Tenant, f, force)
}

// List returns the tenant's jobs, newest first. If hook is not uuid.Nil, it returns only that hook's.
func (s *Jobs) List(ctx context.Context, c *Caller, hook uuid.UUID, page store.Page) (list []store.Job, more bool, err error) {
	return s.jobs.List(ctx, c.Tenant, hook, page)
}

// Get returns one of the tenant's jobs. It returns webhook.ErrNotFound if there is none.
func (s *Jobs) Get(ctx context.Context, c *Caller, id uuid.UUID) (store.Job, error) {
	return s.jobs.Get(ctx, c.Tenant, id)
}

// JobChange is a change that a person makes to a job.
type JobChange string

// Changes of jobs.
const (
	PauseJob  JobChange = "pause"
	ResumeJob JobChange = "resume"
	CancelJob JobChange = "cancel"
)

// JobChanges returns all of them.
func JobChanges() []JobChange { return []JobChange{PauseJob, ResumeJob, CancelJob} }

// Change pauses, resumes or cancels a job. It returns a *store.ReplayError if the job has ended, and
// webhook.ErrNotFound if there is no such job or change.
func (s *Jobs) Change(ctx context.Context, c *Caller, id uuid.UUID, change JobChange) (store.Job, error) {
	states := map[JobChange]store.JobState{PauseJob: store.JobPaused, ResumeJob: store.JobRunning, CancelJob: store.JobCancelled}
	state, there := states[change]
	if !there {
		return store.Job{}, webhook.ErrNotFound
	}
	return s.jobs.SetState(ctx, c.Actor(), c.Tenant, id, state)
}
