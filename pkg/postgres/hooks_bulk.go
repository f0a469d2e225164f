package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// CreateHooks stores new hooks of one tenant, which must be valid, with new ids: all of them or, with an error, none.
// It returns the ids in the hooks' order. quota is how many hooks the tenant may have.
//
// The errors are webhook.ErrConflict where two hooks, stored or new, have the same target URL and event types, ErrQuota,
// and webhook.ErrNotFound where the tenant does not exist.
func (d *DB) CreateHooks(ctx context.Context, actor Actor, tenant string, hooks []webhook.Hook, quota int) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(hooks))
	for i := range ids {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make hook id: %w", err)
		}
		ids[i] = id
	}
	err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		if err := lockTenant(ctx, tx, tenant); err != nil {
			return audited{}, err
		}
		if err := checkQuota(ctx, tx, tenant, quota-len(hooks)+1); err != nil {
			return audited{}, err
		}
		if err := copyRows(ctx, tx, "hooks", hookInsertColumns, len(hooks), func(i int) ([]any, error) {
			h := hooks[i]
			h.ID, h.Tenant = ids[i], tenant
			return d.hookValues(&h)
		}); err != nil {
			return audited{}, err
		}
		return audited{}, copyRows(ctx, tx, "audit", auditColumns, len(hooks), func(i int) ([]any, error) {
			return auditValues(actor, tenant, &hooks[i], ids[i])
		})
	})
	switch {
	case violates(err, "hooks_identity_key"):
		return nil, fmt.Errorf("create %d hooks: %w", len(hooks), webhook.ErrConflict)
	case err != nil:
		return nil, err
	}
	return ids, nil
}

var hookInsertColumns = []string{
	"id", "tenant", "name", "event_types", "target_url", "notification_type", "sealed", "sealed_key_id", "has_secret",
	"has_api_key", "callback", "retry", "config", "status", "disabled_reason",
}

func (d *DB) hookValues(h *webhook.Hook) ([]any, error) {
	row, err := newHookRow(h, d.ring)
	if err != nil {
		return nil, err
	}
	types, err := row.EventTypes.Value()
	if err != nil {
		return nil, fmt.Errorf("encode event types of hook %s: %w", row.ID, err)
	}
	return []any{
		row.ID.String(), row.Tenant, row.Name, types, row.TargetURL, row.NotificationType, row.Sealed, row.SealedKeyID, row.HasSecret,
		row.HasAPIKey, copyJSON(row.Callback), copyJSON(row.Retry), row.Config, row.Status, row.DisabledReason,
	}, nil
}

// copyJSON is JSON as COPY takes it: []byte would go as bytea.
func copyJSON(b *[]byte) any {
	if b == nil {
		return nil
	}
	return string(*b)
}

var auditColumns = []string{"id", "tenant", "actor", "action", "subject", "detail"}

func auditValues(actor Actor, tenant string, h *webhook.Hook, hook uuid.UUID) ([]any, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make audit id: %w", err)
	}
	detail, err := json.Marshal(map[string]any{"event_types": h.EventTypes, "status": h.Status})
	if err != nil {
		return nil, fmt.Errorf("encode audit detail of hook %s: %w", hook, err)
	}
	return []any{id.String(), tenant, string(actor), "hook.created", hook.String(), string(detail)}, nil
}

// copyRows writes n rows by COPY.
func copyRows(ctx context.Context, tx *sqlx.Tx, table string, columns []string, n int, row func(i int) ([]any, error)) error {
	stmt, err := tx.PrepareContext(ctx, `COPY `+table+` (`+strings.Join(columns, `, `)+`) FROM STDIN`)
	if err != nil {
		return fmt.Errorf("copy into %s: %w", table, err)
	}
	defer stmt.Close()
	for i := range n {
		values, err := row(i)
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(ctx, values...); err != nil {
			return fmt.Errorf("copy into %s: %w", table, err)
		}
	}
	if _, err := stmt.ExecContext(ctx); err != nil {
		return fmt.Errorf("copy into %s: %w", table, err)
	}
	return nil
}
