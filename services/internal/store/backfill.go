package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Settled is how old events have to be, so that what became of them is recorded: nothing younger is replayed.
const Settled = time.Minute

// BackfillRate is how many deliveries a second a backfill parks.
const BackfillRate = 100

// noticed is how long after its creation every worker knows a hook, at the latest: what was published meanwhile may have
// been fanned out without it.
const noticed = 2 * time.Second

// backfill makes the job that gives a new hook the events from before it existed, as its config.start_from wants, and
// returns its id; uuid.Nil where there is none to make.
func backfill(ctx context.Context, tx *sqlx.Tx, actor Actor, h *webhook.Hook) (uuid.UUID, error) {
	if h.Config.StartFrom == nil {
		return uuid.Nil, nil
	}
	since := h.Config.StartFrom.Since(h.CreatedAt)
	if !since.Before(h.CreatedAt) {
		return uuid.Nil, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("make job id: %w", err)
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO jobs (id, tenant, hook_id, owner, reason, rate, from_at, to_at, event_types, states, include_missing, total, counted,
			phase, cursor_at)
		VALUES ($1, $2, $3, $4, 'start_from of the new hook', $5, $6, $7, '{}', '{}', true, 0, false, 'events', $6)`,
		id, h.Tenant, h.ID, string(actor), BackfillRate, since, h.CreatedAt.Add(noticed))
	if err != nil {
		return uuid.Nil, fmt.Errorf("create backfill of hook %s: %w", h.ID, err)
	}
	return id, nil
}

// countJobs counts what an uncounted job is about. Several may do it at once; what they find is the same.
func (d *JobStore) countJobs(ctx context.Context) error {
	var row jobRow
	err := d.db.GetContext(ctx, &row, `
		SELECT `+jobColumns+` FROM jobs WHERE NOT counted AND state IN ('running', 'paused') ORDER BY created_at LIMIT 1`)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return translate(fmt.Errorf("look for uncounted jobs: %w", err))
	}
	// what the job has done by now is delivered to the hook, so it counts as missing no more
	total, err := d.CountReplay(ctx, row.job().Replay)
	if err != nil && !errors.Is(err, webhook.ErrNotFound) { // a deleted hook is the batch's to tell of
		return err
	}
	_, err = d.db.ExecContext(ctx, `UPDATE jobs SET total = done + $2, counted = true WHERE id = $1`, row.ID, total)
	if err != nil {
		return translate(fmt.Errorf("store count of job %s: %w", row.ID, err))
	}
	return nil
}

// horizon is up to where events are settled now, for a job about events before to; open says that there are younger ones.
func horizon(to time.Time) (until time.Time, open bool) {
	settled := time.Now().Add(-Settled)
	if settled.Before(to) {
		return settled, true
	}
	return to, false
}
