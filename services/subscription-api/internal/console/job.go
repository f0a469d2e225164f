package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

func jobPath(id uuid.UUID) string { return Root + "jobs/" + id.String() + "/" }

// jobRow is a replay in a list.
type jobRow struct {
	ID        uuid.UUID
	State     usecase.JobState
	Reason    string
	Total     int
	Done      int
	CreatedAt time.Time
}

func newJobRow(j *usecase.Job) jobRow {
	return jobRow{ID: j.ID, State: j.State, Reason: j.Reason, Total: j.Total, Done: j.Done, CreatedAt: j.CreatedAt}
}

type jobBody struct {
	Job   usecase.Job
	Hook  string
	Owner string
	// What describes the deliveries in words.
	What string
	// Left is about how long it still takes, as text; empty if unknown.
	Left    string
	Problem string
	// Outcome counts the deliveries so far; nil while they are being counted.
	Outcome *jobOutcome
}

// jobOutcome counts the deliveries that were handed over, by state.
type jobOutcome struct{ Delivered, Waiting, Parked, Dead int }

// Open counts those that are not finished.
func (o jobOutcome) Open() int { return o.Waiting + o.Parked }

// Running reports whether the job is running.
func (b jobBody) Running() bool { return b.Job.State == usecase.JobRunning }

// Open reports whether the job is not finished.
func (b jobBody) Open() bool { return b.Running() || b.Job.State == usecase.JobPaused }

// Percent is the progress. Fewer deliveries may be made than were counted, because the hook's filter excludes some.
func (b jobBody) Percent() int {
	switch {
	case b.Job.State == usecase.JobCompleted || b.Job.Total == 0:
		return 100
	default:
		return min(100, 100*b.Job.Done/b.Job.Total)
	}
}

func (c *console) jobPage(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	job, err := c.Cases.Jobs.Get(ctx, &v.Caller, id)
	if err != nil {
		return reply{}, err
	}
	return c.showJob(ctx, v, job, "")
}

func (c *console) showJob(ctx context.Context, v *visit, job usecase.Job, problem string) (reply, error) {
	body := jobBody{Job: job, What: replayText(&job), Problem: problem, Hook: "a webhook that was deleted"}
	h, err := c.Cases.Hooks.Get(ctx, &v.Caller, job.HookID)
	switch {
	case err == nil:
		body.Hook = titleOf(&h)
	case !errors.Is(err, webhook.ErrNotFound):
		return reply{}, err
	}
	names, err := c.Cases.Access.ActorNames(ctx, v.Tenant)
	if err != nil {
		return reply{}, err
	}
	body.Owner = actorText(job.Owner, names)
	if left := job.Total - job.Done; left > 0 && body.Running() {
		body.Left = wait(max(time.Second, time.Duration(left/job.Rate)*time.Second))
	}
	states, ready, err := count(ctx, c.counts, "job "+job.ID.String(), v.patience(), func(ctx context.Context) (map[webhook.DeliveryState]int, error) {
		return c.Cases.Jobs.Outcome(ctx, &v.Caller, &job)
	})
	if err != nil {
		return reply{}, err
	}
	if v.pending = !ready; ready {
		body.Outcome = &jobOutcome{
			Delivered: states[webhook.Delivered], Waiting: states[webhook.Waiting], Parked: states[webhook.Parked], Dead: states[webhook.Dead],
		}
	}
	answer := page("job", "Replay to "+body.Hook, body)
	if problem != "" {
		answer = answer.with(http.StatusConflict)
	}
	return answer, nil
}

// replayText describes the deliveries of a replay.
func replayText(j *usecase.Job) string {
	states := make([]string, len(j.States))
	for i, s := range j.States {
		states[i] = string(s)
	}
	text := strings.Join(states, ", ") + " deliveries"
	switch {
	case len(states) == 0:
		text = "events that it missed"
	case j.IncludeMissing:
		text += " and events that it missed"
	}
	if len(j.EventTypes) > 0 {
		text += " of " + strings.Join(j.EventTypes, ", ")
	}
	return text
}

// changeJob pauses, resumes or cancels a job.
func (c *console) changeJob(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	do := usecase.JobChange(v.posted.Get("do"))
	if !slices.Contains(usecase.JobChanges(), do) {
		return reply{}, errBadForm
	}
	_, err = c.Cases.Jobs.Change(ctx, &v.Caller, id, do)
	var refused *usecase.ReplayError
	switch {
	case errors.As(err, &refused):
		job, err := c.Cases.Jobs.Get(ctx, &v.Caller, id)
		if err != nil {
			return reply{}, err
		}
		return c.showJob(ctx, v, job, inWords(refused.Reason))
	case err != nil:
		return reply{}, err
	}
	return goTo(jobPath(id)), nil
}
