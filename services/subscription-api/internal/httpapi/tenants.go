package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const tenantsPath = root + "/tenants/"

type (
	tenantListOutput struct{ Body api.OnlyPage[api.Tenant] }
	tenantName       struct {
		Name string `json:"name"`
	}
	tenantOutput struct {
		Status int
		Body   tenantName
	}
	tenantInput struct {
		Name      optional[string] `json:"name" doc:"a-z, 0-9, _ and -, beginning with a letter or digit" maxLength:"63"`
		Handshake optional[string] `json:"handshake,omitzero" doc:"Which receivers have to agree before the tenant's hooks send to them: off (the default), new_hosts or always. If absent, it is not changed"`
	}
)

func (s *server) registerTenants() {
	tag := []string{"Tokens and tenants"}
	register(s, route{role: usecase.Viewer, operator: true}, huma.Operation{
		OperationID: "list-tenants", Method: http.MethodGet, Path: tenantsPath, Tags: tag, Summary: "List tenants (operators)",
	}, s.listTenants)
	register(s, route{role: usecase.Admin, operator: true, body: bodyOf[tenantInput](s), status: http.StatusCreated, also: http.StatusOK}, huma.Operation{
		OperationID: "create-tenant", Method: http.MethodPost, Path: tenantsPath, Tags: tag, Summary: "Create a tenant, or set its handshake policy (operators)",
		Description: "200 if the tenant exists. With a handshake policy, receivers get an OPTIONS request with WebHook-Request-Origin, the host of the public URL, " +
			"and a hook is only saved if they answer 2xx with WebHook-Allowed-Origin (CloudEvents' HTTP 1.1 Web Hooks).",
	}, s.createTenant)
}

func (s *server) listTenants(ctx context.Context, c *call, _ *noInput) (*tenantListOutput, error) {
	tenants, err := s.Cases.Access.Tenants(ctx, &c.Caller)
	if err != nil {
		return nil, err
	}
	page := api.OnlyPage[api.Tenant]{Results: make([]api.Tenant, len(tenants))}
	for i, t := range tenants {
		page.Results[i] = api.Tenant{Name: t.Name, Handshake: string(t.Handshake), CreatedDate: t.CreatedAt}
	}
	return &tenantListOutput{Body: page}, nil
}

func (s *server) createTenant(ctx context.Context, c *call, _ *noInput) (*tenantOutput, error) {
	var in tenantInput
	if err := decodeBody(c.body, &in); err != nil {
		return nil, err
	}
	created, err := s.Cases.Access.CreateTenant(ctx, &c.Caller, in.Name.Value, in.Handshake.Optional)
	if err != nil {
		return nil, err
	}
	out := &tenantOutput{Status: http.StatusOK, Body: tenantName{Name: in.Name.Value}}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}
