package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// sharedHolder is the holder of the leases of hooks that several workers drain in parallel. It differs from the name that
// programs before the parked queue used for that, so that both kinds of programs exclude each other.
const sharedHolder = "(side by side)"

// ErrExpired reports that a drainer was not renewed for too long: others may have taken its deliveries by now.
var ErrExpired = errors.New("drainer has expired")

// DrainLease is a drainer's right to take deliveries of a hook, alone or in parallel with others.
type DrainLease struct {
	Hook  uuid.UUID
	Alone bool
	Fence int64
	// Foreign reports that a program which does not know the parked queue had the hook before. Its facts must reach the ledger
	// before anything is taken.
	Foreign bool
	// Expired reports that a drainer which had the hook alone before did not release it. The facts about what it sent may not
	// have reached the ledger yet.
	Expired bool
	// LastAttemptAt is when the hook's last known attempt began, by the clock of its worker; zero for none.
	LastAttemptAt time.Time
}

const leasePrefix = "drain:"

func (l DrainLease) name() string { return leasePrefix + l.Hook.String() }

// OpenDrainer registers a drainer, which others consider alive for the given time.
func (d *QueueStore) OpenDrainer(ctx context.Context, worker string, ttl time.Duration) (uuid.UUID, error) {
	id := uuid.New()
	_, err := d.db.ExecContext(ctx, `
		WITH old AS (DELETE FROM drainers WHERE expires_at < clock_timestamp() - interval '1 hour')
		INSERT INTO drainers (id, worker, expires_at) VALUES ($1, $2, clock_timestamp() + $3 * interval '1 microsecond')`,
		id, worker, ttl.Microseconds())
	if err != nil {
		return uuid.Nil, translate(fmt.Errorf("open drainer: %w", err))
	}
	return id, nil
}

// CloseDrainer removes a drainer's registration, and so gives back everything that it has taken.
func (d *QueueStore) CloseDrainer(ctx context.Context, drainer uuid.UUID) error {
	if _, err := d.db.ExecContext(ctx, `DELETE FROM drainers WHERE id = $1`, drainer); err != nil {
		return translate(fmt.Errorf("close drainer: %w", err))
	}
	return nil
}

// RenewDrainer extends a drainer's registration and its leases, and stores the times of their hooks' last attempts. The error
// is ErrExpired if the drainer has already expired.
func (d *QueueStore) RenewDrainer(ctx context.Context, drainer uuid.UUID, leases []DrainLease, ttl time.Duration) error {
	return d.transact(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, `
			UPDATE drainers SET expires_at = clock_timestamp() + $2 * interval '1 microsecond'
			WHERE id = $1 AND expires_at > clock_timestamp()`, drainer, ttl.Microseconds())
		if err != nil {
			return fmt.Errorf("renew drainer: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrExpired, err)
		}
		if len(leases) == 0 {
			return nil
		}
		names, fences, attempts := leaseArrays(leases)
		_, err = tx.ExecContext(ctx, `
			UPDATE leases l SET expires_at = clock_timestamp() + $4 * interval '1 microsecond',
				last_attempt_at = greatest(l.last_attempt_at, k.attempt_at)
			FROM (
				SELECT l.name, k.attempt_at FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS k (name, fence, attempt_at)
				JOIN leases l ON l.name = k.name AND l.fence = k.fence ORDER BY l.name FOR UPDATE OF l
			) k WHERE l.name = k.name`, pq.Array(names), pq.Array(fences), pq.Array(attempts), ttl.Microseconds())
		if err != nil {
			return fmt.Errorf("renew leases: %w", err)
		}
		return nil
	})
}

func leaseArrays(leases []DrainLease) (names []string, fences []int64, attempts []*string) {
	for _, l := range leases {
		names, fences = append(names, l.name()), append(fences, l.Fence)
		var at *string
		if !l.LastAttemptAt.IsZero() {
			text := l.LastAttemptAt.Format(time.RFC3339Nano)
			at = &text
		}
		attempts = append(attempts, at)
	}
	return names, fences, attempts
}

// LeaseHooks takes the leases of those hooks that no other drainer holds, and returns these leases. A lease that is not taken
// alone is shared with other drainers that do not need it alone either.
func (d *QueueStore) LeaseHooks(ctx context.Context, drainer uuid.UUID, worker string, wanted []DrainLease, ttl time.Duration) ([]DrainLease, error) {
	names, holders := make([]string, len(wanted)), make([]string, len(wanted))
	alone := make(map[uuid.UUID]bool, len(wanted))
	for i, l := range wanted {
		names[i], holders[i], alone[l.Hook] = l.name(), worker, l.Alone
		if !l.Alone {
			holders[i] = sharedHolder
		}
	}
	var rows []struct {
		Name    string     `db:"name"`
		Fence   int64      `db:"fence"`
		Foreign bool       `db:"foreign_before"`
		Expired bool       `db:"expired_before"`
		Last    *time.Time `db:"last"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		INSERT INTO leases AS l (name, holder, fence, expires_at, queue_fence, sharers)
		SELECT name, holder, 1, clock_timestamp() + $3 * interval '1 microsecond', 1, CASE WHEN holder = $4 THEN ARRAY[$5::uuid] ELSE '{}' END
		FROM unnest($1::text[], $2::text[]) AS k (name, holder)
		WHERE NOT EXISTS ( -- most are others': a conflict costs more
			SELECT FROM leases o WHERE o.name = k.name AND o.expires_at >= clock_timestamp() AND (o.holder <> $4 OR k.holder <> $4))
		ORDER BY name
		ON CONFLICT (name) DO UPDATE SET (holder, fence, expires_at, queue_fence, foreign_before, sharers) = (
			SELECT excluded.holder, l.fence + (NOT joins)::int, excluded.expires_at, l.fence + (NOT joins)::int,
				CASE WHEN joins THEN l.foreign_before ELSE l.queue_fence IS DISTINCT FROM l.fence END,
				CASE WHEN joins THEN array_append(array_remove(l.sharers, $5), $5) ELSE excluded.sharers END
			FROM (SELECT l.holder = $4 AND excluded.holder = $4 AND l.expires_at >= clock_timestamp()) j (joins))
		WHERE l.expires_at < clock_timestamp() OR l.holder = $4 AND excluded.holder = $4
		RETURNING name, fence, foreign_before,
			EXISTS (SELECT FROM leases o WHERE o.name = l.name AND o.expires_at > '-infinity') AS expired_before, -- of the row as it was
			greatest(last_attempt_at, (SELECT h.last_attempt_at FROM hook_health h WHERE h.hook_id = substr(name, 7)::uuid)) AS last`,
		pq.Array(names), pq.Array(holders), ttl.Microseconds(), sharedHolder, drainer)
	if err != nil {
		return nil, translate(fmt.Errorf("take leases: %w", err))
	}
	list := make([]DrainLease, 0, len(rows))
	for _, r := range rows {
		hook, err := uuid.Parse(strings.TrimPrefix(r.Name, leasePrefix))
		if err != nil {
			return nil, fmt.Errorf("take leases: %w", err)
		}
		l := DrainLease{Hook: hook, Alone: alone[hook], Fence: r.Fence, Foreign: r.Foreign, Expired: r.Expired && alone[hook]}
		if r.Last != nil {
			l.LastAttemptAt = *r.Last
		}
		list = append(list, l)
	}
	return list, nil
}

// ReleaseHooks releases leases, so that others can take them at once. A shared lease is released when its last drainer releases
// it.
func (d *QueueStore) ReleaseHooks(ctx context.Context, drainer uuid.UUID, leases []DrainLease) error {
	names, fences, attempts := leaseArrays(leases)
	_, err := d.db.ExecContext(ctx, `
		UPDATE leases l SET sharers = array_remove(l.sharers, $4), last_attempt_at = greatest(l.last_attempt_at, k.attempt_at),
			expires_at = CASE WHEN array_remove(l.sharers, $4) = '{}' THEN '-infinity' ELSE l.expires_at END
		FROM (
			SELECT l.name, k.attempt_at FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS k (name, fence, attempt_at)
			JOIN leases l ON l.name = k.name AND l.fence = k.fence ORDER BY l.name FOR UPDATE OF l
		) k WHERE l.name = k.name`, pq.Array(names), pq.Array(fences), pq.Array(attempts), drainer)
	if err != nil {
		return translate(fmt.Errorf("release leases: %w", err))
	}
	return nil
}

// NoteAttempts stores when hooks had their last attempts, so that whoever drains them next keeps their rates.
func (d *QueueStore) NoteAttempts(ctx context.Context, leases []DrainLease) error {
	names, fences, attempts := leaseArrays(leases)
	_, err := d.db.ExecContext(ctx, `
		UPDATE leases l SET last_attempt_at = greatest(l.last_attempt_at, k.attempt_at)
		FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) AS k (name, fence, attempt_at)
		WHERE l.name = k.name AND l.fence = k.fence`, pq.Array(names), pq.Array(fences), pq.Array(attempts))
	if err != nil {
		return translate(fmt.Errorf("remember last attempts: %w", err))
	}
	return nil
}

// FindBackfills returns, for each of the hooks with a running backfill of earlier events, the sequence in the OMS stream that
// the backfill has reached. Later events of an ordered hook have to wait.
func (d *QueueStore) FindBackfills(ctx context.Context, hooks []uuid.UUID) (map[uuid.UUID]uint64, error) {
	var rows []struct {
		Hook   uuid.UUID `db:"hook_id"`
		Cursor uuid.UUID `db:"cursor_id"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT hook_id, cursor_id FROM jobs WHERE hook_id = ANY($1::uuid[]) AND state = 'running' AND include_missing AND states = '{}'`,
		textArray(uuidList(hooks)))
	if err != nil {
		return nil, translate(fmt.Errorf("look for backfills: %w", err))
	}
	upTo := make(map[uuid.UUID]uint64, len(rows)) // a hook has one job at a time
	for _, r := range rows {
		cursor := Position{ID: r.Cursor}
		upTo[r.Hook] = uint64(cursor.seq()) //nolint:gosec // never negative
	}
	return upTo, nil
}
