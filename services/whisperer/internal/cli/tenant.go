package cli

import (
	"context"
	"math"
)

type tenantCommand struct {
	List   tenantList   `cmd:"" help:"List tenants (with an operator's token)."`
	Create tenantCreate `cmd:"" help:"Make a tenant where there is none of the name (with an operator's token)."`
}

type tenantList struct{}

// Run lists.
func (c *tenantList) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	tenants, err := take(api.Tenants(ctx), math.MaxInt)
	if err != nil {
		return err
	}
	return a.print(tenants, func(t table) {
		t.row("NAME", "CREATED")
		for _, tenant := range tenants {
			t.row(tenant.Name, date(tenant.CreatedDate))
		}
	})
}

type tenantCreate struct {
	Name string `arg:"" help:"a-z, 0-9, _ and -, beginning with a letter or digit."`
}

// Run makes.
func (c *tenantCreate) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	return api.EnsureTenant(ctx, c.Name)
}
