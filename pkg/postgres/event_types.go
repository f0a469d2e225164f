package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// EventType is a type that a tenant declared, beside the built-in ones.
type EventType struct {
	Name        string
	Description string
	// Schema is a JSON Schema of the event's data; nil where none was given.
	Schema json.RawMessage
	// Example is an event's data; nil where none was given.
	Example   json.RawMessage
	CreatedAt time.Time
}

// EventTypes lists the types that a tenant declared, by name.
func (d *DB) EventTypes(ctx context.Context, tenant string) ([]EventType, error) {
	var rows []struct {
		Name        string    `db:"name"`
		Description string    `db:"description"`
		Schema      *[]byte   `db:"schema"`
		Example     *[]byte   `db:"example"`
		CreatedAt   time.Time `db:"created_at"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT name, description, schema, example, created_at FROM event_types WHERE tenant = $1 ORDER BY name`, tenant)
	if err != nil {
		return nil, translate(fmt.Errorf("list event types: %w", err))
	}
	list := make([]EventType, len(rows))
	for i, r := range rows {
		list[i] = EventType{Name: r.Name, Description: r.Description, CreatedAt: r.CreatedAt.UTC()}
		if r.Schema != nil {
			list[i].Schema = *r.Schema
		}
		if r.Example != nil {
			list[i].Example = *r.Example
		}
	}
	return list, nil
}

// DeclareEventType stores a type for a tenant, in place of one of the same name, and reports whether it is new. Schema
// and example must be JSON. The error is webhook.ErrNotFound where the tenant does not exist.
func (d *DB) DeclareEventType(ctx context.Context, actor Actor, tenant string, t EventType) (created bool, err error) {
	err = d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		err := tx.GetContext(ctx, &created, `
			INSERT INTO event_types (tenant, name, description, schema, example)
			VALUES ($1, $2, $3, NULLIF($4, '')::jsonb, NULLIF($5, ''))
			ON CONFLICT (tenant, name) DO UPDATE
				SET description = excluded.description, schema = excluded.schema, example = excluded.example
			RETURNING xmax = 0`, tenant, t.Name, t.Description, string(t.Schema), string(t.Example))
		switch {
		case violates(err, "event_types_tenant_fkey"):
			return audited{}, fmt.Errorf("tenant %s: %w", tenant, webhook.ErrNotFound)
		case err != nil:
			return audited{}, fmt.Errorf("declare event type %s: %w", t.Name, err)
		}
		return audited{tenant: tenant, action: "event_type.declared", subject: t.Name}, nil
	})
	return created && err == nil, err
}

// RemoveEventType removes a type that the tenant declared. Hooks that name it keep it. The error is
// webhook.ErrNotFound where the tenant declared no such type.
func (d *DB) RemoveEventType(ctx context.Context, actor Actor, tenant, name string) error {
	return d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		result, err := tx.ExecContext(ctx, `DELETE FROM event_types WHERE tenant = $1 AND name = $2`, tenant, name)
		if err != nil {
			return audited{}, fmt.Errorf("remove event type %s: %w", name, err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return audited{}, fmt.Errorf("remove event type %s: %w", name, err)
		}
		if n == 0 {
			return audited{}, fmt.Errorf("event type %s: %w", name, webhook.ErrNotFound)
		}
		return audited{tenant: tenant, action: "event_type.removed", subject: name}, nil
	})
}
