package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// Sources of an explanation.
const (
	evaluatedNow  = "now"
	fromTheLedger = "recorded"
)

type (
	explainInput struct {
		ID     string     `path:"id" doc:"The event's id"`
		Limit  limitParam `query:"limit"`
		Cursor string     `query:"cursor" doc:"From next or previous"`
	}
	explanationPage struct {
		Next     *string             `json:"next" doc:"URL of the next page; null on the last one"`
		Previous *string             `json:"previous" doc:"URL of the previous page; null on the first one"`
		Results  []api.ExplainedHook `json:"results" nullable:"false" doc:"Hooks, newest first; deleted ones at the end"`
	}
	explainOutput struct{ Body explanationPage }
)

func (s *server) registerExplain() {
	register(s, route{role: usecase.Viewer, lookUp: true}, huma.Operation{
		OperationID: "explain-event", Method: http.MethodGet, Path: eventsPath + "{id}/explain/", Tags: []string{tagEvents},
		Summary: "Explain why each hook did or did not get an event",
	}, s.explainEvent)
}

func (s *server) explainEvent(ctx context.Context, c *call, in *explainInput) (*explainOutput, error) {
	e, err := s.Cases.Deliveries.FindEvent(ctx, &c.Caller, in.ID)
	if err != nil {
		return nil, err
	}
	path := eventsPath + e.ID + "/explain/"
	scope := c.scopeOf(path)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Cases.Hooks.List(ctx, &c.Caller, usecase.HookFilter{}, page)
	if err != nil {
		return nil, err
	}
	hooks := make([]*webhook.Hook, len(list))
	for i := range list {
		hooks[i] = &list[i]
	}
	explained, err := s.Cases.Deliveries.Explain(ctx, &c.Caller, &e, hooks)
	if err != nil {
		return nil, err
	}
	out := explanationPage{Results: []api.ExplainedHook{}}
	for i := range list {
		out.Results = append(out.Results, renderExplained(list[i].ID, list[i].Name, &explained[i]))
	}
	out.Next, out.Previous = s.neighbours(c, path, scope, page, more, len(list), func(i int) usecase.Position {
		return usecase.Position{At: list[i].CreatedAt, ID: list[i].ID}
	})
	if out.Next == nil {
		deleted, err := s.Cases.Deliveries.ExplainDeleted(ctx, &c.Caller, &e)
		if err != nil {
			return nil, err
		}
		for i := range deleted {
			out.Results = append(out.Results, renderExplained(deleted[i].Delivery.HookID, "", &deleted[i]))
		}
	}
	return &explainOutput{Body: out}, nil
}

func renderExplained(hook uuid.UUID, name string, x *usecase.Explained) api.ExplainedHook {
	shown := api.ExplainedHook{Hook: hook, Name: name, Outcome: x.Outcome, Reason: x.Reason, Detail: x.Detail, Evaluated: evaluatedNow}
	if d := x.Delivery; d != nil {
		id := d.ID.String()
		shown.Delivery, shown.AttemptCount, shown.NextAttempt, shown.Evaluated = &id, d.Attempts, optionalTime(d.NextAt), fromTheLedger
		shown.SupersededBy = d.SupersededBy
		shown.Status = optionalStatus(d.LastStatus)
	}
	return shown
}
