package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxScanBytes bounds the payloads that one scan reads.
const maxScanBytes = 64 << 20

// ScanEvents reads a tenant's events, newest first, and passes each to take. It stops after limit events, after maxScanBytes of
// payloads, or when ctx's deadline passes, and reports whether there may be more.
func (d *HistoryStore) ScanEvents(ctx context.Context, tenant string, f EventFilter, limit int, take func(*webhook.Event)) (more bool, err error) {
	c := &clauses{}
	c.add("tenant = %s", tenant)
	c.published("published_at", f.Range)
	c.fixed("erased_at IS NULL")
	if len(f.EventTypes) > 0 {
		c.wantsType("type", f.EventTypes)
	}
	query := `SELECT id, seq, type, time, published_at, entity, context, config_filter, data FROM events WHERE ` + c.where() +
		` ORDER BY published_at DESC, seq DESC LIMIT ` + c.arg(limit+1)
	more, err = d.scanEvents(ctx, query, c.args, tenant, limit, take)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return true, nil
	}
	return more, translate(err)
}

func (d *core) scanEvents(ctx context.Context, query string, args []any, tenant string, limit int, take func(*webhook.Event)) (more bool, err error) {
	rows, err := d.db.QueryxContext(ctx, query, args...)
	if err != nil {
		return false, fmt.Errorf("scan events: %w", err)
	}
	defer rows.Close()
	for n, size := 0, 0; rows.Next(); n++ {
		var r struct {
			ID           string    `db:"id"`
			Seq          int64     `db:"seq"`
			Type         string    `db:"type"`
			Time         time.Time `db:"time"`
			PublishedAt  time.Time `db:"published_at"`
			Entity       string    `db:"entity"`
			Context      *string   `db:"context"`
			ConfigFilter *string   `db:"config_filter"`
			Data         string    `db:"data"`
		}
		if err := rows.StructScan(&r); err != nil {
			return false, fmt.Errorf("scan events: %w", err)
		}
		if size += len(r.Data); n == limit || size > maxScanBytes {
			return true, nil
		}
		take(&webhook.Event{
			ID: r.ID, Tenant: tenant, Type: r.Type, Time: r.Time.UTC(), PublishedAt: r.PublishedAt.UTC(), Seq: webhook.Sequence(r.Seq), //nolint:gosec // never negative
			Entity: r.Entity, Context: optionalBytes(r.Context), ConfigFilter: optionalBytes(r.ConfigFilter), Data: []byte(r.Data),
		})
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("scan events: %w", err)
	}
	return false, nil
}
