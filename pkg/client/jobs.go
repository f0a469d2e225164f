package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// ReplayFields say what to send again. From is needed, and Reason unless it is a dry run.
type ReplayFields = api.ReplayFields

// Replay begins a job that sends a hook's deliveries again, or counts them where it is a dry run.
// webhook.ErrConflict comes where the hook has a job already, or is disabled.
func (c *Client) Replay(ctx context.Context, hook uuid.UUID, fields ReplayFields) (api.Job, error) {
	var j api.Job
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(hook, "replay/"), body: fields}, &j)
	return j, err
}

// Recovery tells what a hook missed while it was disabled. webhook.ErrNotFound comes where there is no such hook.
func (c *Client) Recovery(ctx context.Context, hook uuid.UUID) (api.Recovery, error) {
	var r api.Recovery
	err := c.do(ctx, request{method: http.MethodGet, path: hookPath(hook, "recovery/")}, &r)
	return r, err
}

const jobsPath = "/whisperer/jobs/"

// Jobs lists jobs, newest first: those of the hook, or with uuid.Nil of all hooks of the tenant.
func (c *Client) Jobs(ctx context.Context, hook uuid.UUID) iter.Seq2[api.Job, error] {
	return pages[api.Job](ctx, c, jobsPath, queryOf(struct {
		Hook uuid.UUID `query:"hook"`
	}{hook}))
}

// Job returns a job and how far it is.
func (c *Client) Job(ctx context.Context, id uuid.UUID) (api.Job, error) {
	var j api.Job
	err := c.do(ctx, request{method: http.MethodGet, path: jobsPath + id.String() + "/"}, &j)
	return j, err
}

// PauseJob pauses a job; webhook.ErrConflict where it has ended.
func (c *Client) PauseJob(ctx context.Context, id uuid.UUID) (api.Job, error) {
	return c.setJob(ctx, id, "pause")
}

// ResumeJob goes on with a paused job; webhook.ErrConflict where it has ended.
func (c *Client) ResumeJob(ctx context.Context, id uuid.UUID) (api.Job, error) {
	return c.setJob(ctx, id, "resume")
}

// CancelJob ends a job; what it has handed to the hook already is sent.
func (c *Client) CancelJob(ctx context.Context, id uuid.UUID) (api.Job, error) {
	return c.setJob(ctx, id, "cancel")
}

func (c *Client) setJob(ctx context.Context, id uuid.UUID, verb string) (api.Job, error) {
	var j api.Job
	err := c.do(ctx, request{method: http.MethodPost, path: jobsPath + id.String() + "/" + verb + "/"}, &j)
	return j, err
}
