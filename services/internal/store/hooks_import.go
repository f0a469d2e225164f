package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Import stores a hook of another system, which must be valid, with its own id and, if it has any, its own times. The quota
// does not apply, because an operator imports. It returns the hook as stored.
//
// The errors are *webhook.ConflictError if the tenant has a hook with the same target URL and event types, webhook.ErrConflict
// if a hook of any tenant has the id, and webhook.ErrNotFound if the tenant does not exist.
func (d *HookStore) Import(ctx context.Context, actor Actor, h webhook.Hook) (webhook.Hook, error) {
	var stored hookRow
	err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		if err := lockTenant(ctx, tx, h.Tenant); err != nil {
			return audited{}, err
		}
		row, err := newHookRow(&h, d.ring)
		if err != nil {
			return audited{}, err
		}
		switch made, err := insertHooks(ctx, tx, []*hookRow{&row}); {
		case err != nil:
			return audited{}, err
		case len(made) == 0:
			return audited{}, errSameHook
		}
		err = tx.GetContext(ctx, &stored, `
			UPDATE hooks SET created_at = COALESCE($2, created_at), modified_at = COALESCE($3, modified_at)
			WHERE id = $1 RETURNING `+hookColumns, h.ID, importedAt(h.CreatedAt), importedAt(h.ModifiedAt))
		if err != nil {
			return audited{}, fmt.Errorf("date hook %s: %w", h.ID, err)
		}
		return audited{
			tenant: h.Tenant, action: "hook.imported", subject: h.ID.String(),
			detail: map[string]any{"event_types": h.EventTypes, "status": h.Status},
		}, nil
	})
	switch {
	case violates(err, "hooks_pkey"):
		return webhook.Hook{}, fmt.Errorf("hook %s: %w", h.ID, webhook.ErrConflict)
	case err != nil:
		return webhook.Hook{}, d.explainConflict(ctx, &h, err)
	}
	return stored.hook(d.ring)
}

func importedAt(t time.Time) sql.NullTime { return sql.NullTime{Time: t, Valid: !t.IsZero()} }
