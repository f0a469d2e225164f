package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// TypeSet is kept in line with the checked event types in the database by a Watch.
type TypeSet interface {
	// ReplaceTypes replaces all checked types.
	ReplaceTypes(types []webhook.CheckedType)
}

// loadTypes loads all checked types, of which there are few.
func (w *Watch) loadTypes(ctx context.Context) error {
	if w.Types == nil {
		return nil
	}
	types, err := checkedTypes(ctx, w.polls)
	if err != nil {
		return err
	}
	w.Types.ReplaceTypes(types)
	return nil
}

// Checked lists the event types whose events are checked against their schema.
func (d *TypeStore) Checked(ctx context.Context) ([]webhook.CheckedType, error) {
	return checkedTypes(ctx, d.db)
}

func checkedTypes(ctx context.Context, q sqlx.QueryerContext) ([]webhook.CheckedType, error) {
	var rows []struct {
		Tenant string    `db:"tenant"`
		Name   string    `db:"name"`
		Check  string    `db:"schema_check"`
		Since  time.Time `db:"checked_since"`
		Schema *[]byte   `db:"schema"`
	}
	err := sqlx.SelectContext(ctx, q, &rows, `
		SELECT s.tenant, s.name, s.schema_check, s.checked_since, t.schema
		FROM event_type_settings s LEFT JOIN event_types t ON t.tenant = s.tenant AND t.name = s.name
		WHERE s.schema_check <> 'off'`)
	if err != nil {
		return nil, translate(fmt.Errorf("load checked event types: %w", err))
	}
	types := make([]webhook.CheckedType, len(rows))
	for i, r := range rows {
		types[i] = webhook.CheckedType{Tenant: r.Tenant, Name: r.Name, Check: webhook.SchemaCheck(r.Check), Since: r.Since.UTC()}
		if r.Schema != nil {
			types[i].Schema = json.RawMessage(*r.Schema)
		}
	}
	return types, nil
}
