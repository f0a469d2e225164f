package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ErasureKind is the criterion by which an erasure selects events.
type ErasureKind string

// The kinds of erasures.
const (
	EraseIDs    ErasureKind = "events"
	EraseEntity ErasureKind = "entity"
	ErasePath   ErasureKind = "path"
)

// NewErasure selects the events of a tenant to be erased.
type NewErasure struct {
	Tenant string
	Kind   ErasureKind
	// Criteria are the events' ids, or one entity, or one SQL/JSON path that must find something in the data.
	Criteria []string
	// Range bounds the time of publication. Both ends are set.
	Range  TimeRange
	Reason string
	// Total is the number of events; nil if counting them took too long.
	Total *int64
}

// Erasure is a stored erasure, with its progress.
type Erasure struct {
	NewErasure

	ID    uuid.UUID
	State JobState
	// Detail says what the erasure waits for, or why it failed.
	Detail string
	Owner  Actor
	Done   int64
	// Listed reports that all matching events were found.
	Listed bool
	// Places counts the erased copies by place.
	Places map[string]int64
	// Certificate is a JSON object; nil until the erasure is completed.
	Certificate                        json.RawMessage
	CreatedAt, ModifiedAt, CompletedAt time.Time

	cursorAt  time.Time
	cursorSeq int64
}

// Began reports whether the erasure has looked for events.
func (e *Erasure) Began() bool {
	return e.cursorSeq != 0 || !e.cursorAt.Equal(e.Range.From) || e.Listed
}

type erasureRow struct {
	ID          uuid.UUID      `db:"id"`
	Tenant      string         `db:"tenant"`
	State       string         `db:"state"`
	Detail      string         `db:"detail"`
	Owner       string         `db:"owner"`
	Reason      string         `db:"reason"`
	Kind        string         `db:"kind"`
	Criteria    pq.StringArray `db:"criteria"`
	FromAt      time.Time      `db:"from_at"`
	ToAt        time.Time      `db:"to_at"`
	Total       *int64         `db:"total"`
	Listed      bool           `db:"listed"`
	CursorAt    time.Time      `db:"cursor_at"`
	CursorSeq   int64          `db:"cursor_seq"`
	Done        int64          `db:"done"`
	Places      []byte         `db:"places"`
	Certificate []byte         `db:"certificate"`
	CreatedAt   time.Time      `db:"created_at"`
	ModifiedAt  time.Time      `db:"modified_at"`
	CompletedAt *time.Time     `db:"completed_at"`
}

const erasureColumns = `id, tenant, state, detail, owner, reason, kind, criteria, from_at, to_at, total, listed, cursor_at, cursor_seq,
	done, places, certificate, created_at, modified_at, completed_at`

func (r *erasureRow) erasure() Erasure {
	e := Erasure{
		ID: r.ID, State: JobState(r.State), Detail: r.Detail, Owner: Actor(r.Owner), Done: r.Done, Listed: r.Listed,
		Certificate: r.Certificate, CreatedAt: r.CreatedAt.UTC(), ModifiedAt: r.ModifiedAt.UTC(), cursorAt: r.CursorAt, cursorSeq: r.CursorSeq,
		NewErasure: NewErasure{
			Tenant: r.Tenant, Kind: ErasureKind(r.Kind), Criteria: r.Criteria, Range: TimeRange{From: r.FromAt.UTC(), To: r.ToAt.UTC()},
			Reason: r.Reason, Total: r.Total,
		},
	}
	_ = json.Unmarshal(r.Places, &e.Places) // this program wrote it
	if r.CompletedAt != nil {
		e.CompletedAt = r.CompletedAt.UTC()
	}
	return e
}

// conditions adds the conditions for events that match and still have their payload.
func (n *NewErasure) conditions(c *clauses) *PayloadFilter {
	c.add("tenant = %s", n.Tenant)
	c.published("published_at", n.Range)
	c.fixed("erased_at IS NULL")
	f := n.filter()
	switch n.Kind {
	case EraseIDs:
		c.add("id = ANY(%s::text[])", textArray(n.Criteria))
	case EraseEntity:
		c.ofEntity("entity", n.Criteria[0])
	case ErasePath:
		f.conditions(c, "data")
	}
	return f
}

// filter returns a filter with the path, if the erasure is by path.
func (n *NewErasure) filter() *PayloadFilter {
	if n.Kind == ErasePath {
		return &PayloadFilter{Path: n.Criteria[0]}
	}
	return &PayloadFilter{}
}

// countTime is the time limit for queries that select events by an erasure's criteria. Nothing else waits for them.
const countTime = 12 * time.Second

// Count counts the matching events that still have their payload. The errors are ErrPath, and ErrSlow if it takes too long.
func (d *ErasureStore) Count(ctx context.Context, n NewErasure) (total int64, err error) {
	c := &clauses{}
	f := n.conditions(c)
	return total, d.bounded(ctx, countTime, f, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &total, `SELECT count(*) FROM events WHERE `+c.where(), c.args...)
	})
}

// CheckPath returns ErrPath if PostgreSQL cannot parse the SQL/JSON path.
func (d *ErasureStore) CheckPath(ctx context.Context, path string) error {
	f := &PayloadFilter{Path: path}
	var found sql.NullBool // a path in strict mode may return null
	err := d.db.GetContext(ctx, &found, "SELECT "+finds("'{}'", "$1"), path)
	return translate(f.pathError(err))
}

// MatchesPath reports whether the path finds something in data.
func (d *ErasureStore) MatchesPath(ctx context.Context, path string, data []byte) (found bool, err error) {
	f := &PayloadFilter{Path: path}
	return found, d.bounded(ctx, pathTime, f, func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &found, "SELECT coalesce("+finds("whisperer_jsonb($1)", "$2")+", false)", string(data), path)
	})
}

// bounded runs do in a transaction with a time limit for each statement. It returns ErrSlow if a statement exceeds the limit.
func (d *core) bounded(ctx context.Context, limit time.Duration, f *PayloadFilter, do func(tx *sqlx.Tx) error) error {
	err := d.transact(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`SET LOCAL statement_timeout = %d`, limit.Milliseconds())); err != nil {
			return err
		}
		return f.pathError(do(tx))
	})
	if pqErr, ok := errors.AsType[*pq.Error](err); ok && pqErr.Code.Name() == "query_canceled" && ctx.Err() == nil {
		return ErrSlow
	}
	return err
}

// Create stores an erasure, which begins at once.
func (d *ErasureStore) Create(ctx context.Context, actor Actor, n NewErasure) (Erasure, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Erasure{}, fmt.Errorf("make erasure id: %w", err)
	}
	var row erasureRow
	err = d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		err := tx.GetContext(ctx, &row, `
			INSERT INTO erasures (id, tenant, owner, reason, kind, criteria, from_at, to_at, total, cursor_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $7) RETURNING `+erasureColumns,
			id, n.Tenant, string(actor), n.Reason, string(n.Kind), pq.Array(n.Criteria), n.Range.From, n.Range.To, n.Total)
		if err != nil {
			return audited{}, fmt.Errorf("create erasure: %w", err)
		}
		detail := map[string]any{"reason": n.Reason, "by": n.Kind, "total": n.Total, "from": n.Range.From, "to": n.Range.To}
		if n.Kind == EraseEntity { // a path may contain the very data that is to be erased
			detail["entity"] = n.Criteria[0]
		}
		return audited{tenant: n.Tenant, action: "erasure.created", subject: id.String(), detail: detail}, nil
	})
	return row.erasure(), err
}

// List lists a tenant's erasures, newest first.
func (d *ErasureStore) List(ctx context.Context, tenant string, page Page) (list []Erasure, more bool, err error) {
	c := &clauses{}
	c.add("tenant = %s", tenant)
	tail := c.page(page, "created_at", "id", byUUID)
	var rows []erasureRow
	if err := d.db.SelectContext(ctx, &rows, `SELECT `+erasureColumns+` FROM erasures WHERE `+c.where()+tail, c.args...); err != nil {
		return nil, false, translate(fmt.Errorf("list erasures: %w", err))
	}
	rows, more = cut(rows, page)
	for i := range rows {
		list = append(list, rows[i].erasure())
	}
	return list, more, nil
}

// CountRunning counts the unfinished erasures of all tenants.
func (d *ErasureStore) CountRunning(ctx context.Context) (n int, err error) {
	if err := d.db.GetContext(ctx, &n, `SELECT count(*) FROM erasures WHERE state = 'running'`); err != nil {
		return 0, translate(fmt.Errorf("count erasures: %w", err))
	}
	return n, nil
}

// Get returns one erasure. The error is webhook.ErrNotFound if the tenant has no such erasure.
func (d *ErasureStore) Get(ctx context.Context, tenant string, id uuid.UUID) (Erasure, error) {
	var row erasureRow
	err := d.db.GetContext(ctx, &row, `SELECT `+erasureColumns+` FROM erasures WHERE tenant = $1 AND id = $2`, tenant, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Erasure{}, fmt.Errorf("erasure %s: %w", id, webhook.ErrNotFound)
	case err != nil:
		return Erasure{}, translate(fmt.Errorf("get erasure %s: %w", id, err))
	}
	return row.erasure(), nil
}

// Cancel stops an erasure from looking for more events. Events that are already marked are erased nevertheless. Cancelling
// again changes nothing. The errors are *ReplayError if the erasure has ended otherwise, and webhook.ErrNotFound.
func (d *ErasureStore) Cancel(ctx context.Context, actor Actor, tenant string, id uuid.UUID) (Erasure, error) {
	var row erasureRow
	err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		err := tx.GetContext(ctx, &row, `SELECT `+erasureColumns+` FROM erasures WHERE tenant = $1 AND id = $2 FOR UPDATE`, tenant, id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, fmt.Errorf("erasure %s: %w", id, webhook.ErrNotFound)
		case err != nil:
			return audited{}, fmt.Errorf("get erasure %s: %w", id, err)
		case row.State == string(JobCancelled):
			return audited{}, nil
		case row.State != string(JobRunning):
			return audited{}, refuseReplay("The erasure is " + row.State + " already.")
		}
		return endErasure(ctx, tx, &row, JobCancelled, "", nil)
	})
	return row.erasure(), err
}

// Fail ends an erasure that cannot go on, and stores the reason.
func (d *ErasureStore) Fail(ctx context.Context, e *Erasure, detail string) error {
	return d.change(ctx, e.Owner, func(tx *sqlx.Tx) (audited, error) {
		row := erasureRow{ID: e.ID, Tenant: e.Tenant, Kind: string(e.Kind)}
		return endErasure(ctx, tx, &row, JobFailed, detail, nil)
	})
}

// Complete ends an erasure that is done, and stores its certificate.
func (d *ErasureStore) Complete(ctx context.Context, e *Erasure, certificate json.RawMessage) error {
	return d.change(ctx, e.Owner, func(tx *sqlx.Tx) (audited, error) {
		row := erasureRow{ID: e.ID, Tenant: e.Tenant, Kind: string(e.Kind)}
		entry, err := endErasure(ctx, tx, &row, JobCompleted, "", certificate)
		entry.detail = map[string]any{"events": e.Done}
		return entry, err
	})
}

// endErasure ends a running erasure. If its criterion is a path, only the path's digest is kept.
func endErasure(ctx context.Context, tx *sqlx.Tx, row *erasureRow, state JobState, detail string, certificate []byte) (audited, error) {
	err := tx.GetContext(ctx, row, `
		UPDATE erasures SET state = $2, detail = $3, certificate = $4, modified_at = now(), completed_at = now(),
			criteria = CASE kind WHEN 'path' THEN ARRAY['sha256:' || encode(sha256(convert_to(criteria[1], 'UTF8')), 'hex')] ELSE criteria END
		WHERE id = $1 AND state = 'running' RETURNING `+erasureColumns, row.ID, string(state), detail, certificate)
	switch {
	case errors.Is(err, sql.ErrNoRows): // another program has ended it
		return audited{}, nil
	case err != nil:
		return audited{}, fmt.Errorf("end erasure %s: %w", row.ID, err)
	}
	return audited{tenant: row.Tenant, action: "erasure." + string(state), subject: row.ID.String()}, nil
}
