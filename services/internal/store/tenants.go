package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Tenant owns hooks and events.
type Tenant struct {
	Name string
	// Handshake says which receivers must agree before hooks send to them.
	Handshake webhook.Handshake
	CreatedAt time.Time
}

// EnsureTenant creates the tenant if it does not exist, and reports whether it did so. The error is a *webhook.ValidationError
// if the name breaks the rules of webhook.ValidateTenant.
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

// ListTenants lists all tenants by name.
func (d *AccessStore) ListTenants(ctx context.Context) ([]Tenant, error) {
	var rows []struct {
		Name      string    `db:"name"`
		Handshake string    `db:"handshake"`
		CreatedAt time.Time `db:"created_at"`
	}
	if err := d.db.SelectContext(ctx, &rows, `SELECT name, handshake, created_at FROM tenants ORDER BY name`); err != nil {
		return nil, translate(fmt.Errorf("list tenants: %w", err))
	}
	list := make([]Tenant, len(rows))
	for i, r := range rows {
		list[i] = Tenant{Name: r.Name, Handshake: webhook.Handshake(r.Handshake), CreatedAt: r.CreatedAt.UTC()}
	}
	return list, nil
}

// TenantExists reports whether the tenant exists.
func (d *AccessStore) TenantExists(ctx context.Context, name string) (bool, error) {
	var there bool
	if err := d.db.GetContext(ctx, &there, `SELECT EXISTS (SELECT FROM tenants WHERE name = $1)`, name); err != nil {
		return false, translate(fmt.Errorf("look up tenant: %w", err))
	}
	return there, nil
}

// HandshakePolicy returns which receivers must agree before a tenant's hooks send to them. The error is webhook.ErrNotFound.
func (d *AccessStore) HandshakePolicy(ctx context.Context, tenant string) (policy webhook.Handshake, err error) {
	err = d.db.GetContext(ctx, &policy, `SELECT handshake FROM tenants WHERE name = $1`, tenant)
	if errors.Is(err, sql.ErrNoRows) {
		return "", webhook.ErrNotFound
	}
	return policy, translate(err)
}

// SetHandshakePolicy changes a tenant's handshake policy.
func (d *AccessStore) SetHandshakePolicy(ctx context.Context, actor Actor, tenant string, policy webhook.Handshake) error {
	return d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		if err := lockTenant(ctx, tx, tenant); err != nil {
			return audited{}, err
		}
		result, err := tx.ExecContext(ctx, `UPDATE tenants SET handshake = $2 WHERE name = $1 AND handshake <> $2`, tenant, string(policy))
		if err != nil {
			return audited{}, fmt.Errorf("set handshake policy of tenant %s: %w", tenant, err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return audited{}, err
		}
		return audited{tenant: tenant, action: "tenant.changed", subject: tenant, detail: map[string]any{"handshake": policy}}, nil
	})
}

// NoteHandshake writes to the audit log that a receiver's host was asked whether it wants webhooks, and, if it did not agree,
// the reason.
func (d *AccessStore) NoteHandshake(ctx context.Context, actor Actor, tenant, host string, refusal error) error {
	return d.change(ctx, actor, func(*sqlx.Tx) (audited, error) {
		detail := map[string]any{"agreed": refusal == nil}
		if refusal != nil {
			detail["reason"] = refusal.Error()
		}
		return audited{tenant: tenant, action: "hook.handshake", subject: host, detail: detail}, nil
	})
}

// HasOrigin reports whether a hook of the tenant, or its callback, sends to a URL of the origin, as defined by
// webhook.OriginOf.
func (d *HookStore) HasOrigin(ctx context.Context, tenant, origin string) (bool, error) {
	var there bool
	err := d.db.GetContext(ctx, &there, `
		SELECT EXISTS (SELECT FROM hooks h, LATERAL (VALUES (h.target_url), (h.spec->'callback'->>'url')) AS sent (url)
		WHERE h.tenant = $1 AND (lower(sent.url) = $2 OR starts_with(lower(sent.url), $2 || '/') OR starts_with(lower(sent.url), $2 || '?')))`, tenant, origin)
	if err != nil {
		return false, translate(fmt.Errorf("look up hooks of an origin: %w", err))
	}
	return there, nil
}
