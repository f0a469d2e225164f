package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// filterFailureDays is the number of days for which failures of expressions are kept.
const filterFailureDays = 30

// ExpressionFailures counts the events for which an expression of a hook could not be evaluated.
type ExpressionFailures struct {
	N int
	// The other fields are about the newest of these events.
	LastAt             time.Time
	LastError, EventID string
}

// failureTables are the tables of failures by kind of expression.
var failureTables = map[webhook.ExpressionKind]string{
	webhook.FilterExpression: "filter_failures", webhook.TransformExpression: "transform_failures",
}

// AddFailures adds to the counted failures of hooks' expressions, if the hooks exist. It returns the hooks whose failures on
// that day (UTC) were not reported yet, and marks them as reported.
func (d *HealthStore) AddFailures(ctx context.Context, kind webhook.ExpressionKind, failures map[uuid.UUID]ExpressionFailures) (untold []uuid.UUID, err error) {
	table := failureTables[kind]
	err = d.transact(ctx, func(tx *sqlx.Tx) error {
		untold = nil
		for hook, f := range failures {
			var told bool
			// the lock on the hook keeps it from being deleted between the two steps
			err := tx.GetContext(ctx, &told, `
				WITH before AS (SELECT told FROM `+table+` WHERE hook_id = $1 AND day = ($3::timestamptz AT TIME ZONE 'UTC')::date)
				INSERT INTO `+table+` AS t (hook_id, day, failures, last_at, last_error, last_event, told)
				SELECT id, ($3::timestamptz AT TIME ZONE 'UTC')::date, $2, $3, $4, $5, true FROM hooks WHERE id = $1 FOR KEY SHARE
				ON CONFLICT (hook_id, day) DO UPDATE SET failures = t.failures + excluded.failures, last_at = excluded.last_at,
					last_error = excluded.last_error, last_event = excluded.last_event, told = true
				RETURNING COALESCE((SELECT told FROM before), false)`, hook, f.N, f.LastAt, strings.ToValidUTF8(strings.ReplaceAll(f.LastError, "\x00", "\uFFFD"), "\uFFFD"), f.EventID)
			switch {
			case errors.Is(err, sql.ErrNoRows): // the hook was deleted
			case err != nil:
				return fmt.Errorf("count failures of the %s of hook %s: %w", kind, hook, err)
			case !told:
				untold = append(untold, hook)
			}
		}
		return unquoteErased(ctx, tx, table, slices.Collect(maps.Keys(failures)))
	})
	return untold, err
}

// unquoteErased clears the errors, which may quote the event, of failures whose event is erased. The transaction must have
// written before, so that a later erasure waits for it to end.
func unquoteErased(ctx context.Context, tx *sqlx.Tx, table string, hooks []uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE `+table+` f SET last_error = '' FROM hooks h, erased_events x
		WHERE f.hook_id = ANY($1::uuid[]) AND f.last_error <> '' AND h.id = f.hook_id AND x.tenant = h.tenant AND x.event_id = f.last_event`,
		textArray(uuidList(hooks)))
	if err != nil {
		return fmt.Errorf("forget errors of erased events: %w", err)
	}
	return nil
}

// Failures counts the events for which a hook's expression of the kind could not be evaluated. The counts are kept by day: day
// sums up the days whose newest failure is at most 24 hours old, and month the last 30 days.
func (d *HealthStore) Failures(ctx context.Context, kind webhook.ExpressionKind, hook uuid.UUID, now time.Time) (day, month ExpressionFailures, err error) {
	var rows []struct {
		Day       time.Time `db:"day"`
		N         int       `db:"failures"`
		LastAt    time.Time `db:"last_at"`
		LastError string    `db:"last_error"`
		EventID   string    `db:"last_event"`
	}
	err = d.db.SelectContext(ctx, &rows, `
		SELECT day, failures, last_at, last_error, last_event FROM `+failureTables[kind]+`
		WHERE hook_id = $1 AND day > ($2::timestamptz AT TIME ZONE 'UTC')::date - $3::int ORDER BY day DESC`, hook, now, filterFailureDays)
	if err != nil {
		return day, month, translate(fmt.Errorf("list failures of the %s of hook %s: %w", kind, hook, err))
	}
	for _, r := range rows {
		if month.N == 0 {
			month = ExpressionFailures{LastAt: r.LastAt, LastError: r.LastError, EventID: r.EventID}
		}
		month.N += r.N
		if r.LastAt.After(now.Add(-24 * time.Hour)) {
			n := day.N + r.N
			day = month
			day.N = n
		}
	}
	return day, month, nil
}

// DropFailures deletes failures that are too old to be shown.
func (d *HealthStore) DropFailures(ctx context.Context, now time.Time) error {
	for _, table := range failureTables {
		_, err := d.db.ExecContext(ctx, `DELETE FROM `+table+` WHERE day <= ($1::timestamptz AT TIME ZONE 'UTC')::date - $2::int`, now, filterFailureDays)
		if err != nil {
			return translate(fmt.Errorf("drop old failures of expressions: %w", err))
		}
	}
	return nil
}
