package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const tenantsPath = root + "/tenants/"

type (
	tenantBody struct {
		Name        string    `json:"name"`
		CreatedDate time.Time `json:"created_date"`
	}
	tenantPage struct {
		Next     *string      `json:"next" doc:"Always null: there is one page"`
		Previous *string      `json:"previous" doc:"Always null"`
		Results  []tenantBody `json:"results" nullable:"false"`
	}
	tenantListOutput struct{ Body tenantPage }
	tenantName       struct {
		Name string `json:"name"`
	}
	tenantOutput struct {
		Status int
		Body   tenantName
	}
	tenantInput struct {
		Name optional[string] `json:"name" doc:"a-z, 0-9, _ and -, beginning with a letter or digit" maxLength:"63"`
	}
)

func (s *server) registerTenants() {
	tag := []string{"Tokens and tenants"}
	register(s, route{role: store.Viewer, operator: true}, huma.Operation{
		OperationID: "list-tenants", Method: http.MethodGet, Path: tenantsPath, Tags: tag, Summary: "List tenants (operators)",
	}, s.listTenants)
	register(s, route{role: store.Admin, operator: true, body: bodyOf[tenantInput](s), status: http.StatusCreated, also: http.StatusOK}, huma.Operation{
		OperationID: "create-tenant", Method: http.MethodPost, Path: tenantsPath, Tags: tag, Summary: "Create a tenant (operators)",
		Description: "200 where it is there already.",
	}, s.createTenant)
}

func (s *server) listTenants(ctx context.Context, c *call, _ *noInput) (*tenantListOutput, error) {
	tenants, err := s.Cases.Tenants(ctx, &c.Caller)
	if err != nil {
		return nil, err
	}
	page := tenantPage{Results: make([]tenantBody, len(tenants))}
	for i, t := range tenants {
		page.Results[i] = tenantBody{Name: t.Name, CreatedDate: t.CreatedAt}
	}
	return &tenantListOutput{Body: page}, nil
}

func (s *server) createTenant(ctx context.Context, c *call, _ *noInput) (*tenantOutput, error) {
	var in tenantInput
	if err := decodeBody(c.body, &in); err != nil {
		return nil, err
	}
	created, err := s.Cases.CreateTenant(ctx, &c.Caller, in.Name.Value)
	if err != nil {
		return nil, err
	}
	out := &tenantOutput{Status: http.StatusOK, Body: tenantName{Name: in.Name.Value}}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}
