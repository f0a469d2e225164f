package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ErasedEvent is an event that is erased or being erased, with all its publications up to At.
type ErasedEvent struct {
	EventKey

	At time.Time
}

// ErasedSet is kept in line, by a Watch, with the events that were erased recently or are being erased.
type ErasedSet interface {
	// ReplaceErased replaces the whole set.
	ReplaceErased(events []ErasedEvent)
}

// erasedMemory is how long workers remember that an event was erased everywhere. A worker's copy of the event is settled
// sooner, and copies read from PostgreSQL later are marked as erased.
const erasedMemory = 15 * time.Minute

// loadErased loads the erased events of which workers may still hold copies.
func (w *Watch) loadErased(ctx context.Context) error {
	if w.Erased == nil {
		return nil
	}
	var list []ErasedEvent
	rows, err := w.polls.QueryContext(ctx, `
		SELECT tenant, event_id, erased_at FROM erased_events
		WHERE done_at IS NULL OR done_at > clock_timestamp() - $1 * interval '1 second'`, int(erasedMemory.Seconds()))
	if err != nil {
		return translate(fmt.Errorf("load erased events: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		var e ErasedEvent
		if err := rows.Scan(&e.Tenant, &e.ID, &e.At); err != nil {
			return translate(fmt.Errorf("load erased events: %w", err))
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return translate(fmt.Errorf("load erased events: %w", err))
	}
	w.Erased.ReplaceErased(list)
	return nil
}

// ErasedRows counts the rows whose payload was erased.
type ErasedRows struct {
	Events     int64 `json:"events,omitempty"`
	Deliveries int64 `json:"deliveries,omitempty"`
	Attempts   int64 `json:"attempts,omitempty"`
	// Ended counts the waiting and parked deliveries that are now dead.
	Ended int64 `json:"deliveries_ended,omitempty"`
	// Rejected counts rejected publications with the id of another event.
	Rejected int64 `json:"rejected_events,omitempty"`
}

// eraseKeys selects the given events' rows of erased_events.
const eraseKeys = `
WITH x AS MATERIALIZED (
	SELECT x.* FROM erased_events x JOIN unnest($1::text[], $2::text[]) AS k (tenant, id) ON x.tenant = k.tenant AND x.event_id = k.id)`

// These statements erase. Jobs, the housekeeper and the recorder use them and no others. Each covers all publications under the
// ids up to the erasure, counts the rows that have no payload afterwards, and may be repeated.
const (
	eraseEvents = eraseKeys + `,
	gone AS (
		UPDATE events e SET data = 'null', context = NULL, config_filter = NULL, cloud_event = NULL, schema_problems = NULL,
			erased_at = x.erased_at, erased_by = x.erased_by
		FROM x WHERE e.tenant = x.tenant AND e.id = x.event_id AND e.published_at <= x.erased_at AND e.erased_at IS NULL)
	SELECT count(*) FROM events e JOIN x ON e.tenant = x.tenant AND e.id = x.event_id AND e.published_at <= x.erased_at`

	// This locks in the order of the keys, as recorders do, to avoid deadlocks.
	endErased = eraseKeys + `,
	waiting AS MATERIALIZED (
		SELECT d.id, d.published_at FROM deliveries d JOIN x ON d.event_id = x.event_id AND d.tenant = x.tenant AND d.published_at <= x.erased_at
		WHERE d.state IN ('waiting', 'parked') ORDER BY d.id, d.published_at FOR UPDATE OF d)
	UPDATE deliveries d SET state = 'dead', reason = '` + string(webhook.ReasonErased) + `', next_at = NULL, updated_at = clock_timestamp()
	FROM waiting w WHERE d.id = w.id AND d.published_at = w.published_at`

	eraseAttempts = eraseKeys + `,
	of AS MATERIALIZED (
		SELECT d.id, d.published_at FROM deliveries d JOIN x ON d.event_id = x.event_id AND d.tenant = x.tenant AND d.published_at <= x.erased_at),
	gone AS (
		UPDATE attempts a SET request_headers = '', response_headers = '', response_body = NULL, error = ''
		FROM of WHERE a.published_at = of.published_at AND a.delivery_id = of.id
		AND (request_headers <> '' OR response_headers <> '' OR response_body IS NOT NULL OR error <> ''))
	SELECT (SELECT count(*) FROM of), (SELECT count(*) FROM attempts a JOIN of ON a.published_at = of.published_at AND a.delivery_id = of.id)`

	// The newest failure of a hook's expression may quote its event, whenever the worker reports it.
	eraseFailures = eraseKeys + `,
	filters AS (
		UPDATE filter_failures f SET last_error = '' FROM x, hooks h
		WHERE f.last_event = x.event_id AND f.hook_id = h.id AND h.tenant = x.tenant AND f.last_error <> '')
	UPDATE transform_failures f SET last_error = '' FROM x, hooks h
	WHERE f.last_event = x.event_id AND f.hook_id = h.id AND h.tenant = x.tenant AND f.last_error <> ''`

	// These are the copies of the events that were rejected because they had another body.
	eraseConflicts = eraseKeys + `
	UPDATE rejected_events r SET raw = '', headers = '', detail = '' FROM event_copies c, x
	WHERE c.tenant = x.tenant AND c.event_id = x.event_id AND c.published_at <= x.erased_at
	AND r.published_at = c.published_at AND r.seq = c.seq AND (r.raw <> '' OR r.headers <> '' OR r.detail <> '')`
)

// executor is a transaction of database/sql or of sqlx.
type executor interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// eraseRows overwrites everything that PostgreSQL has of those of the events that are in erased_events.
func eraseRows(ctx context.Context, tx executor, events []EventKey) (n ErasedRows, err error) {
	tenants, ids := keyArrays(events)
	if err := tx.QueryRowContext(ctx, eraseEvents, tenants, ids).Scan(&n.Events); err != nil {
		return n, fmt.Errorf("erase events: %w", err)
	}
	ended, err := tx.ExecContext(ctx, endErased, tenants, ids)
	if err == nil {
		n.Ended, err = ended.RowsAffected()
	}
	if err != nil {
		return n, fmt.Errorf("end deliveries of erased events: %w", err)
	}
	if err := tx.QueryRowContext(ctx, eraseAttempts, tenants, ids).Scan(&n.Deliveries, &n.Attempts); err != nil {
		return n, fmt.Errorf("erase attempts: %w", err)
	}
	if _, err := tx.ExecContext(ctx, eraseFailures, tenants, ids); err != nil {
		return n, fmt.Errorf("erase failures of expressions: %w", err)
	}
	conflicts, err := tx.ExecContext(ctx, eraseConflicts, tenants, ids)
	if err == nil {
		n.Rejected, err = conflicts.RowsAffected()
	}
	if err != nil {
		return n, fmt.Errorf("erase rejected copies of events: %w", err)
	}
	return n, nil
}

func keyArrays(events []EventKey) (tenants, ids any) {
	t, i := make([]string, len(events)), make([]string, len(events))
	for n, e := range events {
		t[n], i[n] = e.Tenant, e.ID
	}
	return pq.Array(t), pq.Array(i)
}

// eraseAgain erases, in the transaction that wrote them, rows of events that are already erased: the facts or events arrived
// late, or again. The transaction must have written before, so that an erasure that it does not see yet waits for it to end.
func eraseAgain(ctx context.Context, tx executor, events []EventKey) error {
	var some bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM erased_events)`).Scan(&some); err != nil || !some {
		return err
	}
	tenants, ids := keyArrays(events)
	rows, err := tx.QueryContext(ctx, eraseKeys+` SELECT tenant, event_id FROM x`, tenants, ids)
	if err != nil {
		return fmt.Errorf("look for erased events: %w", err)
	}
	defer rows.Close()
	var erased []EventKey
	for rows.Next() {
		var k EventKey
		if err := rows.Scan(&k.Tenant, &k.ID); err != nil {
			return fmt.Errorf("look for erased events: %w", err)
		}
		erased = append(erased, k)
	}
	if err := rows.Err(); err != nil || len(erased) == 0 {
		return err
	}
	_, err = eraseRows(ctx, tx, erased)
	return err
}

// EraseRows overwrites everything that PostgreSQL has of the events in erased_events.
func (d *ErasureStore) EraseRows(ctx context.Context, events []EventKey) (n ErasedRows, err error) {
	err = d.transact(ctx, func(tx *sqlx.Tx) error {
		n, err = eraseRows(ctx, tx, events)
		return err
	})
	return n, err
}

// Traces lists where copies of events may be outside of PostgreSQL: positions in the streams, and retries of deliveries.
type Traces struct {
	Events  []Stored
	Retries []ErasedDelivery
}

// Stored is the position of an event in the streams, and the time when it was stored there.
type Stored struct {
	Seq webhook.Sequence
	At  time.Time
}

// ErasedDelivery is a delivery of an erased event.
type ErasedDelivery struct {
	ID, Hook    uuid.UUID
	Tenant      string
	PublishedAt time.Time
	Attempts    int
}

// TracesOf returns the traces of events that are in erased_events.
func (d *ErasureStore) TracesOf(ctx context.Context, events []EventKey) (Traces, error) {
	var t Traces
	tenants, ids := keyArrays(events)
	rows, err := d.db.QueryContext(ctx, eraseKeys+`
		SELECT e.seq, e.published_at FROM events e JOIN x ON e.tenant = x.tenant AND e.id = x.event_id AND e.published_at <= x.erased_at
		UNION ALL
		SELECT c.seq, c.published_at FROM event_copies c JOIN x ON c.tenant = x.tenant AND c.event_id = x.event_id AND c.published_at <= x.erased_at
		ORDER BY 1`, tenants, ids)
	if err != nil {
		return t, translate(fmt.Errorf("list erased events: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var p Stored
		if err := rows.Scan(&seq, &p.At); err != nil {
			return t, translate(fmt.Errorf("list erased events: %w", err))
		}
		p.Seq, p.At = webhook.Sequence(seq), p.At.UTC() //nolint:gosec // never negative
		t.Events = append(t.Events, p)
	}
	if err := rows.Err(); err != nil {
		return t, translate(fmt.Errorf("list erased events: %w", err))
	}
	found, err := d.db.QueryContext(ctx, eraseKeys+`
		SELECT d.id, d.hook_id, d.tenant, d.published_at, d.attempts FROM deliveries d
		JOIN x ON d.event_id = x.event_id AND d.tenant = x.tenant AND d.published_at <= x.erased_at`, tenants, ids)
	if err != nil {
		return t, translate(fmt.Errorf("list deliveries of erased events: %w", err))
	}
	defer found.Close()
	for found.Next() {
		var e ErasedDelivery
		if err := found.Scan(&e.ID, &e.Hook, &e.Tenant, &e.PublishedAt, &e.Attempts); err != nil {
			return t, translate(fmt.Errorf("list deliveries of erased events: %w", err))
		}
		e.PublishedAt = e.PublishedAt.UTC()
		t.Retries = append(t.Retries, e)
	}
	return t, translate(found.Err())
}
