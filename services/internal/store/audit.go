package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// Actor names who makes a change, for the audit log: `token <id>`, or a program such as `cli`.
type Actor string

// AuditEntry is one change: who did what to which object.
type AuditEntry struct {
	ID uuid.UUID
	At time.Time
	// Tenant is empty if the object belongs to no tenant.
	Tenant string
	Actor  Actor
	// Action consists of a noun and a verb, such as hook.created.
	Action string
	// Subject is the id or name of the object.
	Subject string
	// Detail is a JSON object. It never contains secrets.
	Detail json.RawMessage
}

// audited is the audit entry of one change.
type audited struct {
	tenant, action, subject string
	detail                  map[string]any
}

// change runs do in a transaction, and writes the entry that do returns to the audit log in the same transaction. An entry with
// an empty action means that nothing was changed, and is not written.
func (d *core) change(ctx context.Context, actor Actor, do func(tx *sqlx.Tx) (audited, error)) error {
	return d.transact(ctx, func(tx *sqlx.Tx) error {
		entry, err := do(tx)
		if err != nil || entry.action == "" {
			return err
		}
		return writeAudit(ctx, tx, actor, entry)
	})
}

// transact runs do in a transaction, and commits it unless there is an error.
func (d *core) transact(ctx context.Context, do func(tx *sqlx.Tx) error) error {
	return d.transactOn(ctx, d.db, do)
}

// transactOn runs do in a transaction on a connection, or on any connection of a pool, and commits it unless there is an error.
func (d *core) transactOn(ctx context.Context, on interface {
	BeginTxx(ctx context.Context, opts *sql.TxOptions) (*sqlx.Tx, error)
}, do func(tx *sqlx.Tx) error,
) (err error) {
	defer func() { d.endCutOff(ctx, err) }()
	tx, err := on.BeginTxx(ctx, nil)
	if err != nil {
		return translate(fmt.Errorf("begin transaction: %w", err))
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return translate(err)
	}
	if err := tx.Commit(); err != nil {
		return translate(fmt.Errorf("commit transaction: %w", err))
	}
	return nil
}

const writingAudit = `
	INSERT INTO audit (id, tenant, actor, action, subject, detail)
	SELECT e.id, NULLIF(e.tenant, ''), $1, e.action, e.subject, e.detail
	FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::jsonb[]) AS e (id, tenant, action, subject, detail)`

// writeAudit writes the entries of an actor's changes.
func writeAudit(ctx context.Context, tx querier, actor Actor, entries ...audited) error {
	var ids []uuid.UUID
	var tenants, actions, subjects, details []string
	for _, e := range entries {
		if e.detail == nil {
			e.detail = map[string]any{}
		}
		detail, err := json.Marshal(e.detail)
		if err != nil {
			return fmt.Errorf("encode audit detail of %s: %w", e.action, err)
		}
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make audit id: %w", err)
		}
		ids, tenants, actions = append(ids, id), append(tenants, e.tenant), append(actions, e.action)
		subjects, details = append(subjects, e.subject), append(details, string(detail))
	}
	_, err := tx.ExecContext(ctx, writingAudit, string(actor), textArray(uuidList(ids)), textArray(tenants), textArray(actions), textArray(subjects), textArray(details))
	if err != nil {
		return fmt.Errorf("write audit: %w", err)
	}
	return nil
}

// NoteTest writes to the audit log that an event of the type was sent to a hook as a test. The host is that of the request. If
// the id is zero, the hook is not stored.
func (d *AccessStore) NoteTest(ctx context.Context, actor Actor, tenant string, hook uuid.UUID, eventType, host string) error {
	return d.change(ctx, actor, func(*sqlx.Tx) (audited, error) {
		subject := hook.String()
		if hook == uuid.Nil {
			subject = "unsaved"
		}
		return audited{
			tenant: tenant, action: "hook.tested", subject: subject, detail: map[string]any{"event_type": eventType, "host": host},
		}, nil
	})
}

// NoteRelay writes to the audit log that somebody listens to a hook's requests, or to those of all of the tenant's hooks if the
// id is zero.
func (d *AccessStore) NoteRelay(ctx context.Context, actor Actor, tenant string, hook uuid.UUID, eventTypes []string) error {
	return d.change(ctx, actor, func(*sqlx.Tx) (audited, error) {
		subject := hook.String()
		if hook == uuid.Nil {
			subject = "all"
		}
		detail := map[string]any{}
		if len(eventTypes) > 0 {
			detail["event_types"] = eventTypes
		}
		return audited{tenant: tenant, action: "hook.relayed", subject: subject, detail: detail}, nil
	})
}

// NoteReplayElsewhere writes to the audit log that a delivery was sent to a host other than its hook's. signer says whose
// signature the request has.
func (d *AccessStore) NoteReplayElsewhere(ctx context.Context, actor Actor, tenant string, delivery uuid.UUID, host, signer string) error {
	return d.change(ctx, actor, func(*sqlx.Tx) (audited, error) {
		return audited{
			tenant: tenant, action: "delivery.sent_elsewhere", subject: delivery.String(), detail: map[string]any{"host": host, "signed": signer},
		}, nil
	})
}

// NoteGuesses writes to the audit log, without a tenant, the number of wrong tokens received from an address since the given
// time.
func (d *AccessStore) NoteGuesses(ctx context.Context, actor Actor, addr string, wrong int, since time.Time) error {
	return d.change(ctx, actor, func(*sqlx.Tx) (audited, error) {
		return audited{
			action: "token.guessed", subject: addr, detail: map[string]any{"wrong": wrong, "since": since.UTC().Format(time.RFC3339)},
		}, nil
	})
}

// PutBack is a ledger entry that was set aside and is now recorded.
type PutBack struct {
	Number uint64
	// What is the kind of the entry, Subject the subject to which it was published, and Reason the reason why it was set aside.
	What, Subject, Reason string
}

// NotePutBack writes the ledger entries that were put back to the audit log, without a tenant.
func (d *AccessStore) NotePutBack(ctx context.Context, actor Actor, list []PutBack) error {
	if len(list) == 0 {
		return nil
	}
	entries := make([]audited, len(list))
	for i, p := range list {
		entries[i] = audited{
			action: "ledger_entry.put_back", subject: strconv.FormatUint(p.Number, 10),
			detail: map[string]any{"what": p.What, "subject": p.Subject, "reason": p.Reason},
		}
	}
	return d.transact(ctx, func(tx *sqlx.Tx) error { return writeAudit(ctx, tx, actor, entries...) })
}

// AuditFilter narrows the audit log. Zero fields do not restrict it.
type AuditFilter struct {
	// Subject is the id or name of the object that was changed.
	Subject string
	// Kind is the noun with which the action begins, such as hook.
	Kind string
	// Actors are the actors whose changes are wanted; nil for all.
	Actors []Actor
	// Range bounds the time of the change.
	Range TimeRange
}

// ListAudit lists the changes of a tenant's objects, newest first, or, if tenant is empty, of objects without a tenant. more
// reports that there are further entries in the direction of the page.
func (d *AccessStore) ListAudit(ctx context.Context, tenant string, f AuditFilter, page Page) (list []AuditEntry, more bool, err error) {
	c := &clauses{}
	if tenant == "" {
		c.fixed("tenant IS NULL")
	} else {
		c.add("tenant = %s", tenant)
	}
	if f.Subject != "" {
		c.add("subject = %s", f.Subject)
	}
	if f.Kind != "" {
		c.add("starts_with(action, %s || '.')", f.Kind)
	}
	if f.Actors != nil {
		actors := make([]string, len(f.Actors))
		for i, a := range f.Actors {
			actors[i] = string(a)
		}
		c.add("actor = ANY(%s::text[])", textArray(actors))
	}
	c.published("at", f.Range)
	tail := c.page(page, "at", "id", byUUID)
	var rows []struct {
		ID      uuid.UUID `db:"id"`
		At      time.Time `db:"at"`
		Tenant  string    `db:"tenant"`
		Actor   string    `db:"actor"`
		Action  string    `db:"action"`
		Subject string    `db:"subject"`
		Detail  []byte    `db:"detail"`
	}
	query := `SELECT id, at, COALESCE(tenant, '') AS tenant, actor, action, subject, detail FROM audit WHERE ` + c.where() + tail
	if err := d.db.SelectContext(ctx, &rows, query, c.args...); err != nil {
		return nil, false, translate(fmt.Errorf("list audit of tenant %s: %w", tenant, err))
	}
	rows, more = cut(rows, page)
	list = make([]AuditEntry, len(rows))
	for i, r := range rows {
		list[i] = AuditEntry{
			ID: r.ID, At: r.At.UTC(), Tenant: r.Tenant, Actor: Actor(r.Actor), Action: r.Action, Subject: r.Subject,
			Detail: r.Detail,
		}
	}
	return list, more, nil
}
