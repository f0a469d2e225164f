package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// CreateMany stores new hooks of one tenant, which must be valid, with new ids. It stores all of them or, on an error, none,
// and returns the ids in the hooks' order. quota is the tenant's maximum number of hooks.
//
// The errors are webhook.ErrConflict if two hooks, stored or new, have the same target URL and event types, ErrQuota, and
// webhook.ErrNotFound if the tenant does not exist.
func (d *HookStore) CreateMany(ctx context.Context, actor Actor, tenant string, hooks []webhook.Hook, quota int) ([]uuid.UUID, error) {
	rows := make([]hookRow, len(hooks))
	ids := make([]uuid.UUID, len(hooks))
	entries := make([]audited, len(hooks))
	for i, h := range hooks {
		var err error
		if h.ID, err = uuid.NewV7(); err != nil {
			return nil, fmt.Errorf("make hook id: %w", err)
		}
		h.Tenant = tenant
		if rows[i], err = newHookRow(&h, d.ring); err != nil {
			return nil, err
		}
		ids[i] = h.ID
		entries[i] = audited{
			tenant: tenant, action: "hook.created", subject: h.ID.String(),
			detail: map[string]any{"event_types": h.EventTypes, "status": h.Status},
		}
	}
	conn, err := d.db.Connx(ctx)
	if err != nil {
		return nil, translate(fmt.Errorf("connect to create hooks: %w", err))
	}
	defer conn.Close()
	err = d.transactOn(ctx, conn, func(tx *sqlx.Tx) error {
		if err := lockTenant(ctx, tx, tenant); err != nil {
			return err
		}
		if err := checkQuota(ctx, tx, tenant, quota-len(hooks)+1); err != nil {
			return err
		}
		if err := copyInto(ctx, conn.Conn, "hooks", hookInsertColumns, func(c *copyOut) {
			for i := range rows {
				writeHook(c, &rows[i])
			}
		}); err != nil {
			return err
		}
		return writeAudit(ctx, tx, actor, entries...)
	})
	switch {
	case violates(err, "hooks_identity_key"):
		return nil, fmt.Errorf("create %d hooks: %w", len(hooks), webhook.ErrConflict)
	case err != nil:
		return nil, err
	}
	return ids, nil
}
