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

// Limits of one batch of a job.
const (
	maxJobBatch = 500 // deliveries
	// maxEventBatch is the number of events that are read at once, with their payloads, which filters may need.
	maxEventBatch = 100
)

// Match returns a function that reports whether the hook wants an event. It is called once per batch.
type Match func(h *webhook.Hook) func(e *webhook.Event) bool

// conditions adds the conditions for the deliveries to be repeated. Their payloads must still exist.
func (r *Replay) conditions(c *clauses) {
	c.add("d.tenant = %s", r.Tenant)
	c.add("d.hook_id = %s", r.HookID)
	c.published("d.published_at", r.Range)
	if len(r.EventTypes) > 0 {
		c.wantsType("d.event_type", r.EventTypes)
	}
	c.add("d.state = ANY(%s::text[])", textArray(stateNames(r.States)))
	c.fixed("EXISTS (SELECT FROM events e WHERE e.tenant = d.tenant AND e.id = d.event_id AND e.published_at = d.published_at AND e.erased_at IS NULL)")
}

// missing adds the conditions for events of a type that the hook wants and that have no delivery to it.
func (r *Replay) missing(c *clauses, hook *webhook.Hook) {
	c.add("e.tenant = %s", r.Tenant)
	c.published("e.published_at", r.Range)
	c.fixed("e.erased_at IS NULL")
	c.wantsType("e.type", hook.EventTypes)
	if len(r.EventTypes) > 0 {
		c.wantsType("e.type", r.EventTypes)
	}
	c.add("NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = e.id AND d.hook_id = %s AND d.published_at = e.published_at)", r.HookID)
}

// CountReplay counts the deliveries that a replay would make. The count includes events that the hook's filter would exclude,
// because the filter is only evaluated when the job reaches them.
func (d *JobStore) CountReplay(ctx context.Context, r Replay) (int, error) {
	c := &clauses{}
	r.conditions(c)
	var n int
	if err := d.db.GetContext(ctx, &n, `SELECT count(*) FROM deliveries d WHERE `+c.where(), c.args...); err != nil {
		return 0, translate(fmt.Errorf("count deliveries of replay: %w", err))
	}
	if !r.IncludeMissing {
		return n, nil
	}
	hook, err := d.hooks().Get(ctx, r.Tenant, r.HookID)
	if err != nil {
		return 0, err
	}
	c = &clauses{}
	r.missing(c, &hook)
	var groups []struct {
		ConfigFilter *string `db:"config_filter"`
		N            int     `db:"n"`
	}
	err = d.db.SelectContext(ctx, &groups, `SELECT config_filter, count(*) AS n FROM events e WHERE `+c.where()+` GROUP BY 1`, c.args...)
	if err != nil {
		return 0, translate(fmt.Errorf("count events of replay: %w", err))
	}
	for _, g := range groups {
		if g.ConfigFilter == nil || hook.Config.Contains([]byte(*g.ConfigFilter)) {
			n += g.N
		}
	}
	return n, nil
}

// RunBatch runs one batch of the job that is due first, of any tenant, and reports whether there was one. Several programs may
// run jobs at once: a job is locked during a batch, and the results of a batch are stored together with the job's progress.
func (d *JobStore) RunBatch(ctx context.Context, match Match) (worked bool, err error) {
	if err := d.countJobs(ctx); err != nil {
		return false, err
	}
	err = d.change(ctx, "job", func(tx *sqlx.Tx) (audited, error) {
		var row jobRow
		err := tx.GetContext(ctx, &row, `
			SELECT `+jobColumns+` FROM jobs WHERE state = 'running' AND next_at <= clock_timestamp()
			ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED`)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, nil
		case err != nil:
			return audited{}, fmt.Errorf("take job: %w", err)
		}
		worked = true
		return d.batch(ctx, tx, &row, match)
	})
	return worked && err == nil, err
}

// step is the result of a batch.
type step struct {
	done int
	// last reports that the phase is finished.
	last bool
	at   time.Time
	id   uuid.UUID
	// wait is how long the job has nothing to do.
	wait time.Duration
}

func (d *core) batch(ctx context.Context, tx *sqlx.Tx, row *jobRow, match Match) (audited, error) {
	hook, err := d.hooks().get(ctx, `true`, row.Tenant, row.HookID) // a deletion that can still be undone does not end the job
	var unreadable *UnreadableError
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return d.endJob(ctx, tx, row, JobFailed, "The hook was deleted.")
	case errors.As(err, &unreadable): // retrying would block all other jobs
		return d.endJob(ctx, tx, row, JobPaused, "The hook cannot be read: "+unreadable.Hook.Unreadable+".")
	case err != nil:
		return audited{}, err
	case hook.Status == webhook.Disabled:
		return d.endJob(ctx, tx, row, JobPaused, "The hook is disabled.")
	}
	job := row.job()
	s := step{at: row.CursorAt, id: row.CursorID}
	if row.Phase == "deliveries" {
		err = parkDeliveries(ctx, tx, &job, &s)
	} else {
		err = parkMissing(ctx, tx, &job, &hook, match, &s)
	}
	if err != nil {
		return audited{}, err
	}
	if s.done > 0 {
		if err := touchBacklog(ctx, tx, row.HookID); err != nil {
			return audited{}, err
		}
	}
	switch {
	case s.last && row.Phase == "deliveries" && row.IncludeMissing:
		row.Phase, s.at, s.id = "events", row.FromAt, uuid.Nil
	case s.last:
		row.State = string(JobCompleted)
	}
	pause := max(s.wait, time.Duration(s.done)*time.Second/time.Duration(row.Rate))
	_, err = tx.ExecContext(ctx, `
		UPDATE jobs SET state = $2, phase = $3, cursor_at = $4, cursor_id = $5, done = done + $6,
			next_at = clock_timestamp() + $7 * interval '1 microsecond', modified_at = now() WHERE id = $1`,
		row.ID, row.State, row.Phase, s.at, s.id, s.done, pause.Microseconds())
	if err != nil {
		return audited{}, fmt.Errorf("store progress of job %s: %w", row.ID, err)
	}
	if row.State == string(JobCompleted) {
		return audited{tenant: row.Tenant, action: "job.completed", subject: row.ID.String()}, nil
	}
	return audited{}, nil
}

func (d *core) endJob(ctx context.Context, tx *sqlx.Tx, row *jobRow, state JobState, detail string) (audited, error) {
	_, err := tx.ExecContext(ctx, `UPDATE jobs SET state = $2, detail = $3, modified_at = now() WHERE id = $1`, row.ID, string(state), detail)
	if err != nil {
		return audited{}, fmt.Errorf("end job %s: %w", row.ID, err)
	}
	return audited{
		tenant: row.Tenant, action: "job." + string(state), subject: row.ID.String(), detail: map[string]any{"detail": detail},
	}, nil
}

// parkDeliveries parks the next deliveries after the cursor.
func parkDeliveries(ctx context.Context, tx *sqlx.Tx, job *Job, s *step) error {
	limit := min(job.Rate, maxJobBatch)
	c := &clauses{}
	job.conditions(c)
	c.fixed("(d.published_at, d.id) > (" + c.arg(s.at) + ", " + c.arg(s.id) + ")")
	c.add("d.published_at >= %s", s.at)
	var keys []struct {
		At time.Time `db:"published_at"`
		ID uuid.UUID `db:"id"`
	}
	err := tx.SelectContext(ctx, &keys, `SELECT d.published_at, d.id FROM deliveries d WHERE `+c.where()+
		` ORDER BY d.published_at, d.id LIMIT `+c.arg(limit)+` FOR UPDATE OF d`, c.args...)
	if err != nil {
		return fmt.Errorf("list deliveries of job %s: %w", job.ID, err)
	}
	s.last = len(keys) < limit
	if len(keys) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	end := keys[len(keys)-1]
	_, err = tx.ExecContext(ctx, `UPDATE deliveries SET `+parkAgain+`
		WHERE id = ANY($1::uuid[]) AND published_at BETWEEN $2 AND $3 AND hook_id = $4`,
		textArray(uuidList(ids)), keys[0].At, end.At, job.HookID)
	if err != nil {
		return fmt.Errorf("park deliveries of job %s: %w", job.ID, err)
	}
	s.done, s.at, s.id = len(keys), end.At, end.ID
	return nil
}

// parkMissing parks deliveries for the next events after the cursor that have none and that the hook wants.
func parkMissing(ctx context.Context, tx *sqlx.Tx, job *Job, hook *webhook.Hook, match Match, s *step) error {
	limit := min(job.Rate, maxEventBatch)
	until, open := horizon(job.Range.To)
	c := &clauses{}
	job.missing(c, hook)
	c.add("e.published_at < %s", until)
	after := Position{ID: s.id}
	c.fixed("(e.published_at, e.seq) > (" + c.arg(s.at) + ", " + c.arg(after.seq()) + ")")
	c.add("e.published_at >= %s", s.at)
	var rows []eventRow
	err := tx.SelectContext(ctx, &rows, `SELECT e.published_at, e.seq, e.id, e.type, e.time, e.entity, e.context, e.config_filter, e.data
		FROM events e WHERE `+c.where()+` ORDER BY e.published_at, e.seq LIMIT `+c.arg(limit), c.args...)
	if err != nil {
		return fmt.Errorf("list events of job %s: %w", job.ID, err)
	}
	if s.last = len(rows) < limit; s.last && open {
		s.last, s.wait = false, job.Range.To.Sub(until)
	}
	wants := match(hook)
	for _, r := range rows {
		e := r.event(job.Tenant)
		s.at, s.id = r.PublishedAt, SeqPosition(r.PublishedAt, uint64(e.Seq)).ID
		if !wants(&e) {
			continue
		}
		if err := insertParked(ctx, tx, hook, &e); err != nil {
			return fmt.Errorf("park event of job %s: %w", job.ID, err)
		}
		s.done++
	}
	return nil
}

func optionalBytes(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}

func insertParked(ctx context.Context, tx *sqlx.Tx, hook *webhook.Hook, e *webhook.Event) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO deliveries (published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state, reason, attempts,
			updated_at, replay)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'parked', 'replay', 0, clock_timestamp(), true) ON CONFLICT DO NOTHING`,
		e.PublishedAt, webhook.DeliveryID(hook.ID, e.ID), e.Tenant, hook.ID, e.ID, int64(e.Seq), e.Type, e.Entity) //nolint:gosec // it fits
	if err != nil {
		return fmt.Errorf("insert delivery of event %s: %w", e.ID, err)
	}
	return nil
}
