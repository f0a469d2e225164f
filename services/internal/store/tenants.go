package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Tenant is an owner of hooks and events.
type Tenant struct {
	Name      string
	CreatedAt time.Time
}

// EnsureTenant creates the tenant unless it is there, and reports whether it did. The error is a
// *webhook.ValidationError where the name breaks the rules of webhook.ValidateTenant.
func (d *AccessStore) EnsureTenant(ctx context.Context, actor Actor, name string) (created bool, err error) {
	if err := webhook.ValidateTenant(name); err != nil {
		return false, invalid("/name", err.Error())
	}
	err = d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		result, err := tx.ExecContext(ctx, `INSERT INTO tenants (name) VALUES ($1) ON CONFLICT DO NOTHING`, name)
		if err != nil {
			return audited{}, fmt.Errorf("create tenant %s: %w", name, err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return audited{}, fmt.Errorf("create tenant %s: %w", name, err)
		}
		if n == 0 {
			return audited{}, nil
		}
		created = true
		return audited{tenant: name, action: "tenant.created", subject: name}, nil
	})
	return created && err == nil, err
}

// Tenants lists all tenants by name.
func (d *AccessStore) Tenants(ctx context.Context) ([]Tenant, error) {
	var rows []struct {
		Name      string    `db:"name"`
		CreatedAt time.Time `db:"created_at"`
	}
	if err := d.db.SelectContext(ctx, &rows, `SELECT name, created_at FROM tenants ORDER BY name`); err != nil {
		return nil, translate(fmt.Errorf("list tenants: %w", err))
	}
	list := make([]Tenant, len(rows))
	for i, r := range rows {
		list[i] = Tenant{Name: r.Name, CreatedAt: r.CreatedAt.UTC()}
	}
	return list, nil
}

// TenantExists reports whether there is a tenant of that name.
func (d *AccessStore) TenantExists(ctx context.Context, name string) (bool, error) {
	var there bool
	if err := d.db.GetContext(ctx, &there, `SELECT EXISTS (SELECT FROM tenants WHERE name = $1)`, name); err != nil {
		return false, translate(fmt.Errorf("look up tenant: %w", err))
	}
	return there, nil
}
