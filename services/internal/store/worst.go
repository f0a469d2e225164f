package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// These bound what LongestBacklogs looks at: the hooks with parked deliveries, the rows per hook to find those with the most,
// and the rows counted of each of those.
const (
	backlogHooks   = 1000
	backlogSample  = 100
	backlogCounted = 10_000
)

// Backlog describes the parked deliveries of an active hook.
type Backlog struct {
	HookID uuid.UUID `db:"hook_id"`
	Tenant string    `db:"tenant"`
	// Parked is the number of parked deliveries, at most 10,000.
	Parked int `db:"parked"`
	// Seconds is how long, among the first deliveries in line, the one that was parked first has been parked.
	Seconds float64 `db:"seconds"`
}

// LongestBacklogs lists the active hooks with the most parked deliveries, most first. It compares at most backlogSample
// deliveries per hook; of hooks that have as many, it prefers those whose deliveries have been parked longest. It looks at no
// more than backlogHooks hooks.
func (d *QueueStore) LongestBacklogs(ctx context.Context, limit int) ([]Backlog, error) {
	var list []Backlog
	err := d.db.SelectContext(ctx, &list, `
		WITH RECURSIVE queued AS (
			(SELECT hook_id FROM parked ORDER BY hook_id LIMIT 1)
			UNION ALL
			SELECT (SELECT p.hook_id FROM parked p WHERE p.hook_id > queued.hook_id ORDER BY p.hook_id LIMIT 1)
			FROM queued WHERE queued.hook_id IS NOT NULL),
		longest AS (
			SELECT h.id, h.tenant, s.since
			FROM (SELECT hook_id FROM queued WHERE hook_id IS NOT NULL LIMIT $2) q JOIN hooks h ON h.id = q.hook_id AND h.status = 'active'
			CROSS JOIN LATERAL (
				SELECT count(*) AS n, min(parked_at) AS since FROM (
					SELECT parked_at FROM parked p WHERE p.hook_id = h.id AND NOT waiting ORDER BY event_seq LIMIT $3) p) s
			WHERE s.n > 0 ORDER BY s.n DESC, s.since LIMIT $1)
		SELECT id AS hook_id, tenant, GREATEST(0, extract(epoch FROM clock_timestamp() - since)) AS seconds,
			(SELECT count(*) FROM (SELECT FROM parked p WHERE p.hook_id = longest.id AND NOT waiting LIMIT $4) p) AS parked
		FROM longest ORDER BY parked DESC, since`, limit, backlogHooks, backlogSample, backlogCounted)
	if err != nil {
		return nil, translate(fmt.Errorf("list longest backlogs: %w", err))
	}
	return list, nil
}

// LongestFailing lists the active hooks that have been failing longest, longest first, and counts all active hooks that fail.
func (d *HealthStore) LongestFailing(ctx context.Context, limit int) (list []Failing, failing int, err error) {
	err = d.db.SelectContext(ctx, &list, `
		SELECT h.hook_id, h.tenant, k.name, k.target_url, k.version, h.failing_since, h.last_failure_at, h.failures, h.last_class, h.warned
		FROM hook_health h JOIN hooks k ON k.id = h.hook_id
		WHERE k.status = 'active' AND h.failing_since IS NOT NULL ORDER BY h.failing_since, h.hook_id LIMIT $1`, limit)
	if err == nil {
		err = d.db.GetContext(ctx, &failing, `
			SELECT count(*) FROM hook_health h JOIN hooks k ON k.id = h.hook_id WHERE k.status = 'active' AND h.failing_since IS NOT NULL`)
	}
	if err != nil {
		return nil, 0, translate(fmt.Errorf("list failing hooks: %w", err))
	}
	return list, failing, nil
}

// Age returns how long the hook has been failing, or 0 if it is not.
func (f *Failing) Age(now time.Time) time.Duration {
	if f.Since == nil {
		return 0
	}
	return max(0, now.Sub(*f.Since))
}
