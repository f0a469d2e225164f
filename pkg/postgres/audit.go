package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Actor names who makes a change, for the audit log: `token <id>`, or a program such as `cli`.
type Actor string

// AuditEntry is one change: who did what to which thing.
type AuditEntry struct {
	ID uuid.UUID
	At time.Time
	// Tenant is empty for what belongs to no tenant.
	Tenant string
	Actor  Actor
	// Action is a noun and a verb, such as hook.created.
	Action string
	// Subject is the id or name of the thing.
	Subject string
	// Detail is a JSON object; it never holds a secret.
	Detail json.RawMessage
}

// audited is what a change tells the audit log.
type audited struct {
	tenant, action, subject string
	detail                  map[string]any
}

// change runs do in a transaction and writes what it returns to the audit log in the same transaction. An empty action
// says that nothing was changed.
func (d *DB) change(ctx context.Context, actor Actor, do func(tx *sqlx.Tx) (audited, error)) error {
	tx, err := d.db.BeginTxx(ctx, nil)
	if err != nil {
		return translate(fmt.Errorf("begin transaction: %w", err))
	}
	defer tx.Rollback()
	entry, err := do(tx)
	if err != nil {
		return translate(err)
	}
	if entry.action != "" {
		if err := writeAudit(ctx, tx, actor, entry); err != nil {
			return translate(err)
		}
	}
	if err := tx.Commit(); err != nil {
		return translate(fmt.Errorf("commit transaction: %w", err))
	}
	return nil
}

func writeAudit(ctx context.Context, tx *sqlx.Tx, actor Actor, entry audited) error {
	if entry.detail == nil {
		entry.detail = map[string]any{}
	}
	detail, err := json.Marshal(entry.detail)
	if err != nil {
		return fmt.Errorf("encode audit detail of %s: %w", entry.action, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make audit id: %w", err)
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO audit (id, tenant, actor, action, subject, detail) VALUES ($1, NULLIF($2, ''), $3, $4, $5, $6)`,
		id, entry.tenant, string(actor), entry.action, entry.subject, string(detail))
	if err != nil {
		return fmt.Errorf("write audit of %s: %w", entry.action, err)
	}
	return nil
}

// AuditLog lists the newest changes of a tenant's things, newest first; tenant "" lists those of no tenant.
func (d *DB) AuditLog(ctx context.Context, tenant string, limit int) ([]AuditEntry, error) {
	var rows []struct {
		ID      uuid.UUID `db:"id"`
		At      time.Time `db:"at"`
		Tenant  string    `db:"tenant"`
		Actor   string    `db:"actor"`
		Action  string    `db:"action"`
		Subject string    `db:"subject"`
		Detail  []byte    `db:"detail"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, at, COALESCE(tenant, '') AS tenant, actor, action, subject, detail FROM audit
		WHERE tenant IS NOT DISTINCT FROM NULLIF($1, '') ORDER BY at DESC, id DESC LIMIT $2`, tenant, limit)
	if err != nil {
		return nil, translate(fmt.Errorf("list audit of tenant %s: %w", tenant, err))
	}
	list := make([]AuditEntry, len(rows))
	for i, r := range rows {
		list[i] = AuditEntry{
			ID: r.ID, At: r.At.UTC(), Tenant: r.Tenant, Actor: Actor(r.Actor), Action: r.Action, Subject: r.Subject,
			Detail: r.Detail,
		}
	}
	return list, nil
}
