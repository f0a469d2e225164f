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

// Settled is the age at which the outcome of an event's deliveries is recorded. Younger events are not replayed.
const Settled = time.Minute

// BackfillRate is the number of deliveries per second that a backfill parks.
const BackfillRate = 100

// noticed is the time after a hook's creation by which every worker knows it. Events published before that may have been fanned
// out without the hook.
const noticed = 2 * time.Second

// backfill creates the job that replays earlier events to a new hook, as its config.start_from demands. It returns the job's
// id, or uuid.Nil if no job is needed.
func backfill(ctx context.Context, tx querier, actor Actor, h *webhook.Hook) (uuid.UUID, error) {
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

// countJobs counts the deliveries of a job whose total is not known yet. Several programs may do so at once, because their
// results are the same.
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
	// deliveries that the job has made are not counted as missing any more, so add them
	total, err := d.CountReplay(ctx, row.job().Replay)
	if err != nil && !errors.Is(err, webhook.ErrNotFound) { // RunBatch reports a deleted hook
		return err
	}
	_, err = d.db.ExecContext(ctx, `UPDATE jobs SET total = done + $2, counted = true WHERE id = $1`, row.ID, total)
	if err != nil {
		return translate(fmt.Errorf("store count of job %s: %w", row.ID, err))
	}
	return nil
}

// horizon returns the time up to which events are settled, for a job about events before to. open reports that the job's range
// reaches beyond that.
func horizon(to time.Time) (until time.Time, open bool) {
	settled := time.Now().Add(-Settled)
	if settled.Before(to) {
		return settled, true
	}
	return to, false
}
