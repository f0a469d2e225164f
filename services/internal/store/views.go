package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ErrTooManyViews reports that an owner has the maximum number of views.
var ErrTooManyViews = errors.New("too many views")

// View is a saved filter of a list.
type View struct {
	ID    uuid.UUID `db:"id"`
	List  string    `db:"list"`
	Name  string    `db:"name"`
	Query string    `db:"query"`
}

// Views lists an owner's views of a list, by name.
func (d *AccessStore) Views(ctx context.Context, owner Actor, tenant, list string) (views []View, err error) {
	err = d.db.SelectContext(ctx, &views, `
		SELECT id, list, name, query FROM console_views WHERE tenant = $1 AND owner = $2 AND list = $3 ORDER BY lower(name), name`,
		tenant, string(owner), list)
	if err != nil {
		return nil, translate(fmt.Errorf("list views: %w", err))
	}
	return views, nil
}

// SaveView stores a view, or replaces the owner's view with the same name. It creates the id. The error is ErrTooManyViews if
// the owner already has most other views in the tenant.
func (d *AccessStore) SaveView(ctx context.Context, owner Actor, tenant string, v View, most int) error {
	return d.change(ctx, owner, func(tx *sqlx.Tx) (audited, error) {
		if err := lockTenant(ctx, tx, tenant); err != nil {
			return audited{}, err
		}
		var n int
		err := tx.GetContext(ctx, &n, `
			SELECT count(*) FROM console_views WHERE tenant = $1 AND owner = $2 AND (list, name) <> ($3, $4)`, tenant, string(owner), v.List, v.Name)
		switch {
		case err != nil:
			return audited{}, fmt.Errorf("count views: %w", err)
		case n >= most:
			return audited{}, ErrTooManyViews
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO console_views (id, tenant, owner, list, name, query) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT ON CONSTRAINT console_views_name_key DO UPDATE SET query = excluded.query`,
			uuid.New(), tenant, string(owner), v.List, v.Name, v.Query)
		if err != nil {
			return audited{}, fmt.Errorf("save view: %w", err)
		}
		return audited{tenant: tenant, action: "view.saved", subject: v.Name, detail: map[string]any{"list": v.List}}, nil
	})
}

// RemoveView removes one of the owner's views, and returns it. The error is webhook.ErrNotFound if the owner has no such view.
func (d *AccessStore) RemoveView(ctx context.Context, owner Actor, tenant string, id uuid.UUID) (v View, err error) {
	err = d.change(ctx, owner, func(tx *sqlx.Tx) (audited, error) {
		err := tx.GetContext(ctx, &v, `
			DELETE FROM console_views WHERE tenant = $1 AND owner = $2 AND id = $3 RETURNING id, list, name, query`, tenant, string(owner), id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, fmt.Errorf("view %s: %w", id, webhook.ErrNotFound)
		case err != nil:
			return audited{}, fmt.Errorf("remove view: %w", err)
		}
		return audited{tenant: tenant, action: "view.removed", subject: v.Name, detail: map[string]any{"list": v.List}}, nil
	})
	return v, err
}
