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

const (
	erasuresPath = root + "/erasures/"
	tagErasures  = "Erasure and retention"
)

type (
	eraseOutput struct {
		Status int
		Body   api.Erasure
	}
	erasureInput struct {
		ID string `path:"id" format:"uuid" doc:"The erasure's id"`
	}
	erasureOutput    struct{ Body api.Erasure }
	erasureListInput struct {
		Limit  limitParam `query:"limit"`
		Cursor string     `query:"cursor" doc:"From next or previous"`
	}
	erasureListOutput struct{ Body api.Page[api.Erasure] }
)

func (s *server) registerErasures() {
	tag := []string{tagErasures}
	register(s, route{
		role: usecase.Admin, body: bodyAs[api.EraseFields](s, "EraseInput"), status: http.StatusAccepted, also: http.StatusOK, lookUp: true, limit: usecase.EraseTimeout,
	}, huma.Operation{
		OperationID: "erase", Method: http.MethodPost, Path: erasuresPath, Tags: tag,
		Summary: "Erase payloads of events, permanently",
		Description: "Data, context and responses are overwritten in PostgreSQL and in NATS; ids, types, times, entities and digests stay. " +
			"Waiting deliveries become dead with the reason erased. With dry_run the response is 200 and a count.",
	}, s.erase)
	register(s, route{role: usecase.Admin}, huma.Operation{
		OperationID: "list-erasures", Method: http.MethodGet, Path: erasuresPath, Tags: tag, Summary: "List erasures, newest first",
	}, s.listErasures)
	register(s, route{role: usecase.Admin}, huma.Operation{
		OperationID: "get-erasure", Method: http.MethodGet, Path: erasuresPath + "{id}/", Tags: tag,
		Summary: "Get an erasure, its progress and its certificate",
	}, s.getErasure)
	register(s, route{role: usecase.Admin, conflict: true}, huma.Operation{
		OperationID: "cancel-erasure", Method: http.MethodPost, Path: erasuresPath + "{id}/cancel/", Tags: tag,
		Summary: "Stop an erasure; what it has begun to erase is still erased",
	}, s.cancelErasure)
}

func (s *server) erase(ctx context.Context, c *call, _ *struct{}) (*eraseOutput, error) {
	in, sent, err := decodeAs[api.EraseFields](c.body)
	if err != nil {
		return nil, err
	}
	what := usecase.Erase{
		Events: sentFor(sent, &in.Events), Entity: sentFor(sent, &in.Entity), Path: sentFor(sent, &in.Path),
		From: in.From, To: in.To, Reason: in.Reason,
	}
	if in.DryRun {
		n, err := s.Cases.Erasures.Count(ctx, &c.Caller, what)
		if err != nil {
			return nil, err
		}
		body, err := s.showErasure(ctx, c, &usecase.Erasure{NewErasure: n, State: usecase.JobState(api.JobDryRun), Owner: c.Actor()})
		return &eraseOutput{Status: http.StatusOK, Body: body}, err
	}
	e, err := s.Cases.Erasures.Begin(ctx, &c.Caller, what)
	if err != nil {
		return nil, err
	}
	body, err := s.showErasure(ctx, c, &e)
	return &eraseOutput{Status: http.StatusAccepted, Body: body}, err
}

func (s *server) listErasures(ctx context.Context, c *call, _ *erasureListInput) (*erasureListOutput, error) {
	scope := c.scopeOf(erasuresPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Cases.Erasures.List(ctx, &c.Caller, page)
	if err != nil {
		return nil, err
	}
	shown, err := s.showErasures(ctx, c, list)
	if err != nil {
		return nil, err
	}
	out := api.Page[api.Erasure]{Results: shown}
	out.Next, out.Previous = s.neighbours(c, erasuresPath, scope, page, more, len(list), func(i int) usecase.Position {
		return usecase.Position{At: list[i].CreatedAt, ID: list[i].ID}
	})
	return &erasureListOutput{Body: out}, nil
}

func (s *server) getErasure(ctx context.Context, c *call, _ *erasureInput) (*erasureOutput, error) {
	e, err := s.Cases.Erasures.Get(ctx, &c.Caller, c.id)
	if err != nil {
		return nil, err
	}
	body, err := s.showErasure(ctx, c, &e)
	return &erasureOutput{Body: body}, err
}

func (s *server) cancelErasure(ctx context.Context, c *call, _ *erasureInput) (*erasureOutput, error) {
	if err := noFields(c.body); err != nil {
		return nil, err
	}
	e, err := s.Cases.Erasures.Cancel(ctx, &c.Caller, c.id)
	if err != nil {
		return nil, err
	}
	body, err := s.showErasure(ctx, c, &e)
	return &erasureOutput{Body: body}, err
}

// showErasures renders erasures of the caller's tenant, with the names of those who requested them.
func (s *server) showErasures(ctx context.Context, c *call, list []usecase.Erasure) ([]api.Erasure, error) {
	names, err := s.Cases.Access.ActorNames(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	shown := make([]api.Erasure, len(list))
	for i := range list {
		shown[i] = renderErasure(&list[i])
		shown[i].OwnerName = names[list[i].Owner]
	}
	return shown, nil
}

func (s *server) showErasure(ctx context.Context, c *call, e *usecase.Erasure) (api.Erasure, error) {
	shown, err := s.showErasures(ctx, c, []usecase.Erasure{*e})
	if err != nil {
		return api.Erasure{}, err
	}
	return shown[0], nil
}

func renderErasure(e *usecase.Erasure) api.Erasure {
	b := api.Erasure{
		State: api.JobState(e.State), Detail: e.Detail, From: e.Range.From, To: e.Range.To, Total: e.Total, Done: e.Done, Places: e.Places,
		Owner: string(e.Owner), Reason: e.Reason, Certificate: shownJSON(e.Certificate), CreatedDate: optionalTime(e.CreatedAt),
		ModifiedDate: optionalTime(e.ModifiedAt), CompletedDate: optionalTime(e.CompletedAt),
	}
	switch e.Kind {
	case usecase.EraseIDs:
		b.Events = e.Criteria
	case usecase.EraseEntity:
		b.Entity = e.Criteria[0]
	case usecase.ErasePath:
		b.Path = e.Criteria[0]
	}
	if e.ID != uuid.Nil {
		b.ID = &e.ID
	}
	if b.Places == nil {
		b.Places = map[string]int64{}
	}
	return b
}

// renderErased returns nil for what was not erased.
func renderErased(e *webhook.Erased) *api.Erased {
	if e == nil {
		return nil
	}
	return &api.Erased{At: e.At, By: e.By}
}

// nameErasers sets the names of the tokens that erased payloads. Most elements of erased are nil.
func (s *server) nameErasers(ctx context.Context, c *call, erased ...*api.Erased) error {
	erased = slices.DeleteFunc(erased, func(e *api.Erased) bool { return e == nil })
	if len(erased) == 0 {
		return nil
	}
	names, err := s.Cases.Access.ActorNames(ctx, c.Tenant)
	for _, e := range erased {
		e.ByName = names[usecase.Actor(e.By)]
	}
	return err
}
