package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const tenantsPath = "/whisperer/tenants/"

// Tenants is for operators.
type Tenants struct{ *core }

// List lists the tenants.
func (c Tenants) List(ctx context.Context) iter.Seq2[api.Tenant, error] {
	return pages[api.Tenant](ctx, c.core, tenantsPath, nil)
}

// Ensure makes a tenant where there is none of that name.
func (c Tenants) Ensure(ctx context.Context, name string) error {
	return c.do(ctx, request{method: http.MethodPost, path: tenantsPath, body: map[string]string{"name": name}}, nil)
}

// SetHandshake makes a tenant where there is none of that name, and says which receivers have to agree before its hooks send to them: off,
// new_hosts or always.
func (c Tenants) SetHandshake(ctx context.Context, name, policy string) error {
	return c.do(ctx, request{method: http.MethodPost, path: tenantsPath, body: map[string]string{"name": name, "handshake": policy}}, nil)
}
