package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Counts are numbers of deliveries by state.
type Counts struct {
	Delivered int
	// Open counts those that are waiting or parked.
	Open int
	// Dead counts those that will not be attempted again by themselves.
	Dead int
}

// Total returns their sum.
func (c Counts) Total() int { return c.Delivered + c.Open + c.Dead }

// Bucket counts the deliveries of the events that were published in the hour from At on.
type Bucket struct {
	Counts

	At time.Time
}

// countStates are the columns of Counts. Cancelled and superseded deliveries are not counted.
const countStates = `count(*) FILTER (WHERE state = 'delivered') AS delivered,
	count(*) FILTER (WHERE state IN ('waiting', 'parked')) AS open, count(*) FILTER (WHERE state = 'dead') AS dead`

type bucketRow struct {
	HookID    uuid.UUID `db:"hook_id"`
	At        time.Time `db:"at"`
	Delivered int       `db:"delivered"`
	Open      int       `db:"open"`
	Dead      int       `db:"dead"`
}

func (r *bucketRow) bucket() Bucket {
	return Bucket{At: r.At.UTC(), Counts: Counts{Delivered: r.Delivered, Open: r.Open, Dead: r.Dead}}
}

// CountPerHook counts the deliveries of some hooks, which must belong to one tenant, of events published since the given time.
// The result is by hook and UTC hour, earliest hour first. Hours without deliveries are left out.
func (d *HistoryStore) CountPerHook(ctx context.Context, hooks []uuid.UUID, since time.Time) (map[uuid.UUID][]Bucket, error) {
	var rows []bucketRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT hook_id, date_trunc('hour', published_at, 'UTC') AS at, `+countStates+`
		FROM deliveries WHERE hook_id = ANY($1::uuid[]) AND published_at >= $2 GROUP BY 1, 2 ORDER BY 1, 2`,
		textArray(uuidList(hooks)), since)
	if err != nil {
		return nil, translate(fmt.Errorf("count deliveries per hour: %w", err))
	}
	buckets := make(map[uuid.UUID][]Bucket, len(hooks))
	for i := range rows {
		buckets[rows[i].HookID] = append(buckets[rows[i].HookID], rows[i].bucket())
	}
	return buckets, nil
}

// CountOpen counts a tenant's waiting and parked deliveries of any age, and its other undelivered ones, such as dead ones, of
// events published since the given time.
func (d *HistoryStore) CountOpen(ctx context.Context, tenant string, since time.Time) (map[webhook.DeliveryState]int, error) {
	var rows []struct {
		State string `db:"state"`
		N     int    `db:"n"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT state, count(*) AS n FROM deliveries
		WHERE tenant = $1 AND state <> 'delivered' AND (state IN ('waiting', 'parked') OR published_at >= $2) GROUP BY state`,
		tenant, since)
	if err != nil {
		return nil, translate(fmt.Errorf("count open deliveries: %w", err))
	}
	counts := make(map[webhook.DeliveryState]int, len(rows))
	for _, r := range rows {
		counts[webhook.DeliveryState(r.State)] = r.N
	}
	return counts, nil
}

// CountByState counts a tenant's deliveries that match the filter, by state.
func (d *HistoryStore) CountByState(ctx context.Context, tenant string, f DeliveryFilter) (map[webhook.DeliveryState]int, error) {
	c := &clauses{}
	f.conditions(c, tenant)
	var rows []struct {
		State webhook.DeliveryState `db:"state"`
		N     int                   `db:"n"`
	}
	err := d.db.SelectContext(ctx, &rows, `SELECT state, count(*) AS n FROM deliveries WHERE `+c.where()+` GROUP BY state`, c.args...)
	if err != nil {
		return nil, translate(fmt.Errorf("count deliveries by state: %w", err))
	}
	counts := make(map[webhook.DeliveryState]int, len(rows))
	for _, r := range rows {
		counts[r.State] = r.N
	}
	return counts, nil
}

// Durations are the durations of attempts.
type Durations struct {
	// Attempts is the number of attempts measured.
	Attempts int
	P50, P99 time.Duration
}

// MeasureDurations measures the answered attempts of a tenant's newest deliveries since the given time, at most durationSample
// deliveries.
func (d *HistoryStore) MeasureDurations(ctx context.Context, tenant string, since time.Time) (Durations, error) {
	var s Durations
	var p50, p99 float64
	err := d.db.QueryRowxContext(ctx, `
		SELECT count(*), COALESCE(percentile_cont(0.5) WITHIN GROUP (ORDER BY a.duration_us), 0),
			COALESCE(percentile_cont(0.99) WITHIN GROUP (ORDER BY a.duration_us), 0)
		FROM (
			SELECT id, published_at FROM deliveries WHERE tenant = $1 AND published_at >= $2
			ORDER BY published_at DESC, id DESC LIMIT $3
		) d JOIN attempts a ON a.delivery_id = d.id AND a.published_at = d.published_at
		WHERE a.published_at >= $2 AND a.status > 0`, tenant, since, durationSample).Scan(&s.Attempts, &p50, &p99)
	if err != nil {
		return s, translate(fmt.Errorf("measure attempts of tenant %s: %w", tenant, err))
	}
	s.P50, s.P99 = fromMicros(int64(p50)), fromMicros(int64(p99))
	return s, nil
}

// CountResting counts a tenant's active hooks that have deliveries parked by an open circuit breaker.
func (d *HistoryStore) CountResting(ctx context.Context, tenant string) (int, error) {
	var n int
	err := d.db.GetContext(ctx, &n, `
		SELECT count(*) FROM hooks k
		WHERE k.tenant = $1 AND k.status = 'active' AND EXISTS (
			SELECT FROM parked p WHERE p.hook_id = k.id AND NOT p.waiting AND p.reason = $2)`, tenant, string(webhook.ReasonBreaker))
	if err != nil {
		return 0, translate(fmt.Errorf("count resting hooks of tenant %s: %w", tenant, err))
	}
	return n, nil
}

// Unhealthy is a hook that needs attention: its attempts fail, or it was disabled.
type Unhealthy struct {
	HookID uuid.UUID
	Name   string
	URL    string
	Status webhook.HookStatus
	// DisabledReason is empty unless the hook is disabled.
	DisabledReason string
	// Since is when the first failure without a later success was; zero if that is not known of a disabled hook.
	Since     time.Time
	Failures  int
	LastClass webhook.ErrorClass
}

// ListUnhealthy lists at most limit of a tenant's hooks: first the active ones whose attempts fail, longest first, and then the
// disabled ones.
func (d *HistoryStore) ListUnhealthy(ctx context.Context, tenant string, limit int) ([]Unhealthy, error) {
	var rows []struct {
		HookID         uuid.UUID    `db:"id"`
		Name           string       `db:"name"`
		URL            string       `db:"target_url"`
		Status         string       `db:"status"`
		DisabledReason string       `db:"disabled_reason"`
		Since          sql.NullTime `db:"failing_since"`
		Failures       int          `db:"failures"`
		LastClass      string       `db:"last_class"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT k.id, k.name, k.target_url, k.status, k.disabled_reason, h.failing_since, COALESCE(h.failures, 0) AS failures,
			COALESCE(h.last_class, '') AS last_class
		FROM hooks k LEFT JOIN hook_health h ON h.hook_id = k.id
		WHERE k.tenant = $1 AND k.deleted_at IS NULL AND (k.status = 'disabled' OR k.status = 'active' AND h.failing_since IS NOT NULL)
		ORDER BY k.status, h.failing_since NULLS LAST, k.id LIMIT $2`, tenant, limit)
	if err != nil {
		return nil, translate(fmt.Errorf("list unhealthy hooks: %w", err))
	}
	list := make([]Unhealthy, len(rows))
	for i, r := range rows {
		list[i] = Unhealthy{
			HookID: r.HookID, Name: r.Name, URL: r.URL, Status: webhook.HookStatus(r.Status), DisabledReason: r.DisabledReason,
			Failures: r.Failures, LastClass: webhook.ErrorClass(r.LastClass),
		}
		if r.Since.Valid {
			list[i].Since = r.Since.Time.UTC()
		}
	}
	return list, nil
}
