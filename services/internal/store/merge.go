package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// staging creates the tables into which batches are copied. They exist as long as the connection. Merges look rows up by key
// and are planned anew each time, because a plan made while a partition was empty would scan all of it as it grows. The tables
// include defaults, because a newer schema may have columns that this program does not fill.
func staging() []string {
	return []string{
		`SET enable_hashjoin = off`,
		`SET enable_mergejoin = off`,
		`CREATE TEMP TABLE IF NOT EXISTS staging_deliveries (LIKE deliveries INCLUDING DEFAULTS) ON COMMIT DELETE ROWS`,
		`CREATE TEMP TABLE IF NOT EXISTS staging_attempts (LIKE attempts INCLUDING DEFAULTS) ON COMMIT DELETE ROWS`,
		`CREATE TEMP TABLE IF NOT EXISTS staging_events (LIKE events INCLUDING DEFAULTS) ON COMMIT DELETE ROWS`,
		`CREATE TEMP TABLE IF NOT EXISTS staging_rejected (LIKE rejected_events INCLUDING DEFAULTS) ON COMMIT DELETE ROWS`,
	}
}

// mergeDeliveries merges facts into deliveries. Of several facts about a delivery, the newest counts. It has the highest number
// of attempts; among those, the latest state, independently of the clocks of workers and database: waiting, then parked, then
// final; and among those, the latest time. A final state stays, unless a replay or a late success follows. A fact without an
// attempt, such as that of parking, keeps the result of the last attempt. All facts, however late, count attempts and set the
// time of the first one.
const mergeDeliveries = `
INSERT INTO deliveries AS d (published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state, reason,
	attempts, next_at, first_attempt_at, round_attempts, round_started_at, updated_at, last_status, last_error, replay)
SELECT DISTINCT ON (id, published_at) published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state,
	reason, max(attempts) OVER delivery, next_at, min(first_attempt_at) OVER delivery, round_attempts,
	round_started_at, updated_at, first_value(last_status) OVER answered, first_value(last_error) OVER answered, replay
FROM staging_deliveries
WINDOW delivery AS (PARTITION BY id, published_at), answered AS (PARTITION BY id, published_at
	ORDER BY first_attempt_at IS NULL, replay DESC, (state = 'delivered') DESC, attempts DESC, updated_at DESC)
ORDER BY id, published_at, replay DESC, (state = 'delivered') DESC, staging_deliveries.attempts DESC, CASE state WHEN 'waiting' THEN 0 WHEN 'parked' THEN 1 ELSE 2 END DESC, updated_at DESC
ON CONFLICT (id, published_at) DO UPDATE SET
	attempts = greatest(d.attempts, excluded.attempts), first_attempt_at = LEAST(d.first_attempt_at, excluded.first_attempt_at),
	(state, reason, next_at, round_attempts, round_started_at, updated_at, replay, last_status, last_error) = (
		SELECT f.state, f.reason, f.next_at, f.round_attempts, f.round_started_at, f.updated_at, f.replay,
			CASE WHEN told THEN excluded.last_status ELSE d.last_status END,
			CASE WHEN told THEN excluded.last_error ELSE d.last_error END
		FROM (SELECT CASE
			WHEN d.state = 'delivered' THEN excluded.replay AND excluded.attempts > d.attempts
			WHEN excluded.state = 'delivered' THEN true
			WHEN d.state IN ('dead', 'cancelled', 'superseded') THEN excluded.replay AND (excluded.attempts, excluded.updated_at) > (d.attempts, d.updated_at)
			ELSE (excluded.attempts, excluded.replay, CASE excluded.state WHEN 'waiting' THEN 0 WHEN 'parked' THEN 1 ELSE 2 END, excluded.updated_at) >
				(d.attempts, d.replay, CASE d.state WHEN 'waiting' THEN 0 WHEN 'parked' THEN 1 ELSE 2 END, d.updated_at)
		END) n (newer),
		LATERAL (SELECT excluded.first_attempt_at IS NOT NULL AND (newer OR d.first_attempt_at IS NULL)) t (told),
		LATERAL (VALUES
			(true, excluded.state, excluded.reason, excluded.next_at, excluded.round_attempts, excluded.round_started_at,
				excluded.updated_at, excluded.replay),
			(false, d.state, d.reason, d.next_at, d.round_attempts, d.round_started_at, d.updated_at, d.replay)
		) f (newer, state, reason, next_at, round_attempts, round_started_at, updated_at, replay)
		WHERE f.newer = n.newer)`

// mergeAttempts writes each attempt once. Only an attempt with an unknown outcome can be overwritten by a known one.
const mergeAttempts = `
INSERT INTO attempts AS a
SELECT DISTINCT ON (delivery_id, number, published_at) * FROM staging_attempts
ORDER BY delivery_id, number, published_at, (outcome = 'unknown')
ON CONFLICT (delivery_id, number, published_at) DO UPDATE SET
	started_at = excluded.started_at, duration_us = excluded.duration_us, outcome = excluded.outcome,
	status = excluded.status, error_class = excluded.error_class, error = excluded.error, worker = excluded.worker,
	method = excluded.method, url = excluded.url, request_size = excluded.request_size,
	request_headers = excluded.request_headers, response_headers = excluded.response_headers,
	response_body = excluded.response_body, truncated = excluded.truncated, dns_us = excluded.dns_us,
	connect_us = excluded.connect_us, tls_us = excluded.tls_us, first_byte_us = excluded.first_byte_us,
	body_digest = excluded.body_digest
WHERE a.outcome = 'unknown' AND excluded.outcome <> 'unknown'
RETURNING delivery_id, number`

// mergeEvents writes, of events with one id within a day, only the first in the stream.
const mergeEvents = `
INSERT INTO events
SELECT DISTINCT ON (s.tenant, s.id) s.* FROM staging_events s
WHERE NOT EXISTS (
	SELECT FROM events e WHERE e.tenant = s.tenant AND e.id = s.id AND e.seq < s.seq
	AND e.published_at > s.published_at - interval '24 hours' AND e.published_at <= s.published_at)
ORDER BY s.tenant, s.id, s.seq
ON CONFLICT (tenant, id, published_at) DO NOTHING`

// noteCopies stores the positions of the events that were left out.
const noteCopies = `
INSERT INTO event_copies SELECT s.tenant, s.id, s.seq, s.published_at FROM staging_events s
WHERE NOT EXISTS (SELECT FROM events e WHERE e.tenant = s.tenant AND e.id = s.id AND e.published_at = s.published_at AND e.seq = s.seq)
ORDER BY 1, 2, 3, 4 ON CONFLICT DO NOTHING`

const mergeRejected = `
INSERT INTO rejected_events SELECT DISTINCT ON (published_at, seq) * FROM staging_rejected ON CONFLICT DO NOTHING`

// eraseRejected erases rejected events just written that repeat the id of an erased event.
const eraseRejected = `
UPDATE rejected_events r SET raw = '', headers = '', detail = ''
FROM staging_rejected s JOIN event_copies c ON c.published_at = s.published_at AND c.seq = s.seq
JOIN erased_events x ON x.tenant = c.tenant AND x.event_id = c.event_id AND c.published_at <= x.erased_at
WHERE r.published_at = s.published_at AND r.seq = s.seq`

// merge merges the staging tables of deliveries and attempts. It returns the facts whose attempts were not recorded before.
func merge(ctx context.Context, tx *sql.Tx, list []fact) ([]fact, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if _, err := tx.ExecContext(ctx, mergeDeliveries); err != nil {
		return nil, fmt.Errorf("merge deliveries: %w", err)
	}
	if !slices.ContainsFunc(list, fact.attempted) {
		return nil, nil
	}
	rows, err := tx.QueryContext(ctx, mergeAttempts)
	if err != nil {
		return nil, fmt.Errorf("merge attempts: %w", err)
	}
	defer rows.Close()
	type key struct {
		delivery uuid.UUID
		number   uint32
	}
	written := map[key]bool{}
	for rows.Next() {
		var k key
		if err := rows.Scan(&k.delivery, &k.number); err != nil {
			return nil, fmt.Errorf("merge attempts: %w", err)
		}
		written[k] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("merge attempts: %w", err)
	}
	var told []fact
	for _, f := range list {
		id, _ := uuid.FromBytes(f.GetDeliveryId())
		k := key{id, f.GetAttempt().GetNumber()}
		if f.attempted() && f.GetAttempt().GetOutcome() != string(webhook.Unknown) && written[k] {
			delete(written, k) // the same attempt may be in the batch twice
			told = append(told, f)
		}
	}
	return told, nil
}

// tellParked notifies the drainers, when the transaction commits, of hooks that get parked deliveries.
func tellParked(ctx context.Context, tx *sql.Tx, list []fact) error {
	var hooks []string
	for _, f := range list {
		if f.GetState() == string(webhook.Parked) {
			id, _ := uuid.FromBytes(f.GetHookId())
			hooks = append(hooks, id.String())
		}
	}
	if len(hooks) == 0 {
		return nil
	}
	slices.Sort(hooks)
	for some := range slices.Chunk(slices.Compact(hooks), maxTold) {
		if _, err := tx.ExecContext(ctx, `SELECT pg_notify('whisperer_parked', $1)`, strings.Join(some, " ")); err != nil {
			return fmt.Errorf("tell drainers: %w", err)
		}
	}
	return nil
}

// maxTold is the number of ids that fit into a notification, which is limited to 8000 bytes.
const maxTold = 200
