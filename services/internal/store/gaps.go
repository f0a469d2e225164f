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
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

const (
	// maxGaps is how many gaps are closed by one pass over a tenant's events.
	maxGaps = 10_000
	// maxGapEvents and maxGapBytes bound the events that are read at once, maxGapPairs what is parked at once.
	maxGapEvents = 500
	maxGapBytes  = 4 << 20
	maxGapPairs  = 5000
)

// ClockTolerance is how much the clocks of Postgres and NATS may differ without a hook missing events: an event that is
// older than a change of a hook by more than this is not for the changed hook.
const ClockTolerance = time.Second

// Gaps are changes by which hooks of one tenant may get more events than before, and which every worker knows by now. Some
// of what was published since them may have been fanned out by workers that did not.
type Gaps struct {
	Tenant string
	// asked is when they were looked for, by the database's clock.
	asked time.Time
	// since is when the first change of each hook was, or when the first event was published that has to be looked at again.
	since map[uuid.UUID]time.Time
	xids  map[uuid.UUID][]string
}

// KnownGaps returns the gaps of the tenant that has the oldest one which every worker knows; there are none if it is nil.
func (d *LedgerStore) KnownGaps(ctx context.Context) (*Gaps, error) {
	var rows []struct {
		Hook   uuid.UUID `db:"hook_id"`
		XID    string    `db:"xid"`
		Tenant string    `db:"tenant"`
		Since  time.Time `db:"since"`
		Asked  time.Time `db:"asked"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		WITH known AS (
			SELECT * FROM hook_gaps g WHERE NOT done AND NOT EXISTS (
				SELECT FROM workers w WHERE w.expires_at > clock_timestamp() AND NOT pg_visible_in_snapshot(g.xid, w.snapshot)))
		SELECT hook_id, xid::text AS xid, tenant, coalesce(look_from, since) AS since, now() AS asked FROM known
		WHERE tenant = (SELECT tenant FROM known ORDER BY since LIMIT 1) ORDER BY coalesce(look_from, since) LIMIT $1`, maxGaps)
	if err != nil {
		return nil, translate(fmt.Errorf("list gaps: %w", err))
	}
	if len(rows) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	g := &Gaps{Tenant: rows[0].Tenant, asked: rows[0].Asked, since: map[uuid.UUID]time.Time{}, xids: map[uuid.UUID][]string{}}
	for _, r := range rows {
		if _, there := g.since[r.Hook]; !there {
			g.since[r.Hook] = r.Since.Add(-ClockTolerance)
		}
		g.xids[r.Hook] = append(g.xids[r.Hook], r.XID)
	}
	return g, nil
}

// CloseGaps parks for the hooks what they missed of the events up to a sequence of each stream, and returns how many
// deliveries that are. What became of all these events has to be recorded before. matcher makes what finds the hooks that an
// event goes to.
func (d *LedgerStore) CloseGaps(ctx context.Context, g *Gaps, upTo []webhook.Sequence, matcher func([]*webhook.Hook) func(*webhook.Event) []*webhook.Hook) (parked int, err error) {
	ids, begin := make([]uuid.UUID, 0, len(g.since)), time.Now()
	for id, since := range g.since {
		ids = append(ids, id)
		if since.Before(begin) {
			begin = since
		}
	}
	hooks, err := loadHooks(ctx, d.db, d.core, `WHERE id = ANY($1::uuid[]) AND status <> 'disabled'`, textArray(uuidList(ids)))
	if err != nil {
		return 0, err
	}
	since := make(map[uuid.UUID]time.Time, len(hooks))
	filters := false
	for _, h := range hooks {
		since[h.ID] = g.since[h.ID]
		since[webhook.CallbackHookID(h.ID)] = g.since[h.ID]
		filters = filters || h.Config.Filter != ""
	}
	match := matcher(hooks)
	for at := (gapPage{tenant: g.Tenant, at: begin, upTo: upTo, payloads: filters}); len(hooks) > 0; {
		events, err := d.gapEvents(ctx, &at)
		if err != nil {
			return parked, err
		}
		if len(events) == 0 {
			break
		}
		var missed []missedEvent
		for i := range events {
			for _, h := range match(&events[i]) {
				if !events[i].PublishedAt.Before(since[h.ID]) {
					missed = append(missed, missedEvent{h.ID, &events[i]})
				}
			}
		}
		for len(missed) > 0 {
			part := missed[:min(len(missed), maxGapPairs)]
			missed = missed[len(part):]
			n, err := d.parkMissed(ctx, part)
			if err != nil {
				return parked, err
			}
			parked += n
		}
	}
	return parked, d.forgetGaps(ctx, g)
}

// gapPage is where a pass over a tenant's events is.
type gapPage struct {
	tenant   string
	at       time.Time
	seq      int64
	upTo     []webhook.Sequence
	payloads bool
}

// gapEvents reads the next events, and their payloads where filters may want them.
func (d *core) gapEvents(ctx context.Context, p *gapPage) ([]webhook.Event, error) {
	streams, numbers := make([]int64, len(p.upTo)), make([]int64, len(p.upTo))
	for i, last := range p.upTo {
		streams[i], numbers[i] = int64(webhook.SequenceIn(last.Stream(), 0)), int64(last) //nolint:gosec // a sequence fits
	}
	var rows []eventRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT published_at, seq, id, type, time, entity, context, config_filter, data FROM (
			SELECT *, sum(octet_length(data)) OVER (ORDER BY published_at, seq ROWS UNBOUNDED PRECEDING) - octet_length(data) AS before FROM (
				SELECT published_at, seq, id, type, time, entity, context, config_filter, CASE WHEN $5 THEN data ELSE '' END AS data
				FROM events WHERE tenant = $1 AND published_at >= $2 AND (published_at, seq) > ($2, $3)
					AND EXISTS (SELECT FROM unnest($4::bigint[], $8::bigint[]) AS s (first, last) WHERE seq BETWEEN s.first AND s.last)
				ORDER BY published_at, seq LIMIT $6
			) next
		) page WHERE before < $7 ORDER BY published_at, seq`,
		p.tenant, p.at, p.seq, pq.Array(streams), p.payloads, maxGapEvents, maxGapBytes, pq.Array(numbers))
	if err != nil {
		return nil, translate(fmt.Errorf("list events of gaps: %w", err))
	}
	events := make([]webhook.Event, len(rows))
	for i, r := range rows {
		events[i] = r.event(p.tenant)
		p.at, p.seq = r.PublishedAt, r.Seq
	}
	return events, nil
}

// missedEvent is an event that a hook should have got.
type missedEvent struct {
	hook  uuid.UUID
	event *webhook.Event
}

// parkMissed parks what has no delivery, and returns how many that are. In the order of the keys, so that several who do the
// same do not wait for each other in a circle.
func (d *core) parkMissed(ctx context.Context, missed []missedEvent) (n int, err error) {
	size := len(missed)
	ids, hooks, tenants := make([]string, size), make([]string, size), make([]string, size)
	events, types, entities := make([]string, size), make([]string, size), make([]string, size)
	published, seqs := make([]string, size), make([]int64, size)
	for i, m := range missed {
		ids[i], hooks[i], tenants[i] = webhook.DeliveryID(m.hook, m.event.ID).String(), m.hook.String(), m.event.Tenant
		events[i], types[i], entities[i] = m.event.ID, m.event.Type, m.event.Entity
		published[i], seqs[i] = m.event.PublishedAt.Format(time.RFC3339Nano), int64(m.event.Seq) //nolint:gosec // a stream's sequence fits
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

// forgetGaps marks gaps as closed.
func (d *core) forgetGaps(ctx context.Context, g *Gaps) error {
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

// reopenGaps has events looked at again that were fanned out by workers which did not know of changed hooks yet, and which
// nobody may have counted with.
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
