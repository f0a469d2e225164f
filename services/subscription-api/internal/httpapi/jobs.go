package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const jobsPath = root + "/jobs/"

type (
	replayOutput struct {
		Status int
		Body   api.Job
	}
	jobOutput    struct{ Body api.Job }
	jobListInput struct {
		Hook   string     `query:"hook" format:"uuid" doc:"Jobs of this hook"`
		Limit  limitParam `query:"limit"`
		Cursor string     `query:"cursor" doc:"From next or previous"`
	}
	jobListOutput struct{ Body api.Page[api.Job] }
	jobInput      struct {
		ID string `path:"id" format:"uuid" doc:"The job's id"`
	}
)

func (s *server) registerJobs() {
	tag := []string{tagJobs}
	register(s, route{
		role: usecase.Editor, body: bodyAs[api.ReplayFields](s, "ReplayInput"), status: http.StatusAccepted, also: http.StatusOK, conflict: true, lookUp: true, limit: usecase.ReplayTimeout,
	}, huma.Operation{
		OperationID: "replay-hook", Method: http.MethodPost, Path: hooksPath + "{id}/replay/", Tags: tag,
		Summary:     "Replay a hook's deliveries",
		Description: "With dry_run the response is 200 and a count. A hook has one job at a time. Events whose payload is no longer kept are left out.",
	}, s.replayHook)
	register(s, route{role: usecase.Viewer}, huma.Operation{
		OperationID: "list-jobs", Method: http.MethodGet, Path: jobsPath, Tags: tag, Summary: "List jobs, newest first",
	}, s.listJobs)
	register(s, route{role: usecase.Viewer}, huma.Operation{
		OperationID: "get-job", Method: http.MethodGet, Path: jobsPath + "{id}/", Tags: tag, Summary: "Get a job and its progress",
	}, s.getJob)
	for _, change := range []struct {
		do      usecase.JobChange
		summary string
	}{
		{usecase.PauseJob, "Pause a job"},
		{usecase.ResumeJob, "Resume a paused job"},
		{usecase.CancelJob, "Cancel a job; deliveries that it has handed to the hook are still sent"},
	} {
		register(s, route{role: usecase.Editor, conflict: true}, huma.Operation{
			OperationID: string(change.do) + "-job", Method: http.MethodPost, Path: jobsPath + "{id}/" + string(change.do) + "/", Tags: tag,
			Summary: change.summary,
		}, s.changeJob(change.do))
	}
}

// replayOf converts the body for the use cases.
func replayOf(in *api.ReplayFields, sent sent) usecase.Replay {
	r := usecase.NewReplay()
	r.From, r.To, r.EventTypes, r.IncludeMissing, r.Reason = in.From, in.To, in.EventTypes, in.IncludeMissing, in.Reason
	if in.States != nil {
		r.States = in.States
	}
	if rate := sentFor(sent, &in.Rate); rate.Given() {
		r.Rate = in.Rate
	}
	return r
}

func (s *server) replayHook(ctx context.Context, c *call, _ *hookGetInput) (*replayOutput, error) {
	in, sent, err := decodeAs[api.ReplayFields](c.body)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		n, err := s.Cases.Jobs.CountReplay(ctx, &c.Caller, c.id, replayOf(in, sent))
		if err != nil {
			return nil, err
		}
		body, err := s.showJob(ctx, c, usecase.Counted(&c.Caller, n))
		return &replayOutput{Status: http.StatusOK, Body: body}, err
	}
	job, err := s.Cases.Jobs.BeginReplay(ctx, &c.Caller, c.id, replayOf(in, sent))
	if err != nil {
		return nil, err
	}
	body, err := s.showJob(ctx, c, &job)
	return &replayOutput{Status: http.StatusAccepted, Body: body}, err
}

func (s *server) listJobs(ctx context.Context, c *call, in *jobListInput) (*jobListOutput, error) {
	hook, err := usecase.ReadID("hook", in.Hook)
	if err != nil {
		return nil, err
	}
	scope := c.scopeOf(jobsPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Cases.Jobs.List(ctx, &c.Caller, hook, page)
	if err != nil {
		return nil, err
	}
	shown, err := s.showJobs(ctx, c, list)
	if err != nil {
		return nil, err
	}
	out := api.Page[api.Job]{Results: shown}
	out.Next, out.Previous = s.neighbours(c, jobsPath, scope, page, more, len(list), func(i int) usecase.Position {
		return usecase.Position{At: list[i].CreatedAt, ID: list[i].ID}
	})
	return &jobListOutput{Body: out}, nil
}

func (s *server) getJob(ctx context.Context, c *call, _ *jobInput) (*jobOutput, error) {
	job, err := s.Cases.Jobs.Get(ctx, &c.Caller, c.id)
	if err != nil {
		return nil, err
	}
	body, err := s.showJob(ctx, c, &job)
	return &jobOutput{Body: body}, err
}

func (s *server) changeJob(do usecase.JobChange) func(context.Context, *call, *jobInput) (*jobOutput, error) {
	return func(ctx context.Context, c *call, _ *jobInput) (*jobOutput, error) {
		if err := noFields(c.body); err != nil {
			return nil, err
		}
		job, err := s.Cases.Jobs.Change(ctx, &c.Caller, c.id, do)
		if err != nil {
			return nil, err
		}
		body, err := s.showJob(ctx, c, &job)
		return &jobOutput{Body: body}, err
	}
}

// showJobs renders jobs of the caller's tenant, with the names of those who requested them.
func (s *server) showJobs(ctx context.Context, c *call, list []usecase.Job) ([]api.Job, error) {
	names, err := s.Cases.Access.ActorNames(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	shown := make([]api.Job, len(list))
	for i := range list {
		shown[i] = renderJob(&list[i])
		shown[i].OwnerName = names[list[i].Owner]
	}
	return shown, nil
}

func (s *server) showJob(ctx context.Context, c *call, job *usecase.Job) (api.Job, error) {
	shown, err := s.showJobs(ctx, c, []usecase.Job{*job})
	if err != nil {
		return api.Job{}, err
	}
	return shown[0], nil
}

func renderJob(j *usecase.Job) api.Job {
	b := api.Job{
		Hook: j.HookID, State: api.JobState(j.State), Detail: j.Detail, Done: j.Done, Owner: string(j.Owner), Reason: j.Reason,
		Rate: j.Rate, From: j.Range.From, To: j.Range.To, EventTypes: slices.Clone(j.EventTypes), States: slices.Clone(j.States),
		IncludeMissing: j.IncludeMissing, CreatedDate: optionalTime(j.CreatedAt), ModifiedDate: optionalTime(j.ModifiedAt),
	}
	if j.Counted {
		b.Total = &j.Total
	}
	if j.ID != uuid.Nil {
		b.ID = &j.ID
	}
	if b.EventTypes == nil {
		b.EventTypes = []string{}
	}
	if b.States == nil {
		b.States = []webhook.DeliveryState{}
	}
	return b
}
