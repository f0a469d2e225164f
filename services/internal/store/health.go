package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Failing is a hook whose attempts have all failed for some time, or one that has recovered from that.
type Failing struct {
	HookID uuid.UUID `db:"hook_id"`
	Tenant string    `db:"tenant"`
	Name   string    `db:"name"`
	URL    string    `db:"target_url"`
	// Version is the version of the hook to which the failures belong.
	Version int64 `db:"version"`
	// Since is when the first of the failures was; nil if the hook has recovered.
	Since *time.Time `db:"failing_since"`
	// LastFailureAt is when the latest of the failures was.
	LastFailureAt *time.Time `db:"last_failure_at"`
	Failures      int        `db:"failures"`
	LastClass     string     `db:"last_class"`
	// Warned is the last percentage, on the way to being disabled, of which people were warned; 0 for none.
	Warned int `db:"warned"`
}

// ListFailing lists the active hooks that have been failing since before the given time, and those that recovered after a
// warning.
func (d *HealthStore) ListFailing(ctx context.Context, before time.Time) ([]Failing, error) {
	var list []Failing
	err := d.db.SelectContext(ctx, &list, `
		SELECT h.hook_id, h.tenant, k.name, k.target_url, k.version, h.failing_since, h.last_failure_at, h.failures, h.last_class, h.warned
		FROM hook_health h JOIN hooks k ON k.id = h.hook_id
		WHERE k.status = 'active' AND (h.failing_since < $1 OR h.failing_since IS NULL AND h.warned > 0)`, before)
	if err != nil {
		return nil, translate(fmt.Errorf("list failing hooks: %w", err))
	}
	return list, nil
}

// CountReach counts the hooks that had attempts since the given time, and those among them that fail to connect.
func (d *HealthStore) CountReach(ctx context.Context, since time.Time) (tried, unreachable int, err error) {
	var row struct {
		Tried       int `db:"tried"`
		Unreachable int `db:"unreachable"`
	}
	err = d.db.GetContext(ctx, &row, `
		SELECT count(*) AS tried, count(*) FILTER (WHERE failing_since IS NOT NULL AND last_class IN
			('dns_error', 'connection_refused', 'connect_timeout', 'connection_reset', 'connection_error')) AS unreachable
		FROM hook_health WHERE last_attempt_at > $1`, since)
	if err != nil {
		return 0, 0, translate(fmt.Errorf("count reachable hooks: %w", err))
	}
	return row.Tried, row.Unreachable, nil
}

// forgetFailures resets the failures of hooks: what happened before a hook was resumed, or at another URL, does not count, even
// if it is recorded later.
func forgetFailures(ctx context.Context, tx *sqlx.Tx, hooks ...uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE hook_health SET failing_since = NULL, last_failure_at = NULL, failures = 0, warned = 0,
			last_success_at = greatest(last_success_at, clock_timestamp())
		WHERE hook_id IN (SELECT hook_id FROM hook_health WHERE hook_id = ANY($1::uuid[]) ORDER BY hook_id FOR UPDATE)`, textArray(uuidList(hooks)))
	if err != nil {
		return fmt.Errorf("forget failures of hooks: %w", err)
	}
	return nil
}

// NoteWarning stores the percentage, on the way to being disabled, of which people were warned, and writes it to the audit log.
func (d *HealthStore) NoteWarning(ctx context.Context, actor Actor, f Failing, percent int) error {
	return d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		if _, err := tx.ExecContext(ctx, `UPDATE hook_health SET warned = $2 WHERE hook_id = $1`, f.HookID, percent); err != nil {
			return audited{}, fmt.Errorf("remember warning of hook %s: %w", f.HookID, err)
		}
		action := "hook.failing"
		if percent == 0 {
			action = "hook.recovered"
		}
		return audited{
			tenant: f.Tenant, action: action, subject: f.HookID.String(),
			detail: map[string]any{"percent": percent, "failures": f.Failures},
		}, nil
	})
}

// LostDelivery is a delivery whose next attempt is long overdue.
type LostDelivery struct {
	DeliveryKey
	HookID  uuid.UUID
	EventID string
	// Since is since when it is overdue, for ListOverdue.
	Since time.Time
}

// ListOverdue lists deliveries whose next attempt was due before the given time, or that a worker left in the middle of an
// attempt before then, the longest overdue first. It begins after a delivery of an earlier list, or with the zero value.
func (d *QueueStore) ListOverdue(ctx context.Context, before time.Time, after LostDelivery, limit int) ([]LostDelivery, error) {
	var rows []lostRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, published_at, hook_id, event_id, coalesce(next_at, updated_at) AS since FROM deliveries
		WHERE state = 'waiting' AND (next_at < $1 OR next_at IS NULL AND updated_at < $1) -- so that an index says which
			AND (coalesce(next_at, updated_at), id, published_at) > ($2, $3, $4)
		ORDER BY since, id, published_at LIMIT $5`, before, after.Since, after.ID, after.PublishedAt, limit)
	if err != nil {
		return nil, translate(fmt.Errorf("list overdue deliveries: %w", err))
	}
	return lost(rows), nil
}

type lostRow struct {
	ID          uuid.UUID `db:"id"`
	PublishedAt time.Time `db:"published_at"`
	HookID      uuid.UUID `db:"hook_id"`
	EventID     string    `db:"event_id"`
	Since       time.Time `db:"since"`
}

func lost(rows []lostRow) []LostDelivery {
	list := make([]LostDelivery, len(rows))
	for i, r := range rows {
		list[i] = LostDelivery{DeliveryKey: DeliveryKey{ID: r.ID, PublishedAt: r.PublishedAt.UTC()}, HookID: r.HookID, EventID: r.EventID, Since: r.Since}
	}
	return list
}

// ParkLost parks a delivery that is still overdue, so that a drainer makes its attempt. It reports whether it was still
// overdue.
func (d *QueueStore) ParkLost(ctx context.Context, l LostDelivery, before time.Time, reason string) (bool, error) {
	var parked bool
	err := d.db.GetContext(ctx, &parked, `
		WITH lost AS (
			UPDATE deliveries SET state = 'parked', reason = $4, next_at = NULL, updated_at = clock_timestamp()
			WHERE id = $1 AND published_at = $2 AND state = 'waiting' AND (next_at < $3 OR next_at IS NULL AND updated_at < $3)
			RETURNING hook_id),
		touched AS (
			INSERT INTO backlogs (hook_id) SELECT hook_id FROM lost
			ON CONFLICT (hook_id) DO UPDATE SET touched_at = clock_timestamp() RETURNING hook_id)
		SELECT EXISTS (SELECT FROM touched)`, l.ID, l.PublishedAt, before, reason)
	if err != nil {
		return false, translate(fmt.Errorf("park lost delivery %s: %w", l.ID, err))
	}
	return parked, nil
}

// ListUnqueued lists deliveries that the ledger has had as parked since before the given time, but that are not in the parked
// queue. The facts about them are on their way to the ledger, or were lost with its stream.
func (d *QueueStore) ListUnqueued(ctx context.Context, before time.Time, limit int) ([]LostDelivery, error) {
	var rows []lostRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, published_at, hook_id, event_id FROM deliveries d
		WHERE state = 'parked' AND updated_at < $1 AND NOT EXISTS (
			SELECT FROM parked p WHERE p.hook_id = d.hook_id AND p.event_seq = d.event_seq AND p.id = d.id AND p.published_at = d.published_at)
		LIMIT $2`, before, limit)
	if err != nil {
		return nil, translate(fmt.Errorf("list parked deliveries that are not in the queue: %w", err))
	}
	return lost(rows), nil
}

// Requeue puts a delivery of ListUnqueued into the parked queue if it is still parked, and reports whether it was. All facts
// that were published before the listing must be recorded first.
func (d *QueueStore) Requeue(ctx context.Context, l LostDelivery) (bool, error) {
	result, err := d.db.ExecContext(ctx, `
		INSERT INTO parked (hook_id, event_seq, id, published_at, tenant, event_id, event_type, entity, reason, attempts,
			round_attempts, round_started_at, parked_at, replay)
		SELECT hook_id, event_seq, id, published_at, tenant, event_id, event_type, entity, reason, attempts, round_attempts,
			round_started_at, updated_at, replay
		FROM deliveries WHERE id = $1 AND published_at = $2 AND state = 'parked' FOR SHARE
		ON CONFLICT DO NOTHING`, l.ID, l.PublishedAt)
	if err != nil {
		return false, translate(fmt.Errorf("put delivery %s back into the parked queue: %w", l.ID, err))
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// GiveUp makes those deliveries of an event dead whose attempts were begun and not finished, because each worker that began one
// died. It also records the last worker's attempt as unknown.
func (d *LedgerStore) GiveUp(ctx context.Context, at webhook.Sequence, publishedAt time.Time) error {
	_, err := d.db.ExecContext(ctx, `
		WITH given_up AS (
			UPDATE deliveries SET state = 'dead', reason = $3, attempts = attempts + 1, updated_at = clock_timestamp()
			WHERE state = 'waiting' AND next_at IS NULL AND event_seq = $1 AND published_at = $2
			RETURNING id, published_at, attempts)
		INSERT INTO attempts (published_at, delivery_id, number, tenant, hook_id, started_at, duration_us, outcome, error, replay, method, url)
		SELECT g.published_at, g.id, g.attempts, a.tenant, a.hook_id, clock_timestamp(), 0, 'unknown', a.error, a.replay, a.method, a.url
		FROM given_up g JOIN attempts a ON a.delivery_id = g.id AND a.published_at = g.published_at AND a.number = g.attempts - 1`,
		int64(at), publishedAt, webhook.ReasonPoison) //nolint:gosec // a stream's sequence fits
	if err != nil {
		return translate(fmt.Errorf("give up deliveries of event %d: %w", at.Number(), err))
	}
	return nil
}
