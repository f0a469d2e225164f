package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// bulkTimeout bounds what is done with many things at once.
const bulkTimeout = usecase.ReplayTimeout

type (
	// HookChoice is what a body says of the hooks to change.
	HookChoice struct {
		IDs       optional[idList]    `json:"ids,omitzero" doc:"Hooks with one of these ids, at most 1,000"`
		Labels    optional[stringMap] `json:"labels,omitzero" doc:"Hooks with all of these labels; an empty value is any"`
		EventType optional[string]    `json:"event_type,omitzero" doc:"Hooks that name this type or pattern"`
		TargetURL optional[string]    `json:"target_url,omitzero" doc:"Hooks with exactly this target URL"`
		Search    optional[string]    `json:"search,omitzero" doc:"As in the list of hooks"`
		Status    optional[string]    `json:"status,omitzero" doc:"active, paused or disabled"`
		All       optional[bool]      `json:"all,omitzero" doc:"All hooks of the tenant; required if nothing else selects hooks"`
	}
	bulkHooksInput struct {
		HookChoice

		DryRun optional[bool] `json:"dry_run,omitzero" doc:"Only count, and change nothing"`
	}
	bulkReplayInput struct {
		HookChoice
		ReplayFields
	}
	// bulkRetryInput is a body with the members of api.RetryChoice, too.
	bulkRetryInput struct {
		DryRun optional[bool] `json:"dry_run,omitzero" doc:"Only count, and change nothing"`
	}
	bulkOutput       struct{ Body api.BulkCount }
	bulkReplayOutput struct {
		Status int
		Body   api.BulkReplay
	}
)

func (s *server) registerBulk() {
	const once = "With dry_run they are only counted. Each change is in the audit log."
	for _, change := range []struct {
		verb, summary string
		to            webhook.HookStatus
	}{
		{"pause", "Pause many hooks at once", webhook.Paused},
		{"resume", "Resume many hooks", webhook.Active},
	} {
		register(s, route{role: usecase.Editor, body: bodyOf[bulkHooksInput](s), limit: bulkTimeout}, huma.Operation{
			OperationID: change.verb + "-hooks", Method: http.MethodPost, Path: hooksPath + change.verb + "/", Tags: []string{"Hooks"},
			Summary: change.summary, Description: "Changes all selected hooks, or none. " + once,
		}, func(ctx context.Context, c *call, _ *noInput) (*bulkOutput, error) {
			var in bulkHooksInput
			if err := errors.Join(decodeBody(c.body, &in), in.check()); err != nil {
				return nil, err
			}
			n, err := s.Cases.ChangeStatuses(ctx, &c.Caller, s.choice(c, &in.HookChoice), change.to, in.DryRun.Value)
			return &bulkOutput{Body: api.BulkCount{Count: n}}, err
		})
	}
	register(s, route{
		role: usecase.Editor, body: bodyOf[bulkReplayInput](s), status: http.StatusAccepted, also: http.StatusOK, lookUp: true, limit: bulkTimeout,
	}, huma.Operation{
		OperationID: "replay-hooks", Method: http.MethodPost, Path: hooksPath + "replay/", Tags: []string{tagJobs},
		Summary:     "Replay deliveries of many hooks",
		Description: "At most 100 hooks, with a job for each; the rate applies to each job. Hooks with nothing to send again are left out. " + once,
	}, s.replayHooks)
	register(s, route{role: usecase.Editor, body: bodyWith[bulkRetryInput, api.RetryChoice](s, "BulkRetryInput"), lookUp: true, limit: bulkTimeout}, huma.Operation{
		OperationID: "retry-deliveries", Method: http.MethodPost, Path: deliveriesPath + "retry/", Tags: []string{tagDeliveries},
		Summary: "Retry many deliveries now",
		Description: "At most the newest 10,000. Left alone are deliveries in progress, and those that cannot be sent again because their hook is deleted " +
			"or disabled, or their payload is no longer kept. " + once,
	}, s.retryDeliveries)
}

// check refuses an empty event type, which would choose every hook.
func (in *HookChoice) check() error {
	invalid := &webhook.ValidationError{}
	if in.EventType.Given() && in.EventType.Value == "" {
		invalid.Add("/event_type", "must not be empty")
	}
	return invalid.OrNil()
}

// choice is what the body chooses.
func (s *server) choice(c *call, in *HookChoice) usecase.HookChoice {
	choice := usecase.HookChoice{All: in.All.Value, HookFilter: usecase.HookFilter{
		Mask: c.mask, IDs: in.IDs.Value, Labels: webhook.LabelSelector(in.Labels.Value), EventType: webhook.NormalizeEventType(in.EventType.Value),
		TargetURL: in.TargetURL.Value, Search: in.Search.Value, Status: webhook.HookStatus(in.Status.Value),
	}}
	if canonical, err := s.Cases.URLs.CheckURL(in.TargetURL.Value); err == nil {
		choice.TargetURL = canonical
	}
	return choice
}

func (s *server) replayHooks(ctx context.Context, c *call, _ *noInput) (*bulkReplayOutput, error) {
	var in bulkReplayInput
	if err := errors.Join(decodeBody(c.body, &in), in.check()); err != nil {
		return nil, err
	}
	done, err := s.Cases.ReplayHooks(ctx, &c.Caller, s.choice(c, &in.HookChoice), in.replay(), in.DryRun.Value)
	if err != nil {
		return nil, err
	}
	out := api.BulkReplay{Jobs: make([]api.Job, len(done.Jobs)), Refused: []api.BulkRefusal{}}
	for i := range done.Jobs {
		out.Jobs[i] = renderJob(&done.Jobs[i])
		out.Total += out.Jobs[i].Size()
	}
	for hook, reason := range done.Refused {
		out.Refused = append(out.Refused, api.BulkRefusal{Hook: hook, Reason: reason})
	}
	slices.SortFunc(out.Refused, func(a, b api.BulkRefusal) int { return bytes.Compare(a.Hook[:], b.Hook[:]) })
	status := http.StatusAccepted
	if in.DryRun.Value {
		status = http.StatusOK
	}
	return &bulkReplayOutput{Status: status, Body: out}, nil
}

func (s *server) retryDeliveries(ctx context.Context, c *call, _ *noInput) (*bulkOutput, error) {
	in, choice, err := decodeWith[bulkRetryInput, api.RetryChoice](c.body)
	if err != nil {
		return nil, err
	}
	n, err := s.Cases.RetryChosen(ctx, &c.Caller, choice, in.DryRun.Value)
	return &bulkOutput{Body: api.BulkCount{Count: n, More: n == usecase.MaxRetried}}, err
}
