package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
)

type jobCommand struct {
	List   jobList   `cmd:"" help:"List jobs, newest first."`
	Get    jobGet    `cmd:"" help:"Show a job and its progress."`
	Watch  jobWatch  `cmd:"" help:"Show a job's progress until it has ended; exit code 1 if it failed or was cancelled."`
	Pause  jobPause  `cmd:"" help:"Pause a job."`
	Resume jobResume `cmd:"" help:"Resume a paused job."`
	Cancel jobCancel `cmd:"" help:"Cancel a job; deliveries that it already queued are sent."`
}

type jobList struct {
	listFlags

	Hook string `help:"Only those of this hook: its id, the start of its id, or its name." placeholder:"HOOK"`
}

// Run prints the list.
func (c *jobList) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	hook := uuid.Nil
	if c.Hook != "" {
		if hook, err = findHook(ctx, server, c.Hook); err != nil {
			return err
		}
	}
	list, err := take(server.Jobs.List(ctx, hook), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t *table) {
		t.head("ID", "HOOK", "STATE", "DONE", "TOTAL", "CREATED", "+OWNER", "REASON")
		for i := range list {
			j := &list[i]
			t.row(jobID(j), j.Hook.String(), string(j.State), fmt.Sprint(j.Done), fmt.Sprint(j.Size()), until(j.CreatedDate), actorText(j.Owner, j.OwnerName), j.Reason)
		}
	})
}

func jobID(j *api.Job) string {
	if j.ID == nil {
		return "-"
	}
	return j.ID.String()
}

// jobArg names a job.
type jobArg struct {
	Job string `arg:"" help:"The job: its id, or the start of it."`
}

// find returns a client and looks up the job.
func (c *jobArg) find(ctx context.Context, a *app) (*client.Client, uuid.UUID, error) {
	server, err := a.client()
	if err != nil {
		return nil, uuid.Nil, err
	}
	id, err := find("job", c.Job, server.Jobs.List(ctx, uuid.Nil), func(j *api.Job) (uuid.UUID, string) {
		if j.ID == nil {
			return uuid.Nil, ""
		}
		return *j.ID, ""
	})
	return server, id, err
}

// do calls the API and prints the job that it returns.
func (c *jobArg) do(ctx context.Context, a *app, call func(client.Jobs, context.Context, uuid.UUID) (api.Job, error)) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	j, err := call(server.Jobs, ctx, id)
	if err != nil {
		return err
	}
	return a.printJob(&j)
}

type jobGet struct{ jobArg }

// Run prints the job.
func (c *jobGet) Run(ctx context.Context, a *app) error { return c.do(ctx, a, client.Jobs.Get) }

type jobPause struct{ jobArg }

// Run pauses the job and prints it.
func (c *jobPause) Run(ctx context.Context, a *app) error {
	return c.do(ctx, a, client.Jobs.Pause)
}

type jobResume struct{ jobArg }

// Run resumes the job and prints it.
func (c *jobResume) Run(ctx context.Context, a *app) error {
	return c.do(ctx, a, client.Jobs.Resume)
}

type jobCancel struct{ jobArg }

// Run cancels the job and prints it.
func (c *jobCancel) Run(ctx context.Context, a *app) error {
	return c.do(ctx, a, client.Jobs.Cancel)
}

func (a *app) printJob(j *api.Job) error {
	return a.print(j, func(t *table) {
		t.row("id", jobID(j))
		t.row("hook", j.Hook.String())
		t.row("state", withReason(string(j.State), j.Detail))
		t.row("done", fmt.Sprintf("%d of %d", j.Done, j.Size()))
		t.row("published", date(j.From)+" to "+date(j.To))
		t.row("event types", firstText(strings.Join(j.EventTypes, " "), "all"))
		states := make([]string, 0, len(j.States)+1)
		for _, s := range j.States {
			states = append(states, string(s))
		}
		if j.IncludeMissing {
			states = append(states, "missing")
		}
		t.row("states", strings.Join(states, " "))
		t.row("rate", fmt.Sprintf("%d/s", j.Rate))
		t.row("owner", actorText(j.Owner, j.OwnerName))
		t.row("reason", j.Reason)
	})
}

type jobWatch struct{ jobArg }

// Run prints the progress of the job until it ends.
func (c *jobWatch) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	return a.watchJob(ctx, server, id)
}

// jobPoll is the polling interval of a watched job.
const jobPoll = 300 * time.Millisecond

// watchJob shows a progress bar until the job has ended, and then the job. It returns an error if the job did not
// complete.
func (a *app) watchJob(ctx context.Context, server *client.Client, id uuid.UUID) error {
	bar := a.progress("deliveries")
	defer bar.end()
	tick := time.NewTicker(jobPoll)
	defer tick.Stop()
	for {
		j, err := server.Jobs.Get(ctx, id)
		if err != nil {
			return err
		}
		note := ""
		if j.State != api.JobRunning {
			note = withReason(string(j.State), j.Detail)
		}
		bar.set(j.Done, j.Size(), note)
		if j.State.Ended() {
			bar.end()
			if err := a.printJob(&j); err != nil {
				return err
			}
			if j.State != api.JobCompleted {
				return fmt.Errorf("job %s is %s", id, withReason(string(j.State), j.Detail))
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			bar.end()
			return fmt.Errorf("watch job %s, which goes on: %w", id, ctx.Err())
		}
	}
}
