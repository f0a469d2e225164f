package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// durationSample is the number of the newest deliveries from whose attempts durations are measured.
const durationSample = 1000

// HookStats are statistics of a hook.
type HookStats struct {
	// Day and Month count the deliveries of events of the last 24 hours and of the last 30 days, by state.
	Day, Month map[webhook.DeliveryState]int
	// Parked and Waiting are the current numbers of such deliveries, of any age.
	Parked, Waiting int
	// Attempts is the number of attempts from which P50 and P99 are computed: the answered ones of the newest deliveries of the
	// last 24 hours, at most 1,000 deliveries.
	Attempts int
	P50, P99 time.Duration
	Failure
	// Reasons counts the parked deliveries by reason.
	Reasons map[webhook.Reason]int
	// NextAt is when the earliest retry is due; zero if none waits.
	NextAt time.Time
	// Answers counts the attempts of the same deliveries, including unanswered ones, by HTTP status or, without one, by error
	// class.
	Answers []AnswerCount
	// FilterDay, FilterMonth, TransformDay and TransformMonth count the events of the last 24 hours and 30 days for which the
	// filter, or the transform, could not be evaluated.
	FilterDay, FilterMonth, TransformDay, TransformMonth ExpressionFailures
}

// AnswerCount is the number of attempts with the same response.
type AnswerCount struct {
	Status int                `db:"status"`
	Class  webhook.ErrorClass `db:"error_class"`
	N      int                `db:"n"`
}

// HookStats computes the statistics of a hook.
func (d *HistoryStore) HookStats(ctx context.Context, tenant string, hook uuid.UUID, now time.Time) (HookStats, error) {
	s := HookStats{}
	day := now.Add(-24 * time.Hour)
	if err := d.countHook(ctx, &s, tenant, hook, day, now.Add(-30*24*time.Hour)); err != nil {
		return s, err
	}
	var err error
	if s.FilterDay, s.FilterMonth, err = d.health().Failures(ctx, webhook.FilterExpression, hook, now); err != nil {
		return s, err
	}
	if s.TransformDay, s.TransformMonth, err = d.health().Failures(ctx, webhook.TransformExpression, hook, now); err != nil {
		return s, err
	}
	if err := d.openOf(ctx, &s, tenant, hook); err != nil {
		return s, err
	}
	if err := d.durations(ctx, &s, tenant, hook, day); err != nil {
		return s, err
	}
	if err := d.answers(ctx, &s, tenant, hook, day); err != nil {
		return s, err
	}
	s.Failure, err = d.Failure(ctx, tenant, hook)
	return s, err
}

// Failure says since when, and how, a hook's attempts have been failing.
type Failure struct {
	// FailingSince is when the first failure without a later success was; zero if the hook does not fail.
	FailingSince time.Time
	// Failures is the number of failures since then, and LastClass the class of the last one.
	Failures  int
	LastClass webhook.ErrorClass
}

// Failure reads whether a hook's attempts are failing.
func (d *HistoryStore) Failure(ctx context.Context, tenant string, hook uuid.UUID) (f Failure, err error) {
	var since sql.NullTime
	err = d.db.QueryRowxContext(ctx, `
		SELECT failing_since, failures, last_class FROM hook_health WHERE hook_id = $1 AND tenant = $2`, hook, tenant).
		Scan(&since, &f.Failures, &f.LastClass)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return f, translate(fmt.Errorf("read health of hook %s: %w", hook, err))
	case since.Valid:
		f.FailingSince = since.Time.UTC()
	}
	return f, nil
}

// openOf counts the parked deliveries by reason and the waiting ones, and reads when the next retry is due.
func (d *core) openOf(ctx context.Context, s *HookStats, tenant string, hook uuid.UUID) error {
	var next sql.NullTime
	err := d.db.QueryRowxContext(ctx, `
		SELECT count(*), min(next_at) FROM deliveries WHERE hook_id = $1 AND state = 'waiting' AND tenant = $2`, hook, tenant).
		Scan(&s.Waiting, &next)
	if err != nil {
		return translate(fmt.Errorf("count waiting deliveries of hook %s: %w", hook, err))
	}
	if next.Valid {
		s.NextAt = next.Time.UTC()
	}
	var rows []struct {
		Reason string `db:"reason"`
		N      int    `db:"n"`
	}
	err = d.db.SelectContext(ctx, &rows, `
		SELECT reason, count(*) AS n FROM parked WHERE hook_id = $1 AND NOT waiting AND tenant = $2 GROUP BY reason`, hook, tenant)
	if err != nil {
		return translate(fmt.Errorf("count parked deliveries of hook %s: %w", hook, err))
	}
	s.Reasons = make(map[webhook.Reason]int, len(rows))
	for _, r := range rows {
		s.Reasons[webhook.Reason(r.Reason)] += r.N
		s.Parked += r.N
	}
	return nil
}

// answers counts the attempts of the newest deliveries by response, most frequent first.
func (d *core) answers(ctx context.Context, s *HookStats, tenant string, hook uuid.UUID, since time.Time) error {
	err := d.db.SelectContext(ctx, &s.Answers, `
		SELECT a.status, a.error_class, count(*) AS n
		FROM (
			SELECT id, published_at FROM deliveries WHERE hook_id = $1 AND published_at >= $3 AND tenant = $2
			ORDER BY published_at DESC, id DESC LIMIT $4
		) d JOIN attempts a ON a.delivery_id = d.id AND a.published_at = d.published_at
		WHERE a.published_at >= $3 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2`, hook, tenant, since, durationSample)
	if err != nil {
		return translate(fmt.Errorf("count answers of hook %s: %w", hook, err))
	}
	return nil
}

// countHook counts the deliveries since day and since month, by state.
func (d *core) countHook(ctx context.Context, s *HookStats, tenant string, hook uuid.UUID, day, month time.Time) error {
	var rows []struct {
		State string `db:"state"`
		Day   int    `db:"day"`
		Month int    `db:"month"`
	}
	// a hook belongs to one tenant; without a condition on the tenant, an index alone answers the query
	err := d.db.SelectContext(ctx, &rows, `
		SELECT state, count(*) FILTER (WHERE published_at >= $3) AS day, count(*) AS month FROM deliveries
		WHERE hook_id = (SELECT id FROM hooks WHERE id = $1 AND tenant = $2) AND published_at >= $4 GROUP BY state`,
		hook, tenant, day, month)
	if err != nil {
		return translate(fmt.Errorf("count deliveries of hook %s: %w", hook, err))
	}
	s.Day, s.Month = map[webhook.DeliveryState]int{}, make(map[webhook.DeliveryState]int, len(rows))
	for _, r := range rows {
		s.Month[webhook.DeliveryState(r.State)] = r.Month
		if r.Day > 0 {
			s.Day[webhook.DeliveryState(r.State)] = r.Day
		}
	}
	return nil
}

func (d *core) durations(ctx context.Context, s *HookStats, tenant string, hook uuid.UUID, since time.Time) error {
	var p50, p99 float64
	err := d.db.QueryRowxContext(ctx, `
		SELECT count(*), COALESCE(percentile_cont(0.5) WITHIN GROUP (ORDER BY a.duration_us), 0),
			COALESCE(percentile_cont(0.99) WITHIN GROUP (ORDER BY a.duration_us), 0)
		FROM (
			SELECT id, published_at FROM deliveries WHERE hook_id = $1 AND published_at >= $3 AND tenant = $2
			ORDER BY published_at DESC, id DESC LIMIT $4
		) d JOIN attempts a ON a.delivery_id = d.id AND a.published_at = d.published_at
		WHERE a.published_at >= $3 AND a.status > 0`, hook, tenant, since, durationSample).Scan(&s.Attempts, &p50, &p99)
	if err != nil {
		return translate(fmt.Errorf("measure attempts of hook %s: %w", hook, err))
	}
	s.P50, s.P99 = fromMicros(int64(p50)), fromMicros(int64(p99))
	return nil
}
