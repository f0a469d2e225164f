package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// JobState is the state of a job.
type JobState string

// The states of a job; the last three are final.
const (
	JobRunning   JobState = "running"
	JobPaused    JobState = "paused"
	JobCompleted JobState = "completed"
	JobCancelled JobState = "cancelled"
	JobFailed    JobState = "failed"
)

// Replay selects the deliveries of a hook that are to be repeated.
type Replay struct {
	Tenant string
	HookID uuid.UUID
	// Range bounds the time of publication. Both ends are set.
	Range TimeRange
	// EventTypes are types and patterns in canonical spelling; empty for all.
	EventTypes []string
	// States are the states of the deliveries to be repeated.
	States []webhook.DeliveryState
	// IncludeMissing adds the events that the hook wants and that have no delivery to it.
	IncludeMissing bool
}

// NewJob is a replay to be made.
type NewJob struct {
	Replay

	Reason string
	// Rate is the number of deliveries per second that are parked.
	Rate int
	// Total is the number of deliveries, as returned by CountReplay.
	Total int
}

// Job is a replay that is made in batches.
type Job struct {
	NewJob

	ID    uuid.UUID
	State JobState
	// Detail says why the job is paused or failed, unless a person did it.
	Detail string
	Owner  Actor
	Done   int
	// Counted reports that Total is known.
	Counted    bool
	CreatedAt  time.Time
	ModifiedAt time.Time
}

type jobRow struct {
	ID             uuid.UUID      `db:"id"`
	Tenant         string         `db:"tenant"`
	HookID         uuid.UUID      `db:"hook_id"`
	State          string         `db:"state"`
	Detail         string         `db:"detail"`
	Owner          string         `db:"owner"`
	Reason         string         `db:"reason"`
	Rate           int            `db:"rate"`
	FromAt         time.Time      `db:"from_at"`
	ToAt           time.Time      `db:"to_at"`
	EventTypes     pq.StringArray `db:"event_types"`
	States         pq.StringArray `db:"states"`
	IncludeMissing bool           `db:"include_missing"`
	Total          int            `db:"total"`
	Counted        bool           `db:"counted"`
	Done           int            `db:"done"`
	Phase          string         `db:"phase"`
	CursorAt       time.Time      `db:"cursor_at"`
	CursorID       uuid.UUID      `db:"cursor_id"`
	CreatedAt      time.Time      `db:"created_at"`
	ModifiedAt     time.Time      `db:"modified_at"`
}

const jobColumns = `id, tenant, hook_id, state, detail, owner, reason, rate, from_at, to_at, event_types, states, include_missing,
	total, counted, done, phase, cursor_at, cursor_id, created_at, modified_at`

func (r *jobRow) job() Job {
	j := Job{
		ID: r.ID, State: JobState(r.State), Detail: r.Detail, Owner: Actor(r.Owner), Done: r.Done, Counted: r.Counted,
		CreatedAt: r.CreatedAt.UTC(), ModifiedAt: r.ModifiedAt.UTC(),
		NewJob: NewJob{Reason: r.Reason, Rate: r.Rate, Total: r.Total, Replay: Replay{
			Tenant: r.Tenant, HookID: r.HookID, Range: TimeRange{From: r.FromAt.UTC(), To: r.ToAt.UTC()}, EventTypes: r.EventTypes,
			IncludeMissing: r.IncludeMissing,
		}},
	}
	for _, s := range r.States {
		j.States = append(j.States, webhook.DeliveryState(s))
	}
	return j
}

// Create stores a job, which begins at once. The errors are *ReplayError if the hook has an unfinished job, and
// webhook.ErrNotFound if the tenant has no such hook.
func (d *JobStore) Create(ctx context.Context, actor Actor, n NewJob) (Job, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Job{}, fmt.Errorf("make job id: %w", err)
	}
	var row jobRow
	err = d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		err := tx.GetContext(ctx, &row, `
			INSERT INTO jobs (id, tenant, hook_id, owner, reason, rate, from_at, to_at, event_types, states, include_missing, total, cursor_at)
			SELECT $1, tenant, id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $7 FROM hooks WHERE tenant = $2 AND id = $3 AND deleted_at IS NULL
			RETURNING `+jobColumns,
			id, n.Tenant, n.HookID, string(actor), n.Reason, n.Rate, n.Range.From, n.Range.To, pq.Array(notNil(n.EventTypes)),
			pq.Array(stateNames(n.States)), n.IncludeMissing, n.Total)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, fmt.Errorf("hook %s: %w", n.HookID, webhook.ErrNotFound)
		case violates(err, "jobs_hook_key"):
			return audited{}, refuseReplay("The hook has a job that is not finished: wait for it, or cancel it.")
		case err != nil:
			return audited{}, fmt.Errorf("create job: %w", err)
		}
		return audited{
			tenant: n.Tenant, action: "hook.replayed", subject: n.HookID.String(),
			detail: map[string]any{"job": id, "reason": n.Reason, "total": n.Total},
		}, nil
	})
	if err != nil {
		return Job{}, err
	}
	return row.job(), nil
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func stateNames(states []webhook.DeliveryState) []string {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = string(s)
	}
	return names
}

// List lists a tenant's jobs, newest first. hook, if set, restricts the list to one hook.
func (d *JobStore) List(ctx context.Context, tenant string, hook uuid.UUID, page Page) (list []Job, more bool, err error) {
	c := &clauses{}
	c.add("tenant = %s", tenant)
	if hook != uuid.Nil {
		c.add("hook_id = %s", hook)
	}
	tail := c.page(page, "created_at", "id", byUUID)
	var rows []jobRow
	if err := d.db.SelectContext(ctx, &rows, `SELECT `+jobColumns+` FROM jobs WHERE `+c.where()+tail, c.args...); err != nil {
		return nil, false, translate(fmt.Errorf("list jobs: %w", err))
	}
	rows, more = cut(rows, page)
	for i := range rows {
		list = append(list, rows[i].job())
	}
	return list, more, nil
}

// Get returns one job. The error is webhook.ErrNotFound if the tenant has no such job.
func (d *JobStore) Get(ctx context.Context, tenant string, id uuid.UUID) (Job, error) {
	var row jobRow
	err := d.db.GetContext(ctx, &row, `SELECT `+jobColumns+` FROM jobs WHERE tenant = $1 AND id = $2`, tenant, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Job{}, fmt.Errorf("job %s: %w", id, webhook.ErrNotFound)
	case err != nil:
		return Job{}, translate(fmt.Errorf("get job %s: %w", id, err))
	}
	return row.job(), nil
}

// SetState pauses, resumes or cancels an unfinished job, and returns it. Setting the same state again changes nothing. The
// errors are *ReplayError if the job is already finished, and webhook.ErrNotFound if the tenant has no such job.
func (d *JobStore) SetState(ctx context.Context, actor Actor, tenant string, id uuid.UUID, state JobState) (Job, error) {
	var row jobRow
	err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		err := tx.GetContext(ctx, &row, `SELECT `+jobColumns+` FROM jobs WHERE tenant = $1 AND id = $2 FOR UPDATE`, tenant, id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, fmt.Errorf("job %s: %w", id, webhook.ErrNotFound)
		case err != nil:
			return audited{}, fmt.Errorf("get job %s: %w", id, err)
		case row.State == string(state):
			return audited{}, nil
		case row.State != string(JobRunning) && row.State != string(JobPaused):
			return audited{}, refuseReplay("The job is " + row.State + " already.")
		}
		err = tx.GetContext(ctx, &row, `
			UPDATE jobs SET state = $2, detail = '', next_at = clock_timestamp(), modified_at = now() WHERE id = $1 RETURNING `+jobColumns,
			id, string(state))
		if err != nil {
			return audited{}, fmt.Errorf("change job %s: %w", id, err)
		}
		return audited{tenant: tenant, action: "job." + string(state), subject: id.String()}, nil
	})
	if err != nil {
		return Job{}, err
	}
	return row.job(), nil
}
