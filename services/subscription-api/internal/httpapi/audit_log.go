package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const auditPath = root + "/audit/"

type (
	auditInput  struct{ PageQuery }
	auditOutput struct{ Body api.Page[api.AuditEntry] }
)

func (s *server) registerAudit() {
	register(s, route{role: usecase.Admin}, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: auditPath, Tags: []string{"Tokens and tenants"},
		Summary:     "List the audit log, newest first",
		Description: "The last seven days, unless from is set. An operator who names no tenant sees changes that belong to no tenant.",
		Parameters:  params[api.AuditFilter](),
	}, s.listAudit)
}

// auditFilter parses the filters.
func (s *server) auditFilter(ctx context.Context, c *call) (usecase.AuditFilter, error) {
	f := usecase.AuditFilter{Subject: c.query.Get("subject"), Kind: c.query.Get("kind")}
	if f.Kind != "" && !slices.Contains(usecase.AuditKinds(), f.Kind) {
		return f, badParameter("kind", "must be one of "+strings.Join(usecase.AuditKinds(), ", "))
	}
	var err error
	if f.Range, err = usecase.ReadRange(c.query.Get("from"), c.query.Get("to"), time.Now()); err != nil {
		return f, err
	}
	actor := c.query.Get("actor")
	if len(actor) > usecase.MaxActor {
		return f, badParameter("actor", "must have at most 255 bytes")
	}
	if actor != "" {
		f.Actors, err = s.Cases.Access.Actors(ctx, &c.Caller, actor)
	}
	return f, err
}

func (s *server) listAudit(ctx context.Context, c *call, _ *auditInput) (*auditOutput, error) {
	f, err := s.auditFilter(ctx, c)
	if err != nil {
		return nil, err
	}
	scope := c.scopeOf(auditPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Cases.Access.AuditLog(ctx, &c.Caller, f, page)
	if err != nil {
		return nil, err
	}
	names, err := s.Cases.Access.ActorNames(ctx, c.Scope())
	if err != nil {
		return nil, err
	}
	out := api.Page[api.AuditEntry]{Results: make([]api.AuditEntry, len(list))}
	for i := range list {
		e := &list[i]
		out.Results[i] = api.AuditEntry{
			ID: e.ID, Actor: string(e.Actor), ActorName: names[e.Actor], Action: e.Action, Subject: e.Subject, Detail: shownObject(e.Detail), CreatedDate: e.At,
		}
	}
	out.Next, out.Previous = s.neighbours(c, auditPath, scope, page, more, len(list), func(i int) usecase.Position {
		return usecase.Position{At: list[i].At, ID: list[i].ID}
	})
	return &auditOutput{Body: out}, nil
}
