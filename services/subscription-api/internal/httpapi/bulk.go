package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// bulkTimeout bounds bulk operations.
const bulkTimeout = usecase.ReplayTimeout

type (
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
		register(s, route{role: usecase.Editor, body: bodyAs[api.BulkHooks](s, "BulkHooksInput"), limit: bulkTimeout}, huma.Operation{
			OperationID: change.verb + "-hooks", Method: http.MethodPost, Path: hooksPath + change.verb + "/", Tags: []string{"Hooks"},
			Summary: change.summary, Description: "Changes all selected hooks, or none. " + once,
		}, func(ctx context.Context, c *call, _ *noInput) (*bulkOutput, error) {
			in, sent, err := decodeAs[api.BulkHooks](c.body)
			if err != nil {
				return nil, err
			}
			choice, err := s.choice(c, &in.HookChoice, sent)
			if err != nil {
				return nil, err
			}
			n, err := s.Cases.Hooks.ChangeStatuses(ctx, &c.Caller, choice, change.to, in.DryRun)
			return &bulkOutput{Body: api.BulkCount{Count: n}}, err
		})
	}
	register(s, route{
		role: usecase.Editor, body: bodyAs[api.BulkReplayFields](s, "BulkReplayInput"), status: http.StatusAccepted, also: http.StatusOK, lookUp: true, limit: bulkTimeout,
	}, huma.Operation{
		OperationID: "replay-hooks", Method: http.MethodPost, Path: hooksPath + "replay/", Tags: []string{tagJobs},
		Summary:     "Replay deliveries of many hooks",
		Description: "At most 100 hooks, with a job for each; the rate applies to each job. Hooks with nothing to send again are left out. " + once,
	}, s.replayHooks)
	register(s, route{role: usecase.Editor, body: bodyAs[api.BulkRetry](s, "BulkRetryInput"), lookUp: true, limit: bulkTimeout}, huma.Operation{
		OperationID: "retry-deliveries", Method: http.MethodPost, Path: deliveriesPath + "retry/", Tags: []string{tagDeliveries},
		Summary: "Retry many deliveries now",
		Description: "At most the newest 10,000. Left alone are deliveries in progress, and those that cannot be sent again because their hook is deleted " +
			"or disabled, or their payload is no longer kept. " + once,
	}, s.retryDeliveries)
}

// choice parses the selection in the body. An empty event type is refused, because it would select every hook.
func (s *server) choice(c *call, in *api.HookChoice, sent sent) (usecase.HookChoice, error) {
	if eventType := sentFor(sent, &in.EventType); eventType.Given() && in.EventType == "" {
		invalid := &webhook.ValidationError{}
		invalid.Add("/event_type", "must not be empty")
		return usecase.HookChoice{}, invalid
	}
	choice := usecase.HookChoice{All: in.All, HookFilter: usecase.HookFilter{
		Mask: c.mask, IDs: in.IDs, Labels: in.Labels, EventType: webhook.NormalizeEventType(in.EventType),
		TargetURL: in.TargetURL, Search: in.Search, Status: in.Status,
	}}
	if canonical, err := s.Cases.URLs.CheckURL(in.TargetURL); err == nil {
		choice.TargetURL = canonical
	}
	return choice, nil
}

func (s *server) replayHooks(ctx context.Context, c *call, _ *noInput) (*bulkReplayOutput, error) {
	in, sent, err := decodeAs[api.BulkReplayFields](c.body)
	if err != nil {
		return nil, err
	}
	choice, err := s.choice(c, &in.HookChoice, sent)
	if err != nil {
		return nil, err
	}
	done, err := s.Cases.Jobs.ReplayHooks(ctx, &c.Caller, choice, replayOf(&in.ReplayFields, sent), in.DryRun)
	if err != nil {
		return nil, err
	}
	shown, err := s.showJobs(ctx, c, done.Jobs)
	if err != nil {
		return nil, err
	}
	out := api.BulkReplay{Jobs: shown, Refused: []api.BulkRefusal{}}
	for i := range out.Jobs {
		out.Total += out.Jobs[i].Size()
	}
	for hook, reason := range done.Refused {
		out.Refused = append(out.Refused, api.BulkRefusal{Hook: hook, Reason: reason})
	}
	slices.SortFunc(out.Refused, func(a, b api.BulkRefusal) int { return bytes.Compare(a.Hook[:], b.Hook[:]) })
	status := http.StatusAccepted
	if in.DryRun {
		status = http.StatusOK
	}
	return &bulkReplayOutput{Status: status, Body: out}, nil
}

func (s *server) retryDeliveries(ctx context.Context, c *call, _ *noInput) (*bulkOutput, error) {
	in, _, err := decodeAs[api.BulkRetry](c.body)
	if err != nil {
		return nil, err
	}
	n, err := s.Cases.Deliveries.RetryChosen(ctx, &c.Caller, in.RetryChoice, in.DryRun)
	return &bulkOutput{Body: api.BulkCount{Count: n, More: n == usecase.MaxRetried}}, err
}
