package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// JobState is where a job is.
type JobState string

// The states of a job. Running and paused jobs may go on; the others have ended.
const (
	JobRunning   JobState = "running"
	JobPaused    JobState = "paused"
	JobCompleted JobState = "completed"
	JobCancelled JobState = "cancelled"
	JobFailed    JobState = "failed"
	// JobDryRun is the state of what was only counted.
	JobDryRun JobState = "dry_run"
)

// Ended reports whether nothing more will happen.
func (s JobState) Ended() bool { return s != JobRunning && s != JobPaused }

// Job sends deliveries of a hook again, in the background.
type Job struct {
	// ID is nil where it was only counted.
	ID    *uuid.UUID `json:"id"`
	Hook  uuid.UUID  `json:"hook"`
	State JobState   `json:"state"`
	// Detail says why it is paused or failed, where that was not a person's doing.
	Detail string `json:"detail"`
	// Total is how many deliveries were counted at the beginning, Done how many have been handed to the hook.
	Total int `json:"total"`
	Done  int `json:"done"`
	// Owner is who asked for it.
	Owner  string `json:"owner"`
	Reason string `json:"reason"`
	// Rate is in deliveries a second.
	Rate           int                     `json:"rate"`
	From           time.Time               `json:"from"`
	To             time.Time               `json:"to"`
	EventTypes     []string                `json:"event_types"`
	States         []webhook.DeliveryState `json:"states"`
	IncludeMissing bool                    `json:"include_missing"`
	CreatedDate    *time.Time              `json:"created_date"`
	ModifiedDate   *time.Time              `json:"modified_date"`
}

// ReplayFields say what to send again. From is needed, and Reason unless it is a dry run.
type ReplayFields struct {
	// From and To bound when the events were published; a zero To is a minute ago.
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
	// EventTypes are types and patterns; none for all.
	EventTypes []string `json:"event_types,omitempty"`
	// States are of dead, delivered, waiting, parked; none for dead.
	States []string `json:"states,omitempty"`
	// IncludeMissing takes in the events that the hook wants now and that caused no delivery.
	IncludeMissing bool `json:"include_missing,omitempty"`
	// DryRun only counts.
	DryRun bool `json:"dry_run,omitempty"`
	// Rate is in deliveries a second; 0 for the API's default.
	Rate   int    `json:"rate,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Replay begins a job that sends a hook's deliveries again, or counts them where it is a dry run.
// webhook.ErrConflict comes where the hook has a job already, or is disabled.
func (c *Client) Replay(ctx context.Context, hook uuid.UUID, fields ReplayFields) (Job, error) {
	var j Job
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(hook, "replay/"), body: fields}, &j)
	return j, err
}

// Recovery is what a hook missed while it was disabled last.
type Recovery struct {
	// DisabledFrom is nil where the hook never was disabled, DisabledTo while it is.
	DisabledFrom *time.Time `json:"disabled_from"`
	DisabledTo   *time.Time `json:"disabled_to"`
	// Missed is how many deliveries it has not got since.
	Missed int `json:"missed"`
	// CompleteFrom is from when on a replay takes in all of them; nil while the hook is disabled.
	CompleteFrom *time.Time `json:"complete_from"`
	// Replay recovers them, once it has a Reason; nil where nothing was missed.
	Replay *ReplayFields `json:"replay"`
}

// Recovery tells what a hook missed while it was disabled. webhook.ErrNotFound comes where there is no such hook.
func (c *Client) Recovery(ctx context.Context, hook uuid.UUID) (Recovery, error) {
	var r Recovery
	err := c.do(ctx, request{method: http.MethodGet, path: hookPath(hook, "recovery/")}, &r)
	return r, err
}

const jobsPath = "/whisperer/jobs/"

// Jobs lists jobs, newest first: those of the hook, or with uuid.Nil of all hooks of the tenant.
func (c *Client) Jobs(ctx context.Context, hook uuid.UUID) iter.Seq2[Job, error] {
	return pages[Job](ctx, c, jobsPath, queryOf(map[string]string{"hook": idParameter(hook)}))
}

// Job returns a job and how far it is.
func (c *Client) Job(ctx context.Context, id uuid.UUID) (Job, error) {
	var j Job
	err := c.do(ctx, request{method: http.MethodGet, path: jobsPath + id.String() + "/"}, &j)
	return j, err
}

// PauseJob pauses a job; webhook.ErrConflict where it has ended.
func (c *Client) PauseJob(ctx context.Context, id uuid.UUID) (Job, error) {
	return c.setJob(ctx, id, "pause")
}

// ResumeJob goes on with a paused job; webhook.ErrConflict where it has ended.
func (c *Client) ResumeJob(ctx context.Context, id uuid.UUID) (Job, error) {
	return c.setJob(ctx, id, "resume")
}

// CancelJob ends a job; what it has handed to the hook already is sent.
func (c *Client) CancelJob(ctx context.Context, id uuid.UUID) (Job, error) {
	return c.setJob(ctx, id, "cancel")
}

func (c *Client) setJob(ctx context.Context, id uuid.UUID, verb string) (Job, error) {
	var j Job
	err := c.do(ctx, request{method: http.MethodPost, path: jobsPath + id.String() + "/" + verb + "/"}, &j)
	return j, err
}
