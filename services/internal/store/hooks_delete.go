package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// UndoTime is how long a deletion by DeleteSoon can be undone.
const UndoTime = 30 * time.Second

// DeletedHook is a hook whose deletion can still be undone.
type DeletedHook struct {
	// Hook has only the id, the tenant, the name and the target URL.
	Hook webhook.Hook
	// Left is how long the deletion can still be undone.
	Left time.Duration
}

// Delete removes a hook. The errors are webhook.ErrNotFound, and webhook.ErrVersion if the hook has another version.
func (d *HookStore) Delete(ctx context.Context, actor Actor, tenant string, id uuid.UUID, version IfVersion) error {
	return d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		var row hookRow
		if err := lockHook(ctx, tx, &row, tenant, id, version); err != nil {
			return audited{}, err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM hooks WHERE id = $1`, id); err != nil {
			return audited{}, fmt.Errorf("delete hook %s: %w", id, err)
		}
		return audited{
			tenant: tenant, action: "hook.deleted", subject: id.String(), detail: map[string]any{"name": row.Name},
		}, nil
	})
}

// DeleteSoon pauses a hook, and removes it after UndoTime unless Undelete is called first. Until then only workers see the
// hook, and park its deliveries; another hook may already use its target URL and event types. The error is webhook.ErrNotFound.
func (d *HookStore) DeleteSoon(ctx context.Context, actor Actor, tenant string, id uuid.UUID) error {
	return d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		var row hookRow
		if err := lockHook(ctx, tx, &row, tenant, id, nil); err != nil {
			return audited{}, err
		}
		_, err := tx.ExecContext(ctx, `
			UPDATE hooks SET deleted_at = now(), deleted_status = status, deleted_paused_until = paused_until, paused_until = NULL,
				status = CASE status WHEN 'active' THEN 'paused' ELSE status END, modified_at = now(), version = version + 1
			WHERE id = $1`, id)
		if err != nil {
			return audited{}, fmt.Errorf("delete hook %s soon: %w", id, err)
		}
		return audited{
			tenant: tenant, action: "hook.deleted", subject: id.String(),
			detail: map[string]any{"name": row.Name, "undo_seconds": UndoTime.Seconds()},
		}, nil
	})
}

// Undelete restores a hook that was deleted by DeleteSoon. A hook that was disabled meanwhile stays disabled. The errors are
// webhook.ErrNotFound if the hook was already removed, and a *webhook.ConflictError if another hook has its target URL and
// event types.
func (d *HookStore) Undelete(ctx context.Context, actor Actor, tenant string, id uuid.UUID) error {
	var h webhook.Hook
	err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		var row hookRow
		err := tx.GetContext(ctx, &row, `
			SELECT `+hookColumns+` FROM hooks WHERE tenant = $1 AND id = $2 AND deleted_at IS NOT NULL FOR UPDATE`, tenant, id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, fmt.Errorf("deleted hook %s: %w", id, webhook.ErrNotFound)
		case err != nil:
			return audited{}, fmt.Errorf("lock deleted hook %s: %w", id, err)
		}
		h = webhook.Hook{Tenant: tenant, TargetURL: row.TargetURL, EventTypes: row.EventTypes}
		_, err = tx.ExecContext(ctx, `
			UPDATE hooks SET status = CASE status WHEN 'paused' THEN deleted_status ELSE status END, paused_until = deleted_paused_until,
				deleted_at = NULL, modified_at = now(), version = version + 1
			WHERE id = $1`, id)
		if err != nil {
			return audited{}, fmt.Errorf("undelete hook %s: %w", id, err)
		}
		return audited{tenant: tenant, action: "hook.restored", subject: id.String(), detail: map[string]any{"name": row.Name}}, nil
	})
	if err != nil {
		return d.explainConflict(ctx, &h, err)
	}
	return nil
}

// Deleted returns a hook whose deletion can still be undone. The error is webhook.ErrNotFound if there is none.
func (d *HookStore) Deleted(ctx context.Context, tenant string, id uuid.UUID) (DeletedHook, error) {
	var row struct {
		Name   string  `db:"name"`
		Target string  `db:"target_url"`
		Left   float64 `db:"remaining"`
	}
	err := d.db.GetContext(ctx, &row, `
		SELECT name, target_url, GREATEST(0, $3 - extract(epoch FROM now() - deleted_at)) AS remaining
		FROM hooks WHERE tenant = $1 AND id = $2 AND deleted_at IS NOT NULL`, tenant, id, UndoTime.Seconds())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return DeletedHook{}, fmt.Errorf("deleted hook %s: %w", id, webhook.ErrNotFound)
	case err != nil:
		return DeletedHook{}, translate(fmt.Errorf("get deleted hook %s: %w", id, err))
	}
	return DeletedHook{
		Hook: webhook.Hook{ID: id, Tenant: tenant, Name: row.Name, TargetURL: row.Target}, Left: time.Duration(row.Left * float64(time.Second)),
	}, nil
}

// EndDeletions removes the hooks whose deletion can no longer be undone, and returns their number. Several programs may do so
// at once.
func (d *HookStore) EndDeletions(ctx context.Context) (int, error) {
	for n := 0; ; {
		result, err := d.db.ExecContext(ctx, `
			DELETE FROM hooks WHERE id IN (
				SELECT id FROM hooks WHERE deleted_at <= now() - $1 * interval '1 second' ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			UndoTime.Seconds(), endAtOnce)
		if err != nil {
			return n, translate(fmt.Errorf("end deletions of hooks: %w", err))
		}
		ended, err := result.RowsAffected()
		if n += int(ended); err != nil || ended < endAtOnce {
			return n, err
		}
	}
}
