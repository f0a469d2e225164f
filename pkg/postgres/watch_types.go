package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lib/pq"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// TypeSet is kept equal to the checked event types in the database by WatchEventTypes.
type TypeSet interface {
	// ReplaceTypes takes all types there are that are checked.
	ReplaceTypes(types []webhook.CheckedType)
}

// WatchEventTypes keeps set equal to the database until ctx ends, as WatchHooks does; there are few checked types, so
// each change has all of them read.
func (d *DB) WatchEventTypes(ctx context.Context, set TypeSet, log *zap.Logger) error {
	reload := func() { d.reloadTypes(ctx, set, log) }
	return d.watch(ctx, []string{typesChannel}, log, reload, func([]*pq.Notification) bool { return false })
}

func (d *DB) reloadTypes(ctx context.Context, set TypeSet, log *zap.Logger) {
	for {
		types, err := d.checkedTypes(ctx)
		if err == nil {
			set.ReplaceTypes(types)
			log.Info("checked event types loaded", zap.Int("types", len(types)))
			return
		}
		log.Warn("checked event types could not be loaded", zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchRetry):
		}
	}
}

func (d *DB) checkedTypes(ctx context.Context) ([]webhook.CheckedType, error) {
	var rows []struct {
		Tenant string    `db:"tenant"`
		Name   string    `db:"name"`
		Check  string    `db:"schema_check"`
		Since  time.Time `db:"checked_since"`
		Schema *[]byte   `db:"schema"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT s.tenant, s.name, s.schema_check, s.checked_since, t.schema
		FROM event_type_settings s LEFT JOIN event_types t ON t.tenant = s.tenant AND t.name = s.name
		WHERE s.schema_check <> 'off'`)
	if err != nil {
		return nil, fmt.Errorf("load checked event types: %w", err)
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
