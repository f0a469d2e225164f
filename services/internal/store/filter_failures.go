package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// filterFailureDays is for how many days failures of filters are kept.
const filterFailureDays = 30

// FilterFailures are events that a hook's filter could not be evaluated for.
type FilterFailures struct {
	N int
	// Of the newest of them.
	LastAt             time.Time
	LastError, EventID string
}

// AddFilterFailures counts failures of the hooks that there are, and returns those of whose failures nobody was told on that
// day yet (UTC); they count as told then.
func (d *HookStore) AddFilterFailures(ctx context.Context, failures map[uuid.UUID]FilterFailures) (untold []uuid.UUID, err error) {
	err = d.transact(ctx, func(tx *sqlx.Tx) error {
		untold = nil
		for hook, f := range failures {
			var told bool
			// the lock on the hook keeps it from being deleted between the two
			err := tx.GetContext(ctx, &told, `
				WITH before AS (SELECT told FROM filter_failures WHERE hook_id = $1 AND day = ($3::timestamptz AT TIME ZONE 'UTC')::date)
				INSERT INTO filter_failures AS t (hook_id, day, failures, last_at, last_error, last_event, told)
				SELECT id, ($3::timestamptz AT TIME ZONE 'UTC')::date, $2, $3, $4, $5, true FROM hooks WHERE id = $1 FOR KEY SHARE
				ON CONFLICT (hook_id, day) DO UPDATE SET failures = t.failures + excluded.failures, last_at = excluded.last_at,
					last_error = excluded.last_error, last_event = excluded.last_event, told = true
				RETURNING COALESCE((SELECT told FROM before), false)`, hook, f.N, f.LastAt, strings.ToValidUTF8(strings.ReplaceAll(f.LastError, "\x00", "\uFFFD"), "\uFFFD"), f.EventID)
			switch {
			case errors.Is(err, sql.ErrNoRows): // it is gone
			case err != nil:
				return fmt.Errorf("count failures of the filter of hook %s: %w", hook, err)
			case !told:
				untold = append(untold, hook)
			}
		}
		return nil
	})
	return untold, err
}

// FilterFailures counts the events of the last 24 hours and of the last 30 days, by days, that a hook's filter could not be
// evaluated for.
func (d *HookStore) FilterFailures(ctx context.Context, hook uuid.UUID, now time.Time) (day, month FilterFailures, err error) {
	var rows []struct {
		Day       time.Time `db:"day"`
		N         int       `db:"failures"`
		LastAt    time.Time `db:"last_at"`
		LastError string    `db:"last_error"`
		EventID   string    `db:"last_event"`
	}
	err = d.db.SelectContext(ctx, &rows, `
		SELECT day, failures, last_at, last_error, last_event FROM filter_failures
		WHERE hook_id = $1 AND day > ($2::timestamptz AT TIME ZONE 'UTC')::date - $3::int ORDER BY day DESC`, hook, now, filterFailureDays)
	if err != nil {
		return day, month, translate(fmt.Errorf("list failures of the filter of hook %s: %w", hook, err))
	}
	for _, r := range rows {
		if month.N == 0 {
			month = FilterFailures{LastAt: r.LastAt, LastError: r.LastError, EventID: r.EventID}
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

// DropFilterFailures forgets what is too old to be shown.
func (d *HookStore) DropFilterFailures(ctx context.Context, now time.Time) error {
	_, err := d.db.ExecContext(ctx, `DELETE FROM filter_failures WHERE day <= ($1::timestamptz AT TIME ZONE 'UTC')::date - $2::int`, now, filterFailureDays)
	if err != nil {
		return translate(fmt.Errorf("drop old failures of filters: %w", err))
	}
	return nil
}
