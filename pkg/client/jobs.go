package client

import (
	"context"
	"iter"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const jobsPath = "/whisperer/jobs/"

// Jobs follows and steers replays, recoveries and backfills. Hooks.Replay begins one.
type Jobs struct{ *core }

// List lists jobs, newest first: those of the hook, or with uuid.Nil of all hooks of the tenant.
func (c Jobs) List(ctx context.Context, hook uuid.UUID) iter.Seq2[api.Job, error] {
	return pages[api.Job](ctx, c.core, jobsPath, queryOf(struct {
		Hook uuid.UUID `query:"hook"`
	}{hook}))
}

// Get returns a job and how far it is.
func (c Jobs) Get(ctx context.Context, id uuid.UUID) (api.Job, error) {
	return get[api.Job](ctx, c.core, jobPath(id, ""))
}

// Pause pauses a job; webhook.ErrConflict where it has ended.
func (c Jobs) Pause(ctx context.Context, id uuid.UUID) (api.Job, error) {
	return post[api.Job](ctx, c.core, jobPath(id, "pause/"), nil)
}

// Resume goes on with a paused job; webhook.ErrConflict where it has ended.
func (c Jobs) Resume(ctx context.Context, id uuid.UUID) (api.Job, error) {
	return post[api.Job](ctx, c.core, jobPath(id, "resume/"), nil)
}

// Cancel ends a job; what it has handed to the hook already is sent.
func (c Jobs) Cancel(ctx context.Context, id uuid.UUID) (api.Job, error) {
	return post[api.Job](ctx, c.core, jobPath(id, "cancel/"), nil)
}

func jobPath(id uuid.UUID, rest string) string { return jobsPath + id.String() + "/" + rest }
