package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// MaxErased is the number of events that are erased at once.
	MaxErased = 500
	// maxErasedDeliveries is the number of deliveries of these events beyond which no further events are added: an event may
	// have one for each hook.
	maxErasedDeliveries = 20_000
	// maxCallbackIDs is the number of callback ids that one statement looks up.
	maxCallbackIDs = 10_000
	// maxLooked is the number of events that one statement checks for an erasure by path.
	maxLooked = 3000
)

// Claim returns the erasure that is due first, and reserves it for the caller for forTime. It returns false if none is due. An
// erasure that has ended is also due while events that it marked are not erased yet.
func (d *ErasureStore) Claim(ctx context.Context, forTime time.Duration) (Erasure, bool, error) {
	var row erasureRow
	err := d.db.GetContext(ctx, &row, `
		UPDATE erasures SET next_at = clock_timestamp() + $1 * interval '1 microsecond' WHERE id = (
			SELECT id FROM erasures e WHERE next_at <= clock_timestamp()
			AND (state = 'running' OR id IN (SELECT erasure FROM erased_events WHERE done_at IS NULL AND erasure IS NOT NULL))
			ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING `+erasureColumns, forTime.Microseconds())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Erasure{}, false, nil
	case err != nil:
		return Erasure{}, false, translate(fmt.Errorf("claim erasure: %w", err))
	}
	return row.erasure(), true, nil
}

// Keep extends a claim.
func (d *ErasureStore) Keep(ctx context.Context, e *Erasure, forTime time.Duration) error {
	_, err := d.db.ExecContext(ctx, `UPDATE erasures SET next_at = clock_timestamp() + $2 * interval '1 microsecond' WHERE id = $1`, e.ID, forTime.Microseconds())
	if err != nil {
		return translate(fmt.Errorf("keep erasure: %w", err))
	}
	return nil
}

// ErrBusy reports that another erasure, or a retention policy, has marked some of the events.
var ErrBusy = errors.New("events are being erased already")

// narrowed calls do, which evaluates payloads, with a limit on their number. It reduces the limit if do takes too long.
func narrowed(limit int, do func(limit int) error) error {
	for {
		err := do(limit)
		if !errors.Is(err, ErrSlow) || limit == 1 {
			return err
		}
		limit = max(1, limit/20)
	}
}

// Wait returns an erasure for a time, and stores why it waits. An erasure that has ended keeps its previous detail.
func (d *ErasureStore) Wait(ctx context.Context, e *Erasure, forTime time.Duration, detail string) error {
	_, err := d.db.ExecContext(ctx, `
		UPDATE erasures SET next_at = clock_timestamp() + $2 * interval '1 microsecond', modified_at = now(),
			detail = CASE state WHEN 'running' THEN $3 ELSE detail END WHERE id = $1`,
		e.ID, forTime.Microseconds(), detail)
	if err != nil {
		return translate(fmt.Errorf("give erasure back: %w", err))
	}
	return nil
}

// Look checks the next events for an erasure, and marks those that match. Once a program knows the marks, it neither records
// nor sends the events. The errors are ErrPath, ErrBusy, and ErrSlow if even one event takes too long.
func (d *ErasureStore) Look(ctx context.Context, e *Erasure) error {
	return narrowed(looksAt(e.Kind), func(limit int) error { return d.look(ctx, e, limit) })
}

func (d *ErasureStore) look(ctx context.Context, e *Erasure, limit int) error {
	c := &clauses{}
	of := e.NewErasure
	of.Range.From = e.cursorAt
	f := of.conditions(c)
	seq := c.arg(e.cursorSeq)
	rest := &clauses{args: c.args}
	rest.add("tenant = %s", e.Tenant)
	rest.published("published_at", of.Range)
	from := rest.arg(e.cursorAt)
	rest.fixed("(published_at, seq) > (" + from + ", " + seq + ")")
	if e.Kind != ErasePath { // indexes serve these conditions
		rest.conditions = append(rest.conditions, c.conditions...)
	}
	return d.bounded(ctx, countTime, f, func(tx *sqlx.Tx) error {
		var rows []struct {
			ID  string    `db:"id"`
			At  time.Time `db:"published_at"`
			Seq int64     `db:"seq"`
			Hit bool      `db:"hit"`
		}
		// The query also returns the last row that it looked at, matching or not, because the next look starts after it.
		err := tx.SelectContext(ctx, &rows, `
			WITH looked AS MATERIALIZED (
				SELECT * FROM events WHERE `+rest.where()+` ORDER BY published_at, seq LIMIT `+rest.arg(limit)+`),
			hits AS (SELECT id, published_at, seq FROM looked WHERE `+c.where()+`)
			SELECT id, published_at, seq, true AS hit FROM hits
			UNION ALL (SELECT id, published_at, seq, false FROM looked ORDER BY published_at DESC, seq DESC LIMIT 1)`, rest.args...)
		if err != nil {
			return fmt.Errorf("look for events to erase: %w", err)
		}
		var keys []EventKey
		for _, r := range rows {
			if r.Hit {
				keys = append(keys, EventKey{e.Tenant, r.ID})
			} else {
				e.cursorAt, e.cursorSeq = r.At, r.Seq
			}
		}
		if e.Listed = len(rows) == 0; e.Listed { // continue with the rejected events, from the start of the range
			e.cursorAt, e.cursorSeq = e.Range.From, 0
		}
		if err := markErased(ctx, tx, &e.ID, e.Owner, keys); err != nil {
			return err
		}
		return e.saveCursor(ctx, tx)
	})
}

func (e *Erasure) saveCursor(ctx context.Context, tx *sqlx.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE erasures SET cursor_at = $2, cursor_seq = $3, listed = $4, modified_at = now() WHERE id = $1`,
		e.ID, e.cursorAt, e.cursorSeq, e.Listed)
	return err
}

// looksAt returns how many events one look checks. If an index serves the conditions, every event is a match.
func looksAt(kind ErasureKind) int {
	if kind == ErasePath {
		return maxLooked
	}
	return MaxErased
}

// Mark marks events to be erased, for an erasure or, if it is nil, for a retention policy. The error is ErrBusy if another
// erasure has marked some of them, and these are not erased yet.
func (d *ErasureStore) Mark(ctx context.Context, erasure *uuid.UUID, by Actor, events []EventKey) error {
	return d.transact(ctx, func(tx *sqlx.Tx) error { return markErased(ctx, tx, erasure, by, events) })
}

// markErased marks events within a transaction, and notifies the workers.
func markErased(ctx context.Context, tx *sqlx.Tx, erasure *uuid.UUID, by Actor, events []EventKey) error {
	if len(events) == 0 {
		return nil
	}
	tenants, ids := keyArrays(events)
	_, err := tx.ExecContext(ctx, `
		INSERT INTO erased_events AS x (tenant, event_id, erased_by, erasure)
		SELECT DISTINCT k.tenant, k.id, $3, $4::uuid FROM unnest($1::text[], $2::text[]) AS k (tenant, id) ORDER BY 1, 2
		ON CONFLICT (tenant, event_id) DO UPDATE SET erased_at = excluded.erased_at, erased_by = excluded.erased_by,
			erasure = excluded.erasure, xid = excluded.xid, done_at = NULL WHERE x.done_at IS NOT NULL`, tenants, ids, string(by), erasure)
	if err != nil {
		return fmt.Errorf("write down erased events: %w", err)
	}
	var busy bool
	err = tx.GetContext(ctx, &busy, eraseKeys+` SELECT EXISTS (SELECT FROM x WHERE done_at IS NULL AND erasure IS DISTINCT FROM $3::uuid)`, tenants, ids, erasure)
	switch {
	case err != nil:
		return fmt.Errorf("look who erases events: %w", err)
	case busy:
		return ErrBusy
	}
	_, err = tx.ExecContext(ctx, `SELECT whisperer_changed('erasure', ''), pg_notify('whisperer_hooks', '')`)
	if err != nil {
		return fmt.Errorf("tell of erased events: %w", err)
	}
	return nil
}

// Pending returns marked events that are not erased yet, of an erasure or, if it is nil, of retention policies. It returns at
// most as many as are erased at once.
func (d *ErasureStore) Pending(ctx context.Context, erasure *uuid.UUID) (list []EventKey, err error) {
	rows, err := d.db.QueryContext(ctx, `
		SELECT tenant, event_id FROM (
			SELECT x.tenant, x.event_id, sum(d.n) OVER (ORDER BY x.tenant, x.event_id) - d.n AS before FROM (
				SELECT tenant, event_id FROM erased_events WHERE erasure IS NOT DISTINCT FROM $1::uuid AND done_at IS NULL
				ORDER BY tenant, event_id LIMIT $2) x
			CROSS JOIN LATERAL (SELECT count(*) AS n FROM deliveries d WHERE d.event_id = x.event_id AND d.tenant = x.tenant) d) p
		WHERE before < $3 ORDER BY tenant, event_id`, erasure, MaxErased, maxErasedDeliveries)
	if err != nil {
		return nil, translate(fmt.Errorf("list events to erase: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		var k EventKey
		if err := rows.Scan(&k.Tenant, &k.ID); err != nil {
			return nil, translate(fmt.Errorf("list events to erase: %w", err))
		}
		list = append(list, k)
	}
	return list, translate(rows.Err())
}

// Barrier returns the first transaction id that will only be given to transactions which see everything committed now.
func (d *ErasureStore) Barrier(ctx context.Context) (barrier string, err error) {
	if err = d.db.GetContext(ctx, &barrier, `SELECT pg_snapshot_xmax(pg_current_snapshot())`); err != nil {
		return "", translate(fmt.Errorf("ask for the next transaction: %w", err))
	}
	return barrier, nil
}

// Known reports whether every worker knows that the events are erased, and all transactions before the barrier have ended,
// which may have written without seeing that.
func (d *ErasureStore) Known(ctx context.Context, events []EventKey, barrier string) (known bool, err error) {
	tenants, ids := keyArrays(events)
	err = d.db.GetContext(ctx, &known, eraseKeys+`
		SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $3::xid8 AND NOT EXISTS (SELECT FROM x, workers w
			WHERE w.expires_at > clock_timestamp() AND NOT pg_visible_in_snapshot(x.xid, w.snapshot))`, tenants, ids, barrier)
	if err != nil {
		return false, translate(fmt.Errorf("ask who knows of erased events: %w", err))
	}
	return known, nil
}

// Callbacks returns the unerased callback events about the deliveries. They contain the receivers' responses.
func (d *ErasureStore) Callbacks(ctx context.Context, deliveries []ErasedDelivery) (list []EventKey, err error) {
	carriers := map[uuid.UUID]uuid.UUID{}
	for _, e := range deliveries {
		carriers[webhook.CallbackHookID(e.Hook)] = e.Hook
	}
	hooks, carried := make([]uuid.UUID, 0, len(carriers)), make([]uuid.UUID, 0, len(carriers))
	for carrier, hook := range carriers {
		hooks, carried = append(hooks, hook), append(carried, carrier)
	}
	var telling []uuid.UUID
	err = d.db.SelectContext(ctx, &telling, `
		SELECT k.hook FROM unnest($1::uuid[], $2::uuid[]) AS k (hook, carrier)
		WHERE EXISTS (SELECT FROM deliveries WHERE hook_id = k.carrier) OR EXISTS (SELECT FROM hooks WHERE id = k.hook AND callback IS NOT NULL)`,
		textArray(uuidList(hooks)), textArray(uuidList(carried)))
	if err != nil {
		return nil, translate(fmt.Errorf("look for hooks with callbacks: %w", err))
	}
	var keys []EventKey
	for _, e := range deliveries {
		if !slices.Contains(telling, e.Hook) {
			continue
		}
		for n := range e.Attempts + 2 {
			for _, state := range webhook.DeliveryStates() {
				keys = append(keys, EventKey{e.Tenant, webhook.ReservedIDPrefix + webhook.CallbackID(e.ID, n, state)})
			}
		}
	}
	for some := range slices.Chunk(keys, maxCallbackIDs) {
		tenants, ids := keyArrays(some)
		var found []EventKey
		err := d.db.SelectContext(ctx, &found, `
			SELECT DISTINCT e.tenant, e.id FROM unnest($1::text[], $2::text[]) AS k (tenant, id)
			JOIN events e ON e.tenant = k.tenant AND e.id = k.id WHERE e.erased_at IS NULL`, tenants, ids)
		if err != nil {
			return nil, translate(fmt.Errorf("look for callbacks: %w", err))
		}
		list = append(list, found...)
	}
	return list, nil
}

// Finish marks events as erased everywhere, and adds the counts to the erasure. erasure is nil for retention policies; then the
// counts are discarded.
func (d *ErasureStore) Finish(ctx context.Context, erasure *uuid.UUID, events []EventKey, counts map[string]int64) error {
	tenants, ids := keyArrays(events)
	text, err := json.Marshal(counts)
	if err != nil {
		return fmt.Errorf("encode counts: %w", err)
	}
	return d.transact(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, `
			UPDATE erased_events x SET done_at = clock_timestamp() FROM unnest($1::text[], $2::text[]) AS k (tenant, id)
			WHERE x.tenant = k.tenant AND x.event_id = k.id AND x.done_at IS NULL AND x.erasure IS NOT DISTINCT FROM $3::uuid`, tenants, ids, erasure)
		if err != nil || erasure == nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil || n == 0 { // another program has finished them
			return err
		}
		return addPlaces(ctx, tx, *erasure, n, string(text))
	})
}

func addPlaces(ctx context.Context, tx *sqlx.Tx, erasure uuid.UUID, done int64, counts string) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE erasures e SET done = done + $2, modified_at = now(), places = (
			SELECT coalesce(jsonb_object_agg(key, n), '{}') FROM (
				SELECT key, sum(value::bigint) AS n FROM (
					SELECT * FROM jsonb_each_text(e.places) UNION ALL SELECT * FROM jsonb_each_text($3::jsonb)) counted GROUP BY key) added)
		WHERE id = $1`, erasure, done, counts)
	return err
}

// AddPlaces adds counts of what was erased outside of a batch of events.
func (d *ErasureStore) AddPlaces(ctx context.Context, e *Erasure, counts map[string]int64) error {
	text, err := json.Marshal(counts)
	if err != nil {
		return fmt.Errorf("encode counts: %w", err)
	}
	return d.transact(ctx, func(tx *sqlx.Tx) error { return addPlaces(ctx, tx, e.ID, 0, string(text)) })
}

// Digest returns the SHA-256 of the ids of an erasure's events, in byte order, each followed by a line feed.
func (d *ErasureStore) Digest(ctx context.Context, e *Erasure) (string, error) {
	rows, err := d.db.QueryContext(ctx, `SELECT event_id FROM erased_events WHERE erasure = $1 ORDER BY event_id COLLATE "C"`, e.ID)
	if err != nil {
		return "", translate(fmt.Errorf("list erased events: %w", err))
	}
	defer rows.Close()
	h := sha256.New()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return "", translate(fmt.Errorf("list erased events: %w", err))
		}
		h.Write([]byte(id + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)), translate(rows.Err())
}
