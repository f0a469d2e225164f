package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type recoveryOutput struct{ Body api.Recovery }

func (s *server) registerRecovery() {
	register(s, route{role: usecase.Viewer, lookUp: true, limit: usecase.ReplayTimeout}, huma.Operation{
		OperationID: "get-hook-recovery", Method: http.MethodGet, Path: hooksPath + "{id}/recovery/", Tags: []string{tagJobs},
		Summary:     "Get what a hook missed while it was disabled",
		Description: "Responses with a hook that is disabled, or was until this request, link here (Link, rel=\"recovery\").",
	}, s.hookRecovery)
}

func (s *server) hookRecovery(ctx context.Context, c *call, _ *hookGetInput) (*recoveryOutput, error) {
	r, err := s.Cases.Jobs.Recovery(ctx, &c.Caller, c.id)
	if err != nil {
		return nil, err
	}
	out := api.Recovery{DisabledFrom: optionalTime(r.From), DisabledTo: optionalTime(r.To), Missed: r.Missed}
	if !r.To.IsZero() {
		out.CompleteFrom = optionalTime(r.Replay.Range.To.Add(usecase.Settled))
	}
	if r.Missed > 0 {
		out.Replay = &api.RecoveryReplay{
			From: r.Replay.Range.From, To: r.Replay.Range.To, States: r.Replay.States, IncludeMissing: r.Replay.IncludeMissing,
		}
	}
	return &recoveryOutput{Body: out}, nil
}

// recoveryLink returns the Link header of a response that shows a hook (RFC 8288), or "" unless there may be
// something to recover.
func recoveryLink(h *webhook.Hook, wasDisabled bool) string {
	if h.Status != webhook.Disabled && !wasDisabled {
		return ""
	}
	return "<" + hooksPath + h.ID.String() + "/recovery/>; rel=\"recovery\""
}
