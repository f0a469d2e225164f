package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Recorder writes the ledger: COPY into a staging table, then one merge that may be repeated without harm. It has a
// connection of its own and is for one goroutine.
type Recorder struct {
	db   *DB
	conn *sql.Conn
	days map[string]bool // partitions known to be there
}

// NewRecorder makes a recorder; it connects when there is something to write.
func (d *DB) NewRecorder() *Recorder { return &Recorder{db: d, days: map[string]bool{}} }

// Close gives the connection back.
func (r *Recorder) Close() {
	if r.conn != nil {
		_ = r.conn.Close()
		r.conn = nil
	}
}

// staging makes the tables that batches are copied into; they live as long as the connection. Merges look rows up by
// key, and are planned anew each time: a plan that was made while a partition was empty would read all of it as it grows.
func staging() []string {
	return []string{
		`SET enable_hashjoin = off`,
		`SET enable_mergejoin = off`,
		`CREATE TEMP TABLE IF NOT EXISTS staging_deliveries (LIKE deliveries) ON COMMIT DELETE ROWS`,
		`CREATE TEMP TABLE IF NOT EXISTS staging_attempts (LIKE attempts) ON COMMIT DELETE ROWS`,
		`CREATE TEMP TABLE IF NOT EXISTS staging_events (LIKE events) ON COMMIT DELETE ROWS`,
		`CREATE TEMP TABLE IF NOT EXISTS staging_rejected (LIKE rejected_events) ON COMMIT DELETE ROWS`,
	}
}

// Of what is said of a delivery, the newest counts, by its attempts, then by its time. What is final stays, unless a
// replay or a late success says more. A fact without an attempt, such as that of parking, leaves what is known of the
// last attempt; and all facts, however late, count attempts and tell of the first one.
const mergeDeliveries = `
INSERT INTO deliveries AS d (published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state, reason,
	attempts, next_at, first_attempt_at, round_attempts, round_started_at, updated_at, last_status, last_error, replay)
SELECT DISTINCT ON (id, published_at) published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state,
	reason, max(attempts) OVER delivery, next_at, min(first_attempt_at) OVER delivery, round_attempts,
	round_started_at, updated_at, first_value(last_status) OVER answered, first_value(last_error) OVER answered, replay
FROM staging_deliveries
WINDOW delivery AS (PARTITION BY id, published_at), answered AS (PARTITION BY id, published_at
	ORDER BY first_attempt_at IS NULL, replay DESC, (state = 'delivered') DESC, attempts DESC, updated_at DESC)
ORDER BY id, published_at, replay DESC, (state = 'delivered') DESC, staging_deliveries.attempts DESC, updated_at DESC
ON CONFLICT (id, published_at) DO UPDATE SET
	attempts = greatest(d.attempts, excluded.attempts), first_attempt_at = LEAST(d.first_attempt_at, excluded.first_attempt_at),
	(state, reason, next_at, round_attempts, round_started_at, updated_at, replay, last_status, last_error) = (
		SELECT f.state, f.reason, f.next_at, f.round_attempts, f.round_started_at, f.updated_at, f.replay,
			CASE WHEN told THEN excluded.last_status ELSE d.last_status END,
			CASE WHEN told THEN excluded.last_error ELSE d.last_error END
		FROM (SELECT CASE
			WHEN d.state = 'delivered' THEN excluded.replay AND excluded.attempts > d.attempts
			WHEN excluded.state = 'delivered' THEN true
			WHEN d.state IN ('dead', 'cancelled') THEN excluded.replay AND (excluded.attempts, excluded.updated_at) > (d.attempts, d.updated_at)
			ELSE (excluded.attempts, excluded.updated_at) > (d.attempts, d.updated_at)
		END) n (newer),
		LATERAL (SELECT excluded.first_attempt_at IS NOT NULL AND (newer OR d.first_attempt_at IS NULL)) t (told),
		LATERAL (VALUES
			(true, excluded.state, excluded.reason, excluded.next_at, excluded.round_attempts, excluded.round_started_at,
				excluded.updated_at, excluded.replay),
			(false, d.state, d.reason, d.next_at, d.round_attempts, d.round_started_at, d.updated_at, d.replay)
		) f (newer, state, reason, next_at, round_attempts, round_started_at, updated_at, replay)
		WHERE f.newer = n.newer)`

// A hook that gets parked deliveries is one that a drainer has to look after; the new time tells a drainer which is just
// about to forget the hook that there is more.
const touchBacklogs = `
WITH touched AS (
	INSERT INTO backlogs (hook_id) SELECT DISTINCT hook_id FROM staging_deliveries WHERE state = 'parked' ORDER BY 1
	ON CONFLICT (hook_id) DO UPDATE SET touched_at = clock_timestamp() RETURNING hook_id)
SELECT pg_notify('whisperer_backlogs', hook_id::text) FROM touched`

// An attempt is written once; only what was unknown can become known.
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
	connect_us = excluded.connect_us, tls_us = excluded.tls_us, first_byte_us = excluded.first_byte_us
WHERE a.outcome = 'unknown' AND excluded.outcome <> 'unknown'`

// Of events with one id within a day, the first in the stream counts.
const mergeEvents = `
INSERT INTO events
SELECT DISTINCT ON (s.tenant, s.id) s.* FROM staging_events s
WHERE NOT EXISTS (
	SELECT FROM events e WHERE e.tenant = s.tenant AND e.id = s.id AND e.seq < s.seq
	AND e.published_at > s.published_at - interval '24 hours' AND e.published_at <= s.published_at)
ORDER BY s.tenant, s.id, s.seq
ON CONFLICT (tenant, id, published_at) DO NOTHING`

const mergeRejected = `
INSERT INTO rejected_events SELECT DISTINCT ON (published_at, seq) * FROM staging_rejected ON CONFLICT DO NOTHING`

// write copies into a staging table, merges, and commits; the connection is thrown away after an error.
func (r *Recorder) write(ctx context.Context, days []time.Time, do func(tx *sql.Tx) error) (err error) {
	defer func() {
		if err != nil {
			r.Close()
			clear(r.days) // one may have been dropped
		}
	}()
	if r.conn == nil {
		conn, err := r.db.db.Conn(ctx)
		if err != nil {
			return translate(fmt.Errorf("connect recorder: %w", err))
		}
		r.conn = conn
		for _, table := range staging() {
			if _, err := conn.ExecContext(ctx, table); err != nil {
				return translate(fmt.Errorf("make staging tables: %w", err))
			}
		}
	}
	if err := r.ensureDays(ctx, days); err != nil {
		return err
	}
	tx, err := r.conn.BeginTx(ctx, nil)
	if err != nil {
		return translate(fmt.Errorf("begin transaction: %w", err))
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return translate(err)
	}
	if err := tx.Commit(); err != nil {
		return translate(fmt.Errorf("commit ledger: %w", err))
	}
	return nil
}

// ensureDays makes the partitions of the days, each once per recorder.
func (r *Recorder) ensureDays(ctx context.Context, days []time.Time) error {
	for _, at := range days {
		day := at.UTC().Format(time.DateOnly)
		if r.days[day] {
			continue
		}
		if _, err := r.conn.ExecContext(ctx, `SELECT whisperer_ensure_day($1::date)`, day); err != nil {
			return translate(fmt.Errorf("make partitions of %s: %w", day, err))
		}
		r.days[day] = true
	}
	return nil
}

// content counts what batches have, and the days that it belongs to.
type content struct {
	days                              []time.Time
	facts, attempts, rejected, parked int
}

func contentOf(batches []*whispererv1.LedgerBatch) content {
	var c content
	for _, b := range batches {
		for _, f := range b.GetFacts() {
			c.days = appendDay(c.days, fromNanos(f.GetPublishedAt()))
			c.facts++
			if f.GetState() == string(webhook.Parked) {
				c.parked++
			}
			if f.GetAttempt() != nil {
				c.attempts++
			}
		}
		for _, e := range b.GetRejected() {
			c.days = appendDay(c.days, fromNanos(e.GetPublishedAt()))
			c.rejected++
		}
	}
	return c
}

// WriteFacts writes what workers told the ledger. Writing the same facts again changes nothing.
func (r *Recorder) WriteFacts(ctx context.Context, batches []*whispererv1.LedgerBatch) error {
	c := contentOf(batches)
	return r.write(ctx, c.days, func(tx *sql.Tx) error {
		if c.facts > 0 {
			if err := copyInto(ctx, tx, "staging_deliveries", deliveryColumns(), mergeDeliveries, deliveryRows(batches)); err != nil {
				return err
			}
		}
		if c.parked > 0 {
			if _, err := tx.ExecContext(ctx, touchBacklogs); err != nil {
				return fmt.Errorf("touch backlogs: %w", err)
			}
		}
		if c.attempts > 0 {
			if err := copyInto(ctx, tx, "staging_attempts", attemptColumns(), mergeAttempts, attemptRows(batches)); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, mergeHealth); err != nil {
				return fmt.Errorf("merge health: %w", err)
			}
		}
		if c.rejected > 0 {
			return copyInto(ctx, tx, "staging_rejected", rejectedColumns(), mergeRejected, rejectedRows(batches))
		}
		return nil
	})
}

// WriteEvents writes events; one whose id is there already, from earlier in the stream and within 24 h, is left out.
func (r *Recorder) WriteEvents(ctx context.Context, events []webhook.Event) error {
	var days []time.Time
	for i := range events {
		days = appendDay(days, events[i].PublishedAt)
	}
	return r.write(ctx, days, func(tx *sql.Tx) error {
		return copyInto(ctx, tx, "staging_events", eventColumns(), mergeEvents, func(yield func([]any) bool) {
			for i := range events {
				if !yield(eventRow(&events[i])) {
					return
				}
			}
		})
	})
}

func appendDay(days []time.Time, at time.Time) []time.Time {
	for _, d := range days {
		if d.YearDay() == at.YearDay() && d.Year() == at.Year() {
			return days
		}
	}
	return append(days, at)
}

// copyInto copies rows into the staging table and merges them into the ledger.
func copyInto(ctx context.Context, tx *sql.Tx, table string, columns []string, merge string, rows func(func([]any) bool)) error {
	stmt, err := tx.PrepareContext(ctx, `COPY `+table+` (`+strings.Join(columns, `, `)+`) FROM STDIN`) //nolint:sqlclosecheck // it is closed
	if err != nil {
		return fmt.Errorf("copy into %s: %w", table, err)
	}
	defer stmt.Close()
	for row := range rows {
		if _, err := stmt.ExecContext(ctx, row...); err != nil {
			return fmt.Errorf("copy into %s: %w", table, err)
		}
	}
	if _, err := stmt.ExecContext(ctx); err != nil {
		return fmt.Errorf("copy into %s: %w", table, err)
	}
	if _, err := tx.ExecContext(ctx, merge); err != nil {
		return fmt.Errorf("merge %s: %w", table, err)
	}
	return nil
}

func deliveryColumns() []string {
	return []string{
		"published_at", "id", "tenant", "hook_id", "event_id", "event_seq", "event_type", "entity", "state", "reason",
		"attempts", "next_at", "first_attempt_at", "round_attempts", "round_started_at", "updated_at", "last_status",
		"last_error", "replay",
	}
}

func attemptColumns() []string {
	return []string{
		"published_at", "delivery_id", "number", "tenant", "hook_id", "started_at", "duration_us", "outcome", "status",
		"error_class", "error", "worker", "replay", "method", "url", "request_size", "request_headers",
		"response_headers", "response_body", "truncated", "dns_us", "connect_us", "tls_us", "first_byte_us",
	}
}

func eventColumns() []string {
	return []string{
		"published_at", "tenant", "id", "seq", "type", "time", "entity", "context", "config_filter", "data", "digest",
		"traceparent",
	}
}

func rejectedColumns() []string {
	return []string{"published_at", "seq", "subject", "tenant", "reason", "detail", "raw", "size", "headers"}
}

func deliveryRows(batches []*whispererv1.LedgerBatch) func(func([]any) bool) {
	return func(yield func([]any) bool) {
		for _, b := range batches {
			for _, f := range b.GetFacts() {
				a := f.GetAttempt()
				row := []any{
					fromNanos(f.GetPublishedAt()), uuidText(f.GetDeliveryId()), f.GetTenant(), uuidText(f.GetHookId()),
					f.GetEventId(), int64(f.GetEventSeq()), f.GetEventType(), f.GetEntity(), f.GetState(), f.GetReason(), //nolint:gosec // a stream's sequence fits
					int64(f.GetAttempts()), optionalTime(f.GetNextAt()), optionalTime(a.GetStartedAt()),
					int64(f.GetRoundAttempts()), optionalTime(f.GetRoundStartedAt()), fromNanos(f.GetAt()),
					int64(a.GetStatus()), a.GetErrorClass(), f.GetReplay(),
				}
				if !yield(row) {
					return
				}
			}
		}
	}
}

func attemptRows(batches []*whispererv1.LedgerBatch) func(func([]any) bool) {
	return func(yield func([]any) bool) {
		for _, b := range batches {
			for _, f := range b.GetFacts() {
				a := f.GetAttempt()
				if a == nil {
					continue
				}
				row := []any{
					fromNanos(f.GetPublishedAt()), uuidText(f.GetDeliveryId()), int64(a.GetNumber()), f.GetTenant(),
					uuidText(f.GetHookId()), fromNanos(a.GetStartedAt()), micros(a.GetDuration()), a.GetOutcome(),
					int64(a.GetStatus()), a.GetErrorClass(), safeText(a.GetError()), b.GetWorker(), f.GetReplay(),
					a.GetMethod(), safeText(a.GetUrl()), int64(a.GetRequestSize()), headerText(a.GetRequestHeaders()),
					headerText(a.GetResponseHeaders()), a.GetResponseBody(), a.GetTruncated(), micros(a.GetDns()),
					micros(a.GetConnect()), micros(a.GetTls()), micros(a.GetFirstByte()),
				}
				if !yield(row) {
					return
				}
			}
		}
	}
}

func rejectedRows(batches []*whispererv1.LedgerBatch) func(func([]any) bool) {
	return func(yield func([]any) bool) {
		for _, b := range batches {
			for _, e := range b.GetRejected() {
				row := []any{
					fromNanos(e.GetPublishedAt()), int64(e.GetSeq()), safeText(e.GetSubject()), safeText(e.GetTenant()), //nolint:gosec // a stream's sequence fits
					e.GetReason(), safeText(e.GetDetail()), e.GetRaw(), int64(e.GetSize()), headerText(e.GetHeaders()),
				}
				if !yield(row) {
					return
				}
			}
		}
	}
}

func eventRow(e *webhook.Event) []any {
	digest := e.Digest()
	return []any{
		e.PublishedAt, e.Tenant, e.ID, int64(e.Seq), e.Type, e.Time, e.Entity, optionalText(e.Context), //nolint:gosec // a stream's sequence fits
		optionalText(e.ConfigFilter), string(e.Data), digest[:], e.Traceparent,
	}
}

func optionalText(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

func optionalTime(nanos int64) any {
	if nanos == 0 {
		return nil
	}
	return fromNanos(nanos)
}

func fromNanos(n int64) time.Time { return time.Unix(0, n).UTC() }

func micros(nanos int64) int64 { return nanos / 1000 }

func uuidText(b []byte) string {
	id, _ := uuid.FromBytes(b) // written by ourselves; a wrong length is the zero id
	return id.String()
}

// safeText makes a stranger's text fit for a text column: UTF-8 without NUL.
func safeText(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

func headerText(headers []*whispererv1.Header) string {
	var b strings.Builder
	for i, h := range headers {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(h.GetName())
		b.WriteString(": ")
		b.WriteString(h.GetValue())
	}
	return safeText(b.String())
}
