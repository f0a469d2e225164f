package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type (
	recoveryReplay struct {
		From           time.Time               `json:"from"`
		To             time.Time               `json:"to"`
		States         []webhook.DeliveryState `json:"states" nullable:"false"`
		IncludeMissing bool                    `json:"include_missing"`
	}
	recoveryBody struct {
		DisabledFrom *time.Time      `json:"disabled_from" doc:"Since when the hook was disabled last; null where it never was"`
		DisabledTo   *time.Time      `json:"disabled_to" doc:"Until when; null while it is disabled"`
		Missed       int             `json:"missed" doc:"How many deliveries it missed and has not got since: those that failed or were ended, and events that caused none"`
		CompleteFrom *time.Time      `json:"complete_from" doc:"From when on a replay takes in all of them; null while the hook is disabled"`
		Replay       *recoveryReplay `json:"replay,omitzero" doc:"The body of POST replay/ that recovers them, but for the reason; absent where nothing was missed"`
	}
	recoveryOutput struct{ Body recoveryBody }
)

func (s *server) registerRecovery() {
	register(s, route{role: store.Viewer, lookUp: true, limit: usecase.ReplayTimeout}, huma.Operation{
		OperationID: "get-hook-recovery", Method: http.MethodGet, Path: hooksPath + "{id}/recovery/", Tags: []string{tagJobs},
		Summary:     "See what a hook missed while it was disabled, and how to recover it",
		Description: "An answer that shows a hook which is disabled, or was until this request, links here (Link, rel=\"recovery\").",
	}, s.hookRecovery)
}

func (s *server) hookRecovery(ctx context.Context, c *call, _ *hookGetInput) (*recoveryOutput, error) {
	r, err := s.Cases.Recovery(ctx, &c.Caller, c.id)
	if err != nil {
		return nil, err
	}
	out := recoveryBody{DisabledFrom: optionalTime(r.From), DisabledTo: optionalTime(r.To), Missed: r.Missed}
	if !r.To.IsZero() {
		out.CompleteFrom = optionalTime(r.Replay.Range.To.Add(store.Settled))
	}
	if r.Missed > 0 {
		out.Replay = &recoveryReplay{
			From: r.Replay.Range.From, To: r.Replay.Range.To, States: r.Replay.States, IncludeMissing: r.Replay.IncludeMissing,
		}
	}
	return &recoveryOutput{Body: out}, nil
}

// recoveryLink is the Link header of an answer that shows a hook (RFC 8288): empty unless there may be something to recover.
func recoveryLink(h *webhook.Hook, wasDisabled bool) string {
	if h.Status != webhook.Disabled && !wasDisabled {
		return ""
	}
	return "<" + hooksPath + h.ID.String() + "/recovery/>; rel=\"recovery\""
}
