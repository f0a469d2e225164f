package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// The parked queue has a row for each delivery that waits for its hook. Triggers insert it when the ledger records the delivery
// as parked, and delete it when the ledger records another outcome. A drainer takes rows under the lease of their hook, and
// settles them once the outcome is in the LEDGER stream, so that other drainers do not have to wait until the outcome reaches
// PostgreSQL.

// ListBacklogs lists the hooks that have rows in the parked queue, and those that were deleted or touched and may have
// deliveries to be ended.
func (d *QueueStore) ListBacklogs(ctx context.Context) ([]uuid.UUID, error) {
	var list []uuid.UUID
	err := d.db.SelectContext(ctx, &list, `
		WITH RECURSIVE queued AS (
			(SELECT hook_id FROM parked ORDER BY hook_id LIMIT 1)
			UNION ALL
			SELECT (SELECT p.hook_id FROM parked p WHERE p.hook_id > queued.hook_id ORDER BY p.hook_id LIMIT 1)
			FROM queued WHERE queued.hook_id IS NOT NULL)
		SELECT hook_id FROM queued WHERE hook_id IS NOT NULL UNION SELECT hook_id FROM backlogs`)
	if err != nil {
		return nil, translate(fmt.Errorf("list backlogs: %w", err))
	}
	return list, nil
}

// ForgetBacklogs forgets that hooks were touched, unless they have rows in the parked queue.
func (d *QueueStore) ForgetBacklogs(ctx context.Context, hooks ...uuid.UUID) error {
	_, err := d.db.ExecContext(ctx, `
		DELETE FROM backlogs b WHERE hook_id = ANY($1::uuid[])
		AND NOT EXISTS (SELECT FROM parked p WHERE p.hook_id = b.hook_id)`, textArray(uuidList(hooks)))
	if err != nil {
		return translate(fmt.Errorf("forget backlogs: %w", err))
	}
	return nil
}

// ParkedCount is the number of parked deliveries at a time.
type ParkedCount struct {
	N int `db:"n"`
	// At is the time of the count by the database's clock.
	At time.Time `db:"at"`
}

// Count counts the parked deliveries of all hooks, up to most.
func (d *QueueStore) Count(ctx context.Context, most int) (ParkedCount, error) {
	var c ParkedCount
	err := d.db.GetContext(ctx, &c, `
		SELECT count(*) AS n, clock_timestamp() AS at FROM (SELECT FROM parked WHERE NOT waiting LIMIT $1) p`, most)
	if err != nil {
		return ParkedCount{}, translate(fmt.Errorf("count parked deliveries: %w", err))
	}
	return c, nil
}

// ParkedDelivery is a parked delivery, with everything needed for its next attempt except Hook, which is not set.
type ParkedDelivery struct {
	webhook.Due

	HookID uuid.UUID
	// Loaded reports that the rest of the event was looked up. EventMissing reports that the event is not recorded yet, or no
	// longer, so that only the fields from the queue are set.
	Loaded, EventMissing bool
	// Size is the number of bytes of data that were read.
	Size int
	// Batch is shared by deliveries that were sent together before; null for others.
	Batch uuid.NullUUID
}

type parkedRow struct {
	HookID         uuid.UUID     `db:"hook_id"`
	ID             uuid.UUID     `db:"id"`
	Tenant         string        `db:"tenant"`
	EventID        string        `db:"event_id"`
	EventSeq       int64         `db:"event_seq"`
	EventType      string        `db:"event_type"`
	Entity         string        `db:"entity"`
	PublishedAt    time.Time     `db:"published_at"`
	Attempts       int           `db:"attempts"`
	RoundAttempts  int           `db:"round_attempts"`
	RoundStartedAt sql.NullTime  `db:"round_started_at"`
	ParkedAt       time.Time     `db:"parked_at"`
	Replay         bool          `db:"replay"`
	Batch          uuid.NullUUID `db:"batch"`
}

// parkedColumns are the columns of parkedRow.
const parkedColumns = `p.hook_id, p.id, p.tenant, p.event_id, p.event_seq, p.event_type, p.entity, p.published_at, p.attempts,
	p.round_attempts, p.round_started_at, p.parked_at, p.replay, p.batch`

func (r *parkedRow) delivery() *ParkedDelivery {
	e := &webhook.Event{
		ID: r.EventID, Tenant: r.Tenant, Type: r.EventType, PublishedAt: r.PublishedAt.UTC(),
		Seq: webhook.Sequence(r.EventSeq), Entity: r.Entity, //nolint:gosec // never negative
	}
	round := webhook.Round{Retries: r.RoundAttempts, PublishedAt: e.PublishedAt}
	if r.RoundStartedAt.Valid {
		round.StartedAt = r.RoundStartedAt.Time.UTC()
	}
	return &ParkedDelivery{
		Due:    webhook.Due{ID: r.ID, Event: e, Attempts: r.Attempts, Round: round, ParkedAt: r.ParkedAt.UTC(), Replay: r.Replay},
		HookID: r.HookID, Batch: r.Batch,
	}
}

// List returns the hook's parked deliveries without taking them: at most limit deliveries of events after one sequence and up
// to another, in order. It stops before the events exceed maxParkedBytes, but always returns the first.
func (d *QueueStore) List(ctx context.Context, hook uuid.UUID, after, upTo webhook.Sequence, limit int) ([]*ParkedDelivery, error) {
	var rows []parkedRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT `+parkedColumns+` FROM parked p WHERE hook_id = $1 AND event_seq > $2 AND event_seq <= $3 AND NOT waiting
		ORDER BY event_seq LIMIT $4`, hook, int64(after), int64(min(upTo, 1<<62)), limit) //nolint:gosec // it fits
	if err != nil {
		return nil, translate(fmt.Errorf("list parked deliveries of hook %s: %w", hook, err))
	}
	list := make([]*ParkedDelivery, len(rows))
	for i := range rows {
		list[i] = rows[i].delivery()
	}
	if err := d.Load(ctx, list, maxParkedBytes); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(p *ParkedDelivery) bool { return !p.Loaded }), nil
}

// maxParkedBytes is the size of events beyond which List returns no more deliveries.
const maxParkedBytes = 4 << 20

// Places selects the events in a part of a stream, after one sequence and up to another.
type Places struct {
	After, UpTo webhook.Sequence
	// Before excludes events that were published at that time or later; zero for no bound.
	Before time.Time
	// Backfilled excludes events that a running backfill has not reached yet.
	Backfilled bool
}

// Want asks for the next deliveries of a hook whose lease the drainer holds.
type Want struct {
	Lease DrainLease
	Limit int
	// Ordering is the hook's ordering. A delivery is not taken while an earlier one that it must follow waits for its retry.
	Ordering webhook.Ordering
	// BackfilledTo bounds the places with Backfilled; zero for no bound.
	BackfilledTo webhook.Sequence
	// Batch asks for deliveries that can be sent together: those that were sent together before, all of them or none, and of
	// the others as many as fill batches or have waited long enough. It is nil for single deliveries.
	Batch *webhook.Batch
}

// Take takes the next deliveries of hooks, in the order of the places and, within a place, in that of the events. They belong
// to the drainer until it settles them or expires. Nothing is taken for a lease that another holds by now, or for a drainer
// that has expired.
func (d *QueueStore) Take(ctx context.Context, drainer uuid.UUID, wants []Want, places []Places) ([]*ParkedDelivery, error) {
	var single, shared, batches []Want
	for _, w := range wants {
		switch {
		case w.Batch != nil:
			batches = append(batches, w)
		case w.Lease.Alone:
			single = append(single, w)
		default:
			shared = append(shared, w)
		}
	}
	var list []*ParkedDelivery
	for _, part := range []struct {
		wants []Want
		take  func(ctx context.Context, drainer uuid.UUID, wants []Want, places []Places) ([]*ParkedDelivery, error)
	}{{single, d.takeAlone}, {batches, d.takeBatches}, {shared, d.takeShared}} {
		if len(part.wants) == 0 {
			continue
		}
		taken, err := part.take(ctx, drainer, part.wants, places)
		if err != nil {
			return list, translate(fmt.Errorf("take parked deliveries: %w", err))
		}
		list = append(list, taken...)
	}
	return list, nil
}

// takeAlone takes deliveries of hooks that only this drainer drains. It does not skip locked rows.
func (d *core) takeAlone(ctx context.Context, drainer uuid.UUID, wants []Want, places []Places) ([]*ParkedDelivery, error) {
	return d.takeParked(ctx, "", nextArgs(drainer, wants, places), places)
}

// takeShared takes deliveries of hooks that other drainers drain, too.
func (d *core) takeShared(ctx context.Context, drainer uuid.UUID, wants []Want, places []Places) ([]*ParkedDelivery, error) {
	return d.takeParked(ctx, `FOR UPDATE SKIP LOCKED`, nextArgs(drainer, wants, places), places)
}

func (d *core) takeParked(ctx context.Context, lock string, args []any, places []Places) ([]*ParkedDelivery, error) {
	var rows []parkedRow
	err := d.byKey(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, nextParked(lock)+`
		UPDATE parked p SET taken_by = $1 FROM (SELECT * FROM next ORDER BY id) next -- as recorders write: no circles
		WHERE p.hook_id = next.hook_id AND p.event_seq = next.event_seq AND p.id = next.id AND p.published_at = next.published_at
		RETURNING `+parkedColumns,
			args...)
	})
	if err != nil {
		return nil, err
	}
	return inPlaces(rows, places), nil
}

// nextArgs returns the arguments of nextParked.
func nextArgs(drainer uuid.UUID, wants []Want, places []Places) []any {
	hooks, names, fences := make([]string, len(wants)), make([]string, len(wants)), make([]int64, len(wants))
	limits, orderings, backfilled := make([]int64, len(wants)), make([]string, len(wants)), make([]int64, len(wants))
	for i, w := range wants {
		hooks[i], names[i], fences[i] = w.Lease.Hook.String(), w.Lease.name(), w.Lease.Fence
		limits[i], orderings[i], backfilled[i] = int64(w.Limit), string(w.Ordering), int64(w.BackfilledTo) //nolint:gosec // it fits
	}
	after, upTo, before, bounded := make([]int64, len(places)), make([]int64, len(places)), make([]*string, len(places)), make([]bool, len(places))
	for i, p := range places {
		after[i], upTo[i], bounded[i] = int64(p.After), int64(p.UpTo), p.Backfilled //nolint:gosec // it fits
		if !p.Before.IsZero() {
			text := p.Before.Format(time.RFC3339Nano)
			before[i] = &text
		}
	}
	return []any{
		drainer, pq.Array(hooks), pq.Array(names), pq.Array(fences), pq.Array(limits), pq.Array(orderings), pq.Array(backfilled),
		pq.Array(after), pq.Array(upTo), pq.Array(before), pq.Array(bounded),
	}
}

// nextParked returns the beginning of a statement about the next deliveries of hooks, in the order of the places. lock is the
// locking clause.
func nextParked(lock string) string {
	return `
		WITH live AS MATERIALIZED (
			SELECT coalesce(array_agg(id) FILTER (WHERE id <> $1), '{}') AS others, coalesce(bool_or(id = $1), false) AS mine
			FROM drainers WHERE expires_at > clock_timestamp()),
		next AS MATERIALIZED (
			SELECT p.hook_id, p.event_seq, p.id, p.published_at, p.entity, p.batch, p.parked_at, r.n
			FROM live CROSS JOIN unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
				AS w (hook_id, lease, fence, most, ordering, backfilled)
			JOIN leases l ON l.name = w.lease AND l.fence = w.fence AND l.expires_at > clock_timestamp()
			CROSS JOIN LATERAL (
				SELECT array_agg(DISTINCT entity) AS entities FROM parked WHERE hook_id = w.hook_id AND waiting AND w.ordering <> 'none') b
			CROSS JOIN unnest($8::bigint[], $9::bigint[], $10::timestamptz[], $11::bool[]) WITH ORDINALITY
				AS r (after, up_to, before, bounded, n)
			CROSS JOIN LATERAL (
				SELECT hook_id, event_seq, id, published_at, entity, batch, parked_at FROM parked p
				WHERE p.hook_id = w.hook_id AND p.event_seq > r.after
				AND p.event_seq <= least(r.up_to, CASE WHEN r.bounded THEN nullif(w.backfilled, 0) END)
				AND NOT waiting AND (taken_by IS NULL OR taken_by <> $1 AND taken_by <> ALL (live.others))
				AND (r.before IS NULL OR published_at < r.before)
				AND (b.entities IS NULL OR w.ordering = 'entity' AND (entity = '' OR entity <> ALL (b.entities)))
				ORDER BY event_seq LIMIT w.most ` + lock + `
			) p
			WHERE live.mine)`
}

// inPlaces returns the deliveries of rows in the order of the places and, within a place, in that of the events.
func inPlaces(rows []parkedRow, places []Places) []*ParkedDelivery {
	list := make([]*ParkedDelivery, len(rows))
	for i := range rows {
		list[i] = rows[i].delivery()
	}
	place := func(p *ParkedDelivery) int {
		return slices.IndexFunc(places, func(r Places) bool {
			return p.Event.Seq > r.After && p.Event.Seq <= r.UpTo && (r.Before.IsZero() || p.Event.PublishedAt.Before(r.Before))
		})
	}
	slices.SortStableFunc(list, func(a, b *ParkedDelivery) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Event.Seq, b.Event.Seq))
	})
	return list
}

// byKey runs do in a transaction whose plans look up rows of the parked queue by key, whatever the statistics say: the table
// may be empty in one minute and have a million rows in the next.
func (d *core) byKey(ctx context.Context, do func(tx *sqlx.Tx) error) error {
	return d.transact(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off;
			SET LOCAL enable_bitmapscan = off`)
		if err != nil {
			return err
		}
		return do(tx)
	})
}

// FindMoving lists those of the hooks that have parked deliveries beyond all places, and none that waits for a retry.
func (d *QueueStore) FindMoving(ctx context.Context, hooks []uuid.UUID, places []Places) ([]uuid.UUID, error) {
	after, upTo := make([]int64, len(places)), make([]int64, len(places))
	for i, p := range places {
		after[i], upTo[i] = int64(p.UpTo), int64(webhook.SequenceIn(p.UpTo.Stream()+1, 0)-1) //nolint:gosec // it fits
	}
	var list []uuid.UUID
	err := d.db.SelectContext(ctx, &list, `
		SELECT h FROM unnest($1::uuid[]) h WHERE EXISTS (
			SELECT FROM unnest($2::bigint[], $3::bigint[]) AS r (after, up_to) CROSS JOIN LATERAL (
				SELECT FROM parked WHERE hook_id = h AND event_seq > r.after AND event_seq <= r.up_to AND NOT waiting LIMIT 1) p)
		AND NOT EXISTS (SELECT FROM parked WHERE hook_id = h AND waiting)`, textArray(uuidList(hooks)), pq.Array(after), pq.Array(upTo))
	if err != nil {
		return nil, translate(fmt.Errorf("look for parked deliveries beyond: %w", err))
	}
	return list, nil
}

// Load reads the events of taken deliveries, one day's partition at a time: at most bytes bytes of data, but always the first
// event. Deliveries whose event was left out are not marked as Loaded.
func (d *QueueStore) Load(ctx context.Context, list []*ParkedDelivery, bytes int) error {
	days := map[time.Time][]*ParkedDelivery{}
	var order []time.Time
	for _, p := range list {
		day := p.Event.PublishedAt.Truncate(24 * time.Hour)
		if days[day] == nil {
			order = append(order, day)
		}
		days[day] = append(days[day], p)
	}
	for _, day := range order {
		used, err := d.loadDay(ctx, day, days[day], bytes)
		if err != nil {
			return translate(fmt.Errorf("look up events of parked deliveries: %w", err))
		}
		if bytes -= used; bytes <= 0 {
			return nil
		}
	}
	return nil
}

func (d *core) loadDay(ctx context.Context, day time.Time, list []*ParkedDelivery, bytes int) (used int, err error) {
	var tenants, ids, published []string
	var of [][]*ParkedDelivery // several deliveries may have the same event
	at := map[Published]int{}
	for _, p := range list {
		key := Published{EventKey{p.Event.Tenant, p.Event.ID}, p.Event.PublishedAt}
		n, there := at[key]
		if !there {
			n, at[key] = len(of), len(of)
			of = append(of, nil)
			tenants, ids, published = append(tenants, key.Tenant), append(ids, key.ID), append(published, key.At.Format(time.RFC3339Nano))
		}
		of[n] = append(of[n], p)
	}
	var found []loadedRow
	err = d.db.SelectContext(ctx, &found, `
		SELECT n, size, time, context, config_filter, data, traceparent, cloud_event, erased_at, erased_by FROM (
			SELECT k.n, e.*, coalesce(octet_length(e.data), 0) AS size,
				sum(coalesce(octet_length(e.data), 0)) OVER (ORDER BY k.n ROWS UNBOUNDED PRECEDING) - coalesce(octet_length(e.data), 0) AS before
			FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS k (tenant, id, published_at, n)
			LEFT JOIN LATERAL (
				SELECT time, context, config_filter, data, traceparent, cloud_event, erased_at, erased_by FROM events e
				WHERE e.tenant = k.tenant AND e.id = k.id AND e.published_at = k.published_at
				AND e.published_at >= $4::timestamptz AND e.published_at < $5::timestamptz LIMIT 1) e ON true
		) page WHERE before < $6 ORDER BY n`,
		pq.Array(tenants), pq.Array(ids), pq.Array(published), day.Format(time.RFC3339), day.Add(24*time.Hour).Format(time.RFC3339), max(bytes, 1))
	if err != nil {
		return 0, err
	}
	for i := range found {
		used += found[i].Size
		data := []byte(found[i].Data.String)
		for _, p := range of[found[i].N-1] {
			found[i].into(p, data)
		}
	}
	return used, nil
}

type loadedRow struct {
	N            int64          `db:"n"`
	Size         int            `db:"size"`
	Time         sql.NullTime   `db:"time"`
	Context      *string        `db:"context"`
	ConfigFilter *string        `db:"config_filter"`
	Data         sql.NullString `db:"data"`
	Traceparent  sql.NullString `db:"traceparent"`
	CloudEvent   *string        `db:"cloud_event"`
	erasedColumns
}

func (r *loadedRow) into(p *ParkedDelivery, data []byte) {
	p.Loaded, p.EventMissing, p.Size = true, !r.Data.Valid, r.Size
	if p.EventMissing {
		return
	}
	e := p.Event
	e.Time, e.Data, e.Erased = r.Time.Time.UTC(), data, r.erased()
	e.Traceparent, e.Tracestate, _ = strings.Cut(r.Traceparent.String, " ")
	e.Context, e.ConfigFilter, e.CloudEvent = optionalBytes(r.Context), optionalBytes(r.ConfigFilter), optionalBytes(r.CloudEvent)
}
