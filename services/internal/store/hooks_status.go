package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// StatusChange pauses or resumes many hooks of a tenant.
type StatusChange struct {
	// To is Active or Paused. Pausing does not change disabled hooks: they get no deliveries anyway, and keep their reason.
	To     webhook.HookStatus
	Filter HookFilter
}

// where selects the hooks that the change would affect.
func (s *StatusChange) where(tenant string) (condition string, args []any) {
	condition, args = s.Filter.where(tenant)
	args = append(args, string(s.To))
	condition += fmt.Sprintf(` AND status <> $%d`, len(args))
	if s.To == webhook.Paused {
		condition += ` AND status <> 'disabled'`
	}
	return condition, args
}

// Count counts a tenant's hooks that match the filter.
func (d *HookStore) Count(ctx context.Context, tenant string, f HookFilter) (int, error) {
	where, args := f.where(tenant)
	var n int
	if err := d.db.GetContext(ctx, &n, `SELECT count(*) FROM hooks WHERE `+where, args...); err != nil {
		return 0, translate(fmt.Errorf("count hooks of tenant %s: %w", tenant, err))
	}
	return n, nil
}

// CountStatusChange counts the hooks that SetStatuses would change.
func (d *HookStore) CountStatusChange(ctx context.Context, tenant string, s StatusChange) (int, error) {
	where, args := s.where(tenant)
	var n int
	if err := d.db.GetContext(ctx, &n, `SELECT count(*) FROM hooks WHERE `+where, args...); err != nil {
		return 0, translate(fmt.Errorf("count hooks to change: %w", err))
	}
	return n, nil
}

// SetStatuses changes all matching hooks or, on an error, none, and returns how many were changed. Each change is in the audit
// log.
func (d *HookStore) SetStatuses(ctx context.Context, actor Actor, tenant string, s StatusChange) (int, error) {
	where, args := s.where(tenant)
	action := "hook.paused"
	if s.To == webhook.Active {
		action = "hook.resumed"
	}
	var ids []uuid.UUID
	err := d.transact(ctx, func(tx *sqlx.Tx) error {
		err := tx.SelectContext(ctx, &ids, fmt.Sprintf(`
			UPDATE hooks SET status = $%d, disabled_reason = '', modified_at = now(), version = version + 1
			WHERE id IN (SELECT id FROM hooks WHERE %s ORDER BY id FOR UPDATE) RETURNING id`, len(args)+1, where), append(args, string(s.To))...)
		if err != nil {
			return fmt.Errorf("set status of hooks: %w", err)
		}
		if s.To == webhook.Active {
			if err := forgetFailures(ctx, tx, ids...); err != nil {
				return err
			}
		}
		entries := make([]audited, len(ids))
		for i, id := range ids {
			entries[i] = audited{
				tenant: tenant, action: action, subject: id.String(), detail: map[string]any{"fields": []string{"status"}},
			}
		}
		return writeAudit(ctx, tx, actor, entries...)
	})
	if err != nil {
		return 0, err
	}
	return len(ids), nil
}
