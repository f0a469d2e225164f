package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Made-up history: each event went to seedHooks of the hooks, and the first of these needed a second attempt.
const (
	seedHooks    = 3
	seedAttempts = seedHooks + 1
	seedDays     = 7
)

// Each statement fills one day; $1 is its beginning and $2 how many events it has.
const (
	seedEvents = `
INSERT INTO events (published_at, tenant, id, seq, type, time, entity, data, digest)
SELECT at, $3, 'e-' || extract(epoch FROM $1::timestamptz)::bigint || '-' || i, extract(epoch FROM $1::timestamptz)::bigint * 1000 + i,
	($4::text[])[1 + i % cardinality($4::text[])], at, 'order:' || i % 50000,
	format('{"id": %s, "number": "SO-2026-%s", "status": "packed", "channel_id": %s, "package": {"awb": "AWB%s", "weight_g": %s}, "lines": [{"sku": "AP-LAMP-OAK", "quantity": 1}, {"sku": "AP-MUG-SAGE", "quantity": 4}], "note": "%s"}',
		i, i, i % 40, i, i % 9000, repeat(md5(i::text), 4)), decode(md5(i::text) || md5(i::text), 'hex')
FROM generate_series(1, $2::int) i, LATERAL (SELECT $1::timestamptz + i * (interval '1 day' / ($2 + 1)) AS at) t`

	seedDeliveries = `
INSERT INTO deliveries (published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state, reason, attempts, next_at,
	first_attempt_at, round_attempts, round_started_at, updated_at, last_status, last_error)
SELECT e.published_at, md5(e.id || k)::uuid, e.tenant, ($4::text[])[1 + (e.seq * 7 + k * 61) % cardinality($4::text[])]::uuid, e.id, e.seq,
	e.type, e.entity, state, CASE state WHEN 'dead' THEN 'exhausted' WHEN 'delivered' THEN '' ELSE 'failed' END,
	CASE k WHEN 0 THEN 2 ELSE 1 END, CASE state WHEN 'waiting' THEN now() + interval '1 hour' END, e.published_at,
	1, e.published_at, e.published_at + interval '1 second', CASE state WHEN 'delivered' THEN 200 ELSE 503 END,
	CASE state WHEN 'delivered' THEN '' ELSE 'status' END
FROM events e, generate_series(0, $3::int - 1) k,
	LATERAL (SELECT CASE WHEN (e.seq + k) % 50 = 0 THEN 'dead' WHEN (e.seq + k) % 200 = 1 THEN 'waiting' ELSE 'delivered' END AS state) s
WHERE e.published_at >= $1 AND e.published_at < $1::timestamptz + interval '1 day' AND e.tenant = $2`

	seedAttemptRows = `
INSERT INTO attempts (published_at, delivery_id, number, tenant, hook_id, started_at, duration_us, outcome, status, error_class, worker,
	method, url, request_size, request_headers, response_headers, response_body)
SELECT d.published_at, d.id, n, d.tenant, d.hook_id, d.published_at + n * interval '1 second', 12000,
	CASE WHEN n = d.attempts AND d.state = 'delivered' THEN 'succeeded' ELSE 'failed' END,
	CASE WHEN n = d.attempts THEN d.last_status ELSE 503 END, CASE WHEN n = d.attempts THEN d.last_error ELSE 'status' END, 'worker-1',
	'POST', 'https://example.com/webhooks/orders', 600, E'Content-Type: application/json\nUser-Agent: Whisperer/1.0\nwebhook-id: ' || d.id,
	E'Content-Type: text/plain\nDate: Thu, 01 Jan 2026 00:00:00 GMT', convert_to('accepted, thank you', 'UTF8')
FROM deliveries d, generate_series(1, d.attempts) n
WHERE d.published_at >= $1 AND d.published_at < $1::timestamptz + interval '1 day' AND d.tenant = $2`
)

// SeedHistory fills the ledger with the made-up history of the last week: so many attempts, at least, of deliveries to the
// hooks. It is for measuring how long looking things up takes. progress is told how many attempts there are so far.
func (d *DB) SeedHistory(ctx context.Context, tenant string, hooks []uuid.UUID, types []string, attempts int, progress func(int)) error {
	perDay := max(attempts/seedAttempts/seedDays, 1) + 1
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for n := range seedDays {
		day := today.AddDate(0, 0, -n-1)
		steps := []struct {
			query string
			args  []any
		}{
			{`SELECT whisperer_ensure_day($1::date)`, []any{day.Format(time.DateOnly)}},
			{seedEvents, []any{day, perDay, tenant, textArray(types)}},
			{seedDeliveries, []any{day, tenant, seedHooks, textArray(uuidList(hooks))}},
			{seedAttemptRows, []any{day, tenant}},
		}
		for _, s := range steps {
			if _, err := d.db.ExecContext(ctx, s.query, s.args...); err != nil {
				return fmt.Errorf("seed history of %s: %w", day.Format(time.DateOnly), err)
			}
		}
		progress((n + 1) * perDay * seedAttempts)
	}
	for _, table := range []string{"events", "deliveries", "attempts"} {
		if _, err := d.db.ExecContext(ctx, `VACUUM ANALYZE `+table); err != nil {
			return fmt.Errorf("analyze %s: %w", table, err)
		}
	}
	return nil
}

// SeededEvents returns the ids of n events of the made-up history, and one delivery of each.
func (d *DB) SeededEvents(ctx context.Context, tenant string, n int) ([]webhook.Delivery, error) {
	var rows []deliveryRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT `+deliveryView+` FROM deliveries TABLESAMPLE SYSTEM (5) WHERE tenant = $1 LIMIT $2`, tenant, n)
	if err != nil {
		return nil, fmt.Errorf("list seeded deliveries: %w", err)
	}
	return deliveries(rows), nil
}
