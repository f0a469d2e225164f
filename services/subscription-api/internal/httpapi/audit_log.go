package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const auditPath = root + "/audit/"

type (
	auditInput struct {
		Subject string     `query:"subject" doc:"Changes of the thing of this id or name"`
		Kind    string     `query:"kind" doc:"Changes of things of this kind" enum:"hook,delivery,job,token,event_type,tenant,ledger_entry"`
		From    fromParam  `query:"from"`
		To      toParam    `query:"to"`
		Limit   limitParam `query:"limit"`
		Cursor  string     `query:"cursor" doc:"From next or previous"`
	}
	auditEntry struct {
		ID          uuid.UUID `json:"id" format:"uuid"`
		Actor       string    `json:"actor" doc:"token and its id, or the name of a program"`
		Action      string    `json:"action" doc:"A kind and a verb, such as hook.created"`
		Subject     string    `json:"subject" doc:"The id or name of the thing"`
		Detail      object    `json:"detail" doc:"What was changed; never a secret"`
		CreatedDate time.Time `json:"created_date"`
	}
	auditPage struct {
		Next     *string      `json:"next" doc:"URL of the next page; null on the last one"`
		Previous *string      `json:"previous" doc:"URL of the previous page; null on the first one"`
		Results  []auditEntry `json:"results" nullable:"false"`
	}
	auditOutput struct{ Body auditPage }
)

func (s *server) registerAudit() {
	register(s, route{role: store.Admin}, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: auditPath, Tags: []string{"Tokens and tenants"},
		Summary:     "List who changed what, newest first",
		Description: "Of the last seven days, unless from says otherwise. An operator who names no tenant sees the changes of things that belong to none.",
	}, s.listAudit)
}

func (s *server) listAudit(ctx context.Context, c *call, in *auditInput) (*auditOutput, error) {
	f := store.AuditFilter{Subject: in.Subject, Kind: in.Kind}
	if f.Kind != "" && !slices.Contains(usecase.AuditKinds(), f.Kind) {
		return nil, badParameter("kind", "must be one of "+strings.Join(usecase.AuditKinds(), ", "))
	}
	var err error
	if f.Range, err = readRange(in.From, in.To, time.Now()); err != nil {
		return nil, err
	}
	scope := c.scopeOf(auditPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Cases.AuditLog(ctx, &c.Caller, f, page)
	if err != nil {
		return nil, err
	}
	out := auditPage{Results: make([]auditEntry, len(list))}
	for i := range list {
		e := &list[i]
		out.Results[i] = auditEntry{
			ID: e.ID, Actor: string(e.Actor), Action: e.Action, Subject: e.Subject, Detail: object{rawJSON(e.Detail)}, CreatedDate: e.At,
		}
	}
	out.Next, out.Previous = s.neighbours(c, auditPath, scope, page, more, len(list), func(i int) store.Position {
		return store.Position{At: list[i].At, ID: list[i].ID}
	})
	return &auditOutput{Body: out}, nil
}
