package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// The parked queue has a row for each delivery that waits for its hook. Triggers put it there when the ledger says that a
// delivery is parked, and take it away when the ledger says what became of it. A drainer takes rows under the lease of
// their hook, and settles them once the outcome is in the ledger's stream: what is on its way from there to PostgreSQL is
// nothing that another drainer has to wait for.

// Backlogs lists the hooks that have rows in the parked queue, and those that were deleted or touched and may have
// deliveries to be ended.
func (d *QueueStore) Backlogs(ctx context.Context) ([]uuid.UUID, error) {
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

// ForgetBacklogs forgets that hooks were touched, where nothing of theirs is in the parked queue.
func (d *QueueStore) ForgetBacklogs(ctx context.Context, hooks ...uuid.UUID) error {
	_, err := d.db.ExecContext(ctx, `
		DELETE FROM backlogs b WHERE hook_id = ANY($1::uuid[])
		AND NOT EXISTS (SELECT FROM parked p WHERE p.hook_id = b.hook_id)`, textArray(uuidList(hooks)))
	if err != nil {
		return translate(fmt.Errorf("forget backlogs: %w", err))
	}
	return nil
}

// ParkedCount is how many deliveries are parked, and when.
type ParkedCount struct {
	N int `db:"n"`
	// At is by the database's clock.
	At time.Time `db:"at"`
}

// CountParked counts the parked deliveries of all hooks, but not beyond most.
func (d *QueueStore) CountParked(ctx context.Context, most int) (ParkedCount, error) {
	var c ParkedCount
	err := d.db.GetContext(ctx, &c, `
		SELECT count(*) AS n, clock_timestamp() AS at FROM (SELECT FROM parked WHERE NOT waiting LIMIT $1) p`, most)
	if err != nil {
		return ParkedCount{}, translate(fmt.Errorf("count parked deliveries: %w", err))
	}
	return c, nil
}

// ParkedDelivery is a parked delivery with what is needed to make its next attempt. Its Hook is not set.
type ParkedDelivery struct {
	webhook.Due

	HookID uuid.UUID
	// Loaded says that the rest of the event was looked up, EventMissing that it is not recorded yet, or not any more: only
	// what the queue has of it is set.
	Loaded, EventMissing bool
	// Size is how many bytes of data were looked up.
	Size int
}

type parkedRow struct {
	HookID         uuid.UUID    `db:"hook_id"`
	ID             uuid.UUID    `db:"id"`
	Tenant         string       `db:"tenant"`
	EventID        string       `db:"event_id"`
	EventSeq       int64        `db:"event_seq"`
	EventType      string       `db:"event_type"`
	Entity         string       `db:"entity"`
	PublishedAt    time.Time    `db:"published_at"`
	Attempts       int          `db:"attempts"`
	RoundAttempts  int          `db:"round_attempts"`
	RoundStartedAt sql.NullTime `db:"round_started_at"`
	ParkedAt       time.Time    `db:"parked_at"`
	Replay         bool         `db:"replay"`
}

// parkedColumns are those of parkedRow.
const parkedColumns = `p.hook_id, p.id, p.tenant, p.event_id, p.event_seq, p.event_type, p.entity, p.published_at, p.attempts,
	p.round_attempts, p.round_started_at, p.parked_at, p.replay`

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
		HookID: r.HookID,
	}
}

// Parked looks at the hook's parked deliveries, and takes none: those after one place and up to another, in the order of
// events, at most limit, and no more than fit into some megabytes, but for the first.
func (d *QueueStore) Parked(ctx context.Context, hook uuid.UUID, after, upTo webhook.Sequence, limit int) ([]*ParkedDelivery, error) {
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
	if err := d.LoadParked(ctx, list, maxParkedBytes); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(p *ParkedDelivery) bool { return !p.Loaded }), nil
}

// maxParkedBytes is from how many bytes of events on Parked returns no more.
const maxParkedBytes = 4 << 20

// Places are deliveries of events in a part of a stream: after one place, and up to another.
type Places struct {
	After, UpTo webhook.Sequence
	// Before leaves out what was published at that time or later; zero for nothing.
	Before time.Time
	// Backfilled says that what a backfill has not come to yet is left out.
	Backfilled bool
}

// Want asks for the next deliveries of a hook whose lease the drainer has.
type Want struct {
	Lease DrainLease
	Limit int
	// Ordering is what has to be delivered in order: no delivery is given that an earlier one keeps back, which waits for
	// its retry.
	Ordering webhook.Ordering
	// BackfilledTo bounds places that say so; zero for no bound.
	BackfilledTo webhook.Sequence
}

// TakeParked takes the next deliveries of hooks, each in the order of the places, and within them in that of the events. They
// are the drainer's until it settles them, or expires. A lease that is another's by now, and a drainer that has expired, get
// nothing.
func (d *QueueStore) TakeParked(ctx context.Context, drainer uuid.UUID, wants []Want, places []Places) ([]*ParkedDelivery, error) {
	var list []*ParkedDelivery
	for _, alone := range []bool{true, false} {
		part := make([]Want, 0, len(wants))
		for _, w := range wants {
			if w.Lease.Alone == alone {
				part = append(part, w)
			}
		}
		if len(part) == 0 {
			continue
		}
		lock := `FOR UPDATE SKIP LOCKED` // others take of it, too
		if alone {
			lock = `` // nobody else does, and nothing may be passed over
		}
		taken, err := d.takeParked(ctx, drainer, part, places, lock)
		if err != nil {
			return list, translate(fmt.Errorf("take parked deliveries: %w", err))
		}
		list = append(list, taken...)
	}
	return list, nil
}

func (d *core) takeParked(ctx context.Context, drainer uuid.UUID, wants []Want, places []Places, lock string) ([]*ParkedDelivery, error) {
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
	var rows []parkedRow
	err := d.byKey(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, `
		WITH live AS MATERIALIZED (
			SELECT coalesce(array_agg(id) FILTER (WHERE id <> $1), '{}') AS others, coalesce(bool_or(id = $1), false) AS mine
			FROM drainers WHERE expires_at > clock_timestamp()),
		next AS MATERIALIZED (
			SELECT p.hook_id, p.event_seq, p.id, p.published_at, r.n
			FROM live CROSS JOIN unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
				AS w (hook_id, lease, fence, most, ordering, backfilled)
			JOIN leases l ON l.name = w.lease AND l.fence = w.fence AND l.expires_at > clock_timestamp()
			CROSS JOIN LATERAL (
				SELECT array_agg(DISTINCT entity) AS entities FROM parked WHERE hook_id = w.hook_id AND waiting AND w.ordering <> 'none') b
			CROSS JOIN unnest($8::bigint[], $9::bigint[], $10::timestamptz[], $11::bool[]) WITH ORDINALITY
				AS r (after, up_to, before, bounded, n)
			CROSS JOIN LATERAL (
				SELECT hook_id, event_seq, id, published_at FROM parked p
				WHERE p.hook_id = w.hook_id AND p.event_seq > r.after
				AND p.event_seq <= least(r.up_to, CASE WHEN r.bounded THEN nullif(w.backfilled, 0) END)
				AND NOT waiting AND (taken_by IS NULL OR taken_by <> $1 AND taken_by <> ALL (live.others))
				AND (r.before IS NULL OR published_at < r.before)
				AND (b.entities IS NULL OR w.ordering = 'entity' AND (entity = '' OR entity <> ALL (b.entities)))
				ORDER BY event_seq LIMIT w.most `+lock+`
			) p
			WHERE live.mine)
		UPDATE parked p SET taken_by = $1 FROM next
		WHERE p.hook_id = next.hook_id AND p.event_seq = next.event_seq AND p.id = next.id AND p.published_at = next.published_at
		RETURNING `+parkedColumns,
			drainer, pq.Array(hooks), pq.Array(names), pq.Array(fences), pq.Array(limits), pq.Array(orderings), pq.Array(backfilled),
			pq.Array(after), pq.Array(upTo), pq.Array(before), pq.Array(bounded))
	})
	if err != nil {
		return nil, err
	}
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
	return list, nil
}

// byKey does something in a transaction whose plans look rows of the parked queue up by their keys, whatever is known of the
// table: it is empty in one minute and has a million rows in the next.
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

// Moving lists those of the hooks that have parked deliveries beyond all places, which no retry keeps back.
func (d *QueueStore) Moving(ctx context.Context, hooks []uuid.UUID, places []Places) ([]uuid.UUID, error) {
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

// LoadParked looks the events up of deliveries that were taken, those of one day at a time: at most so many bytes of data,
// but for the first one. It reports which are left out by Loaded.
func (d *QueueStore) LoadParked(ctx context.Context, list []*ParkedDelivery, bytes int) error {
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
	tenants, ids, published := make([]string, len(list)), make([]string, len(list)), make([]string, len(list))
	for i, p := range list {
		tenants[i], ids[i], published[i] = p.Event.Tenant, p.Event.ID, p.Event.PublishedAt.Format(time.RFC3339Nano)
	}
	var found []loadedRow
	err = d.db.SelectContext(ctx, &found, `
		SELECT n, size, time, context, config_filter, data, traceparent, cloud_event FROM (
			SELECT k.n, e.*, coalesce(octet_length(e.data), 0) AS size,
				sum(coalesce(octet_length(e.data), 0)) OVER (ORDER BY k.n ROWS UNBOUNDED PRECEDING) - coalesce(octet_length(e.data), 0) AS before
			FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS k (tenant, id, published_at, n)
			LEFT JOIN LATERAL (
				SELECT time, context, config_filter, data, traceparent, cloud_event FROM events e
				WHERE e.tenant = k.tenant AND e.id = k.id AND e.published_at = k.published_at
				AND e.published_at >= $4::timestamptz AND e.published_at < $5::timestamptz LIMIT 1) e ON true
		) page WHERE before < $6 ORDER BY n`,
		pq.Array(tenants), pq.Array(ids), pq.Array(published), day.Format(time.RFC3339), day.Add(24*time.Hour).Format(time.RFC3339), max(bytes, 1))
	if err != nil {
		return 0, err
	}
	for i := range found {
		used += found[i].Size
		found[i].into(list[found[i].N-1])
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
}

func (r *loadedRow) into(p *ParkedDelivery) {
	p.Loaded, p.EventMissing, p.Size = true, !r.Data.Valid, r.Size
	if p.EventMissing {
		return
	}
	e := p.Event
	e.Time, e.Data, e.Traceparent = r.Time.Time.UTC(), []byte(r.Data.String), r.Traceparent.String
	e.Context, e.ConfigFilter, e.CloudEvent = optionalBytes(r.Context), optionalBytes(r.ConfigFilter), optionalBytes(r.CloudEvent)
}

// Drained is what became of a delivery that was taken.
type Drained struct {
	*ParkedDelivery

	As DrainedAs
}

// DrainedAs is what becomes of a row of the parked queue.
type DrainedAs string

// What becomes of rows.
const (
	// Gone: it was tried, and what became of it is in the ledger's stream.
	Gone DrainedAs = "gone"
	// KeepsBack: so it is, and it waits for a retry that has to come before others.
	KeepsBack DrainedAs = "waits"
	// Back: it was not tried.
	Back DrainedAs = "back"
)

// SettleParked tells the parked queue what became of deliveries that the drainer took. What another has taken since, since
// the drainer had expired, is left as it is, and so is what was parked anew after the attempt, even where the drainer has taken
// that, too.
func (d *QueueStore) SettleParked(ctx context.Context, drainer uuid.UUID, list []Drained) error {
	slices.SortFunc(list, func(a, b Drained) int { return bytes.Compare(a.ID[:], b.ID[:]) }) // as recorders write: no circles
	hooks, seqs, ids := make([]string, len(list)), make([]int64, len(list)), make([]string, len(list))
	published, what, attempts := make([]string, len(list)), make([]string, len(list)), make([]int64, len(list))
	for i, s := range list {
		hooks[i], seqs[i], ids[i] = s.HookID.String(), int64(s.Event.Seq), s.ID.String() //nolint:gosec // it fits
		published[i], what[i], attempts[i] = s.Event.PublishedAt.Format(time.RFC3339Nano), string(s.As), int64(s.Attempts)
	}
	err := d.byKey(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			WITH told AS MATERIALIZED (
				SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::timestamptz[], $6::text[], $7::bigint[])
					AS k (hook_id, event_seq, id, published_at, what, attempts)),
			gone AS (
				DELETE FROM parked p USING told k WHERE p.hook_id = k.hook_id AND p.event_seq = k.event_seq AND p.id = k.id
				AND p.published_at = k.published_at AND p.taken_by = $1 AND p.attempts = k.attempts AND k.what = 'gone')
			UPDATE parked p SET taken_by = NULL, waiting = k.what = 'waits'
			FROM told k WHERE p.hook_id = k.hook_id AND p.event_seq = k.event_seq AND p.id = k.id
			AND p.published_at = k.published_at AND p.taken_by = $1 AND p.attempts = k.attempts AND k.what <> 'gone'`,
			drainer, pq.Array(hooks), pq.Array(seqs), pq.Array(ids), pq.Array(published), pq.Array(what), pq.Array(attempts))
		return err
	})
	if err != nil {
		return translate(fmt.Errorf("settle parked deliveries: %w", err))
	}
	return nil
}
