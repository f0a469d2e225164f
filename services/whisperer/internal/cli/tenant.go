package cli

import (
	"context"
	"math"
)

type tenantCommand struct {
	List   tenantList   `cmd:"" help:"List tenants (with an operator's token)."`
	Create tenantCreate `cmd:"" help:"Create a tenant unless it exists, or set its handshake policy (with an operator's token)."`
}

type tenantList struct{}

// Run prints the list.
func (c *tenantList) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	tenants, err := take(server.Tenants.List(ctx), math.MaxInt)
	if err != nil {
		return err
	}
	return a.print(tenants, func(t *table) {
		t.head("NAME", "HANDSHAKE", "CREATED")
		for _, tenant := range tenants {
			t.row(tenant.Name, tenant.Handshake, date(tenant.CreatedDate))
		}
	})
}

type tenantCreate struct {
	Name      string `arg:"" help:"a-z, 0-9, _ and -, beginning with a letter or digit."`
	Handshake string `help:"Which receivers have to agree before hooks send to them: off, new_hosts or always." enum:"off,new_hosts,always," default:"" placeholder:"POLICY"`
}

// Run creates the tenant, or changes its handshake policy.
func (c *tenantCreate) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	if c.Handshake != "" {
		err = server.Tenants.SetHandshake(ctx, c.Name, c.Handshake)
	} else {
		err = server.Tenants.Ensure(ctx, c.Name)
	}
	if err != nil {
		return err
	}
	a.done("tenant %s is there", c.Name)
	return nil
}
