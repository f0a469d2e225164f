package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

const (
	// maxGaps is the maximum number of gaps that one pass over a tenant's events closes.
	maxGaps = 10_000
	// maxGapEvents and maxGapBytes bound the events that are read at once, and maxGapPairs the deliveries that are parked at
	// once.
	maxGapEvents = 500
	maxGapBytes  = 4 << 20
	maxGapPairs  = 5000
)

// ClockTolerance is how much the clocks of PostgreSQL and NATS may differ without a hook missing events: an event that is older
// than a change of a hook by more than this is not for the changed hook.
const ClockTolerance = time.Second

// Gaps are changes by which hooks of one tenant may get more events than before, and which every worker knows by now. Events
// published after the changes may have been fanned out by workers that did not know them yet.
type Gaps struct {
	Tenant string
	// Since is, for each hook and the hook that carries its callbacks, the time from which events are checked: its first
	// change, or the first event that has to be checked again.
	Since map[uuid.UUID]time.Time
	// begin is the earliest of these times. asked is when the gaps were read, by the database's clock.
	begin, asked time.Time
	xids         map[uuid.UUID][]string
}

// KnownGaps returns the gaps of one tenant that every worker knows: of the tenant, other than the given ones, that has the
// oldest such gap. It returns nil if there is none.
func (d *LedgerStore) KnownGaps(ctx context.Context, others []string) (*Gaps, error) {
	var rows []struct {
		Hook   uuid.UUID `db:"hook_id"`
		XID    string    `db:"xid"`
		Tenant string    `db:"tenant"`
		Since  time.Time `db:"since"`
		Asked  time.Time `db:"asked"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		WITH known AS (
			SELECT * FROM hook_gaps g WHERE NOT done AND tenant <> ALL(coalesce($2::text[], '{}')) AND NOT EXISTS (
				SELECT FROM workers w WHERE w.expires_at > clock_timestamp() AND NOT pg_visible_in_snapshot(g.xid, w.snapshot)))
		SELECT hook_id, xid::text AS xid, tenant, coalesce(look_from, since) AS since, now() AS asked FROM known
		WHERE tenant = (SELECT tenant FROM known ORDER BY since LIMIT 1) ORDER BY coalesce(look_from, since) LIMIT $1`, maxGaps, pq.Array(others))
	if err != nil {
		return nil, translate(fmt.Errorf("list gaps: %w", err))
	}
	if len(rows) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	g := &Gaps{Tenant: rows[0].Tenant, asked: rows[0].Asked, begin: rows[0].Since.Add(-ClockTolerance), Since: map[uuid.UUID]time.Time{}, xids: map[uuid.UUID][]string{}}
	for _, r := range rows {
		if since := r.Since.Add(-ClockTolerance); len(g.xids[r.Hook]) == 0 {
			g.Since[r.Hook], g.Since[webhook.CallbackHookID(r.Hook)] = since, since
		}
		g.xids[r.Hook] = append(g.xids[r.Hook], r.XID)
	}
	return g, nil
}

// GapHooks returns the hooks that have the gaps, without disabled ones.
func (d *LedgerStore) GapHooks(ctx context.Context, g *Gaps) ([]*webhook.Hook, error) {
	ids := make([]uuid.UUID, 0, len(g.xids))
	for id := range g.xids {
		ids = append(ids, id)
	}
	return loadHooks(ctx, d.db, d.core, `WHERE id = ANY($1::uuid[]) AND status <> 'disabled'`, textArray(uuidList(ids)))
}

// Place is the position that a pass over a tenant's events has reached.
type Place struct {
	At  time.Time
	Seq webhook.Sequence
}

// After returns the position after an event.
func After(e *webhook.Event) Place { return Place{e.PublishedAt, e.Seq} }

// GapEvents returns the next events after a position, up to the given sequence in each stream, or none if there are no more. It
// includes the payloads if payloads is set, because filters may need them.
func (d *LedgerStore) GapEvents(ctx context.Context, g *Gaps, after Place, upTo []webhook.Sequence, payloads bool) ([]webhook.Event, error) {
	if after.At.IsZero() {
		after.At = g.begin
	}
	seq := int64(after.Seq) //nolint:gosec // a sequence fits
	streams, numbers := make([]int64, len(upTo)), make([]int64, len(upTo))
	for i, last := range upTo {
		streams[i], numbers[i] = int64(webhook.SequenceIn(last.Stream(), 0)), int64(last) //nolint:gosec // a sequence fits
	}
	var rows []eventRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT published_at, seq, id, type, time, entity, context, config_filter, data FROM (
			SELECT *, sum(octet_length(data)) OVER (ORDER BY published_at, seq ROWS UNBOUNDED PRECEDING) - octet_length(data) AS before FROM (
				SELECT published_at, seq, id, type, time, entity, context, config_filter, CASE WHEN $5 THEN data ELSE '' END AS data
				FROM events WHERE tenant = $1 AND erased_at IS NULL AND published_at >= $2 AND (published_at, seq) > ($2, $3)
					AND EXISTS (SELECT FROM unnest($4::bigint[], $8::bigint[]) AS s (first, last) WHERE seq BETWEEN s.first AND s.last)
				ORDER BY published_at, seq LIMIT $6
			) next
		) page WHERE before < $7 ORDER BY published_at, seq`,
		g.Tenant, after.At, seq, pq.Array(streams), payloads, maxGapEvents, maxGapBytes, pq.Array(numbers))
	if err != nil {
		return nil, translate(fmt.Errorf("list events of gaps: %w", err))
	}
	events := make([]webhook.Event, len(rows))
	for i, r := range rows {
		events[i] = r.event(g.Tenant)
	}
	return events, nil
}

// Missed is an event that a hook should have got.
type Missed struct {
	Hook  uuid.UUID
	Event *webhook.Event
}

// ParkMissed parks those deliveries that do not exist yet, and returns their number.
func (d *LedgerStore) ParkMissed(ctx context.Context, missed []Missed) (parked int, err error) {
	for part := range slices.Chunk(missed, maxGapPairs) {
		n, err := d.parkMissed(ctx, part)
		if err != nil {
			return parked, err
		}
		parked += n
	}
	return parked, nil
}

// parkMissed parks deliveries of up to maxGapPairs events and hooks. It inserts in the order of the keys, so that several
// workers that do the same cannot deadlock.
func (d *core) parkMissed(ctx context.Context, missed []Missed) (n int, err error) {
	size := len(missed)
	ids, hooks, tenants := make([]string, size), make([]string, size), make([]string, size)
	events, types, entities := make([]string, size), make([]string, size), make([]string, size)
	published, seqs := make([]string, size), make([]int64, size)
	for i, m := range missed {
		ids[i], hooks[i], tenants[i] = webhook.DeliveryID(m.Hook, m.Event.ID).String(), m.Hook.String(), m.Event.Tenant
		events[i], types[i], entities[i] = m.Event.ID, m.Event.Type, m.Event.Entity
		published[i], seqs[i] = m.Event.PublishedAt.Format(time.RFC3339Nano), int64(m.Event.Seq) //nolint:gosec // a stream's sequence fits
	}
	err = d.transact(ctx, func(tx *sqlx.Tx) error {
		var got []uuid.UUID
		err := tx.SelectContext(ctx, &got, `
			INSERT INTO deliveries (published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state, reason, attempts, updated_at)
			SELECT published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, 'parked', $9, 0, clock_timestamp()
			FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], $8::text[])
				AS m (published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity)
			WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.id = m.id AND d.published_at = m.published_at)
			ORDER BY id ON CONFLICT DO NOTHING RETURNING hook_id`,
			pq.Array(published), pq.Array(ids), pq.Array(tenants), pq.Array(hooks), pq.Array(events), pq.Array(seqs), pq.Array(types),
			pq.Array(entities), string(webhook.ReasonHookUnknown))
		if err != nil || len(got) == 0 {
			return err
		}
		n = len(got)
		return touchBacklog(ctx, tx, got...)
	})
	if err != nil {
		return 0, translate(fmt.Errorf("park what hooks missed: %w", err))
	}
	return n, nil
}

// CloseGaps marks gaps as closed, except those that were reopened since they were read. The outcome of all events that were
// checked must be recorded before.
func (d *LedgerStore) CloseGaps(ctx context.Context, g *Gaps) error {
	var hooks, xids []string
	for id, list := range g.xids {
		for _, xid := range list {
			hooks, xids = append(hooks, id.String()), append(xids, xid)
		}
	}
	_, err := d.db.ExecContext(ctx, `
		UPDATE hook_gaps g SET done = true FROM unnest($1::uuid[], $2::text[]) AS k (hook_id, xid)
		WHERE g.hook_id = k.hook_id AND g.xid = k.xid::xid8 AND opened_at <= $3`, pq.Array(hooks), pq.Array(xids), g.asked)
	if err != nil {
		return translate(fmt.Errorf("close gaps: %w", err))
	}
	return nil
}

// reopenGaps makes a pass check events again that workers fanned out without knowing changed hooks, at a time when the gap may
// not have waited for these workers.
func reopenGaps(ctx context.Context, tx *sql.Tx, stale []*whispererv1.StaleFanout) error {
	if len(stale) == 0 {
		return nil
	}
	tenants, snapshots, since := make([]string, len(stale)), make([]string, len(stale)), make([]string, len(stale))
	for i, s := range stale {
		tenants[i], snapshots[i], since[i] = s.GetTenant(), s.GetSnapshot(), time.Unix(0, s.GetSince()).UTC().Format(time.RFC3339Nano)
	}
	_, err := tx.ExecContext(ctx, `
		WITH told AS (
			SELECT tenant, snapshot, min(since) AS since FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS t (tenant, snapshot, since)
			GROUP BY tenant, snapshot),
		unknown AS (
			SELECT hook_id, xid, (SELECT min(t.since) FROM told t WHERE t.tenant = g.tenant AND NOT pg_visible_in_snapshot(g.xid, t.snapshot::pg_snapshot)) AS look_from
			FROM hook_gaps g WHERE EXISTS (
				SELECT FROM told t WHERE t.tenant = g.tenant AND NOT pg_visible_in_snapshot(g.xid, t.snapshot::pg_snapshot))
			ORDER BY hook_id, xid FOR UPDATE)
		UPDATE hook_gaps g SET done = false, opened_at = clock_timestamp(), look_from = greatest(since,
			CASE WHEN done THEN u.look_from ELSE least(u.look_from, coalesce(g.look_from, since)) END)
		FROM unknown u WHERE (g.hook_id, g.xid) = (u.hook_id, u.xid)`, pq.Array(tenants), pq.Array(snapshots), pq.Array(since))
	if err != nil {
		return fmt.Errorf("reopen gaps: %w", err)
	}
	return nil
}
