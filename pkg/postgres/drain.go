package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Backlog is a hook that has, or had a moment ago, parked deliveries.
type Backlog struct {
	HookID    uuid.UUID `db:"hook_id"`
	TouchedAt time.Time `db:"touched_at"`
}

// Backlogs lists the hooks that have parked deliveries, of all or of those given.
func (d *DB) Backlogs(ctx context.Context, hooks ...uuid.UUID) ([]Backlog, error) {
	var only string
	var args []any
	if len(hooks) > 0 {
		only, args = `WHERE hook_id = ANY($1::uuid[])`, []any{pq.Array(hooks)}
	}
	var list []Backlog
	if err := d.db.SelectContext(ctx, &list, `SELECT hook_id, touched_at FROM backlogs `+only+` ORDER BY touched_at`, args...); err != nil {
		return nil, translate(fmt.Errorf("list backlogs: %w", err))
	}
	return list, nil
}

// ParkedCount is how many deliveries are parked, and when.
type ParkedCount struct {
	N int `db:"n"`
	// At is by the database's clock.
	At time.Time `db:"at"`
}

// CountParked counts the parked deliveries of all hooks, but not beyond most.
func (d *DB) CountParked(ctx context.Context, most int) (ParkedCount, error) {
	var c ParkedCount
	err := d.db.GetContext(ctx, &c, `
		SELECT count(*) AS n, clock_timestamp() AS at FROM (SELECT FROM deliveries WHERE state = 'parked' LIMIT $1) parked`, most)
	if err != nil {
		return ParkedCount{}, translate(fmt.Errorf("count parked deliveries: %w", err))
	}
	return c, nil
}

// ForgetBacklog drops a hook whose parked deliveries are all gone. A hook that got more since b was read stays.
func (d *DB) ForgetBacklog(ctx context.Context, b Backlog) error {
	_, err := d.db.ExecContext(ctx, `
		WITH forgotten AS (
			DELETE FROM backlogs WHERE hook_id = $1 AND touched_at = $2
			AND NOT EXISTS (SELECT FROM deliveries WHERE hook_id = $1 AND state = 'parked')
			AND NOT EXISTS (SELECT FROM drain_claims WHERE hook_id = $1) RETURNING hook_id)
		DELETE FROM drains WHERE hook_id IN (SELECT hook_id FROM forgotten)`, b.HookID, b.TouchedAt)
	if err != nil {
		return translate(fmt.Errorf("forget backlog of hook %s: %w", b.HookID, err))
	}
	return nil
}

// maxParkedBytes is from how many bytes of events on Parked returns no more.
const maxParkedBytes = 4 << 20

// ParkedDelivery is a parked delivery with what is needed to make its next attempt.
type ParkedDelivery struct {
	webhook.Due
	// EventMissing says that the event is not recorded yet: only its tenant, id, sequence and times are set.
	EventMissing bool
}

// Parked returns the hook's parked deliveries in the order of their events, beginning after one sequence of the OMS
// stream and up to another: at most limit, and no more than fit into some megabytes, but for the first. Their Hook is
// not set.
func (d *DB) Parked(ctx context.Context, hook uuid.UUID, after, upTo uint64, limit int) ([]ParkedDelivery, error) {
	var rows []struct {
		ID             uuid.UUID      `db:"id"`
		Tenant         string         `db:"tenant"`
		EventID        string         `db:"event_id"`
		EventSeq       int64          `db:"event_seq"`
		EventType      string         `db:"event_type"`
		Entity         string         `db:"entity"`
		PublishedAt    time.Time      `db:"published_at"`
		Attempts       int            `db:"attempts"`
		RoundAttempts  int            `db:"round_attempts"`
		RoundStartedAt sql.NullTime   `db:"round_started_at"`
		ParkedAt       time.Time      `db:"updated_at"`
		Replay         bool           `db:"replay"`
		Time           sql.NullTime   `db:"time"`
		Context        sql.NullString `db:"context"`
		ConfigFilter   sql.NullString `db:"config_filter"`
		Data           sql.NullString `db:"data"`
		Traceparent    sql.NullString `db:"traceparent"`
		CloudEvent     *string        `db:"cloud_event"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, tenant, event_id, event_seq, event_type, entity, published_at, attempts, round_attempts, round_started_at,
			updated_at, replay, time, context, config_filter, data, traceparent, cloud_event
		FROM (
			SELECT d.*, e.time, e.context, e.config_filter, e.data, e.traceparent, e.cloud_event,
				sum(coalesce(octet_length(e.data), 0)) OVER (ORDER BY d.event_seq ROWS UNBOUNDED PRECEDING)
					- coalesce(octet_length(e.data), 0) AS before
			FROM (
				SELECT * FROM deliveries WHERE hook_id = $1 AND state = 'parked' AND event_seq > $2 AND event_seq <= $3
				ORDER BY event_seq LIMIT $4
			) d LEFT JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id AND e.published_at = d.published_at
		) page WHERE before < $5 ORDER BY event_seq`,
		hook, int64(after), int64(min(upTo, 1<<62)), limit, maxParkedBytes) //nolint:gosec // a stream's sequence fits
	if err != nil {
		return nil, translate(fmt.Errorf("list parked deliveries of hook %s: %w", hook, err))
	}
	list := make([]ParkedDelivery, len(rows))
	for i, r := range rows {
		e := &webhook.Event{
			ID: r.EventID, Tenant: r.Tenant, Type: r.EventType, Time: r.Time.Time.UTC(), PublishedAt: r.PublishedAt.UTC(),
			Seq: webhook.Sequence(r.EventSeq), Entity: r.Entity, Data: []byte(r.Data.String), Traceparent: r.Traceparent.String, //nolint:gosec // never negative
			CloudEvent: optionalBytes(r.CloudEvent),
		}
		if r.Context.Valid {
			e.Context = []byte(r.Context.String)
		}
		if r.ConfigFilter.Valid {
			e.ConfigFilter = []byte(r.ConfigFilter.String)
		}
		round := webhook.Round{Retries: r.RoundAttempts, PublishedAt: e.PublishedAt}
		if r.RoundStartedAt.Valid {
			round.StartedAt = r.RoundStartedAt.Time.UTC()
		}
		list[i] = ParkedDelivery{
			Due:          webhook.Due{ID: r.ID, Event: e, Attempts: r.Attempts, Round: round, ParkedAt: r.ParkedAt.UTC(), Replay: r.Replay},
			EventMissing: !r.Data.Valid,
		}
	}
	return list, nil
}

// WaitingEntities lists the entities of the hook's deliveries that wait for the time of their next attempt.
func (d *DB) WaitingEntities(ctx context.Context, hook uuid.UUID) ([]string, error) {
	var entities []string
	err := d.db.SelectContext(ctx, &entities, `SELECT DISTINCT entity FROM deliveries WHERE hook_id = $1 AND state = 'waiting'`, hook)
	if err != nil {
		return nil, translate(fmt.Errorf("list waiting entities of hook %s: %w", hook, err))
	}
	return entities, nil
}

// Lease is the right to do something alone, until it expires.
type Lease struct {
	Name   string
	Holder string
	// Fence grows with each new holder.
	Fence int64
}

// AcquireLease takes the lease if nobody has it, or the one who had it let it expire. ok is false where another has it.
func (d *DB) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (lease Lease, ok bool, err error) {
	lease = Lease{Name: name, Holder: holder}
	err = d.db.GetContext(ctx, &lease.Fence, `
		INSERT INTO leases AS l (name, holder, fence, expires_at) VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 microsecond')
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = l.fence + 1, expires_at = excluded.expires_at
		WHERE l.expires_at < clock_timestamp() RETURNING fence`, name, holder, ttl.Microseconds())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return lease, false, nil
	case err != nil:
		return lease, false, translate(fmt.Errorf("acquire lease %s: %w", name, err))
	}
	return lease, true, nil
}

// RenewLease prolongs the lease; ok is false where somebody else has it by now.
func (d *DB) RenewLease(ctx context.Context, l Lease, ttl time.Duration) (ok bool, err error) {
	result, err := d.db.ExecContext(ctx, `
		UPDATE leases SET expires_at = clock_timestamp() + $4 * interval '1 microsecond'
		WHERE name = $1 AND holder = $2 AND fence = $3`, l.Name, l.Holder, l.Fence, ttl.Microseconds())
	if err != nil {
		return false, translate(fmt.Errorf("renew lease %s: %w", l.Name, err))
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// ReleaseLease lets others have the lease at once.
func (d *DB) ReleaseLease(ctx context.Context, l Lease) error {
	_, err := d.db.ExecContext(ctx, `
		UPDATE leases SET expires_at = '-infinity' WHERE name = $1 AND holder = $2 AND fence = $3`, l.Name, l.Holder, l.Fence)
	if err != nil {
		return translate(fmt.Errorf("release lease %s: %w", l.Name, err))
	}
	return nil
}

// EnsureDay makes the partitions of the UTC day that the time is in.
func (d *DB) EnsureDay(ctx context.Context, at time.Time) error {
	if _, err := d.db.ExecContext(ctx, `SELECT whisperer_ensure_day($1::date)`, at.UTC().Format(time.DateOnly)); err != nil {
		return translate(fmt.Errorf("make partitions: %w", err))
	}
	return nil
}
