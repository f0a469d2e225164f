package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// EventType is an event type that a tenant declared, in addition to the built-in ones.
type EventType struct {
	Name        string
	Description string
	// Schema is a JSON Schema of the event's data; nil if none was given.
	Schema json.RawMessage
	// Example is an example of an event's data; nil if none was given.
	Example   json.RawMessage
	CreatedAt time.Time
	Settings  EventTypeSettings
}

// EventTypeSettings are a tenant's settings for an event type, its own or a built-in one.
type EventTypeSettings struct {
	// Check is what happens to events whose data does not match the schema. In a change, empty leaves it as it is.
	Check webhook.SchemaCheck
	// Deprecated reports that the type should not be used any more. In a change, nil leaves it as it is.
	Deprecated *bool
}

// List returns the types that a tenant declared, by name.
func (d *TypeStore) List(ctx context.Context, tenant string) ([]EventType, error) {
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
	settings, err := d.Settings(ctx, tenant)
	if err != nil {
		return nil, err
	}
	list := make([]EventType, len(rows))
	for i, r := range rows {
		list[i] = EventType{Name: r.Name, Description: r.Description, CreatedAt: r.CreatedAt.UTC(), Settings: settings[r.Name]}
		if r.Schema != nil {
			list[i].Schema = *r.Schema
		}
		if r.Example != nil {
			list[i].Example = *r.Example
		}
	}
	return list, nil
}

// Settings returns a tenant's settings for event types, by name. Types without settings are not checked and not deprecated.
func (d *TypeStore) Settings(ctx context.Context, tenant string) (map[string]EventTypeSettings, error) {
	var rows []settingsRow
	err := d.db.SelectContext(ctx, &rows, `SELECT name, schema_check, deprecated FROM event_type_settings WHERE tenant = $1`, tenant)
	if err != nil {
		return nil, translate(fmt.Errorf("list settings of event types: %w", err))
	}
	settings := make(map[string]EventTypeSettings, len(rows))
	for _, r := range rows {
		settings[r.Name] = r.settings()
	}
	return settings, nil
}

type settingsRow struct {
	Name       string `db:"name"`
	Check      string `db:"schema_check"`
	Deprecated bool   `db:"deprecated"`
}

func (r *settingsRow) settings() EventTypeSettings {
	return EventTypeSettings{Check: webhook.SchemaCheck(r.Check), Deprecated: &r.Deprecated}
}

// Set changes the settings of a type and returns the resulting ones. The caller has to make sure that the tenant has such a
// type. The error is webhook.ErrNotFound if the tenant does not exist.
func (d *TypeStore) Set(ctx context.Context, actor Actor, tenant, name string, change EventTypeSettings) (EventTypeSettings, error) {
	var now EventTypeSettings
	err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		var err error
		now, err = setEventType(ctx, tx, tenant, name, change)
		return audited{
			tenant: tenant, action: "event_type.changed", subject: name,
			detail: map[string]any{"schema_check": now.Check, "deprecated": now.Deprecated},
		}, err
	})
	return now, err
}

func setEventType(ctx context.Context, tx *sqlx.Tx, tenant, name string, change EventTypeSettings) (EventTypeSettings, error) {
	var row settingsRow
	err := tx.GetContext(ctx, &row, `
		INSERT INTO event_type_settings AS s (tenant, name, schema_check, deprecated)
		VALUES ($1, $2, COALESCE(NULLIF($3, ''), 'off'), COALESCE($4, false))
		ON CONFLICT (tenant, name) DO UPDATE SET
			schema_check = COALESCE(NULLIF($3, ''), s.schema_check), deprecated = COALESCE($4, s.deprecated),
			checked_since = CASE WHEN s.schema_check = COALESCE(NULLIF($3, ''), s.schema_check) THEN s.checked_since ELSE now() END
		RETURNING name, schema_check, deprecated`, tenant, name, string(change.Check), change.Deprecated)
	switch {
	case violates(err, "event_type_settings_tenant_fkey"):
		return EventTypeSettings{}, fmt.Errorf("tenant %s: %w", tenant, webhook.ErrNotFound)
	case err != nil:
		return EventTypeSettings{}, fmt.Errorf("change event type %s: %w", name, err)
	}
	return row.settings(), nil
}

// Declare stores a type for a tenant, or replaces the one with the same name, and reports whether it is new. Schema and example
// must be JSON. The settings are changed as by Set. The error is webhook.ErrNotFound if the tenant does not exist.
func (d *TypeStore) Declare(ctx context.Context, actor Actor, tenant string, t EventType) (created bool, err error) {
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
		if _, err := setEventType(ctx, tx, tenant, t.Name, t.Settings); err != nil {
			return audited{}, err
		}
		return audited{tenant: tenant, action: "event_type.declared", subject: t.Name}, nil
	})
	return created && err == nil, err
}

// Remove removes a type that the tenant declared. Hooks that name it keep it. The error is webhook.ErrNotFound if the tenant
// declared no such type.
func (d *TypeStore) Remove(ctx context.Context, actor Actor, tenant, name string) error {
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
		if _, err := tx.ExecContext(ctx, `DELETE FROM event_type_settings WHERE tenant = $1 AND name = $2`, tenant, name); err != nil {
			return audited{}, fmt.Errorf("remove settings of event type %s: %w", name, err)
		}
		return audited{tenant: tenant, action: "event_type.removed", subject: name}, nil
	})
}
