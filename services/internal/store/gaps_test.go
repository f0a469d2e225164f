package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// gapOf is the gap of a created hook.
type gapOf struct {
	Done     bool
	Since    time.Time
	LookFrom *time.Time `db:"look_from"`
}

func gap(t *testing.T, plain *sqlx.DB, hook uuid.UUID) gapOf {
	t.Helper()
	var g gapOf
	require.NoError(t, plain.GetContext(t.Context(), &g, `SELECT done, since, look_from FROM hook_gaps WHERE hook_id = $1`, hook))
	return g
}

// Events that a worker fanned out with a stale index are checked again, but only for hooks that it did not know, from the first
// such event on, and each time that this is reported.
func TestStaleFanoutOpensTheGapsOfNewerHooks(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	r := recorder(t, db)
	run(t, plain, `INSERT INTO tenants (name) VALUES ('other')`)
	snapshot := func() (now string) {
		require.NoError(t, plain.GetContext(t.Context(), &now, `SELECT pg_current_snapshot()::text`))
		return now
	}
	older := createHook(t, db, simpleHook(1))
	before := snapshot()
	newer := createHook(t, db, simpleHook(2))
	foreign := simpleHook(3)
	foreign.Tenant = "other"
	foreign = createHook(t, db, foreign)
	after := snapshot()
	run(t, plain, `UPDATE hook_gaps SET done = true`)
	tell := func(snapshot string, since ...time.Time) {
		t.Helper()
		b := &whispererv1.LedgerBatch{Worker: "w-1"}
		for _, at := range since {
			b.Stale = append(b.Stale, &whispererv1.StaleFanout{Tenant: webhook.DefaultTenant, Snapshot: snapshot, Since: at.UnixNano()})
		}
		write(t, r, b)
	}
	since := gap(t, plain, newer.ID).Since
	at := func(minutes int) time.Time { return since.Add(time.Duration(minutes) * time.Minute) }
	requireFrom := func(minutes int) {
		t.Helper()
		g := gap(t, plain, newer.ID)
		require.False(t, g.Done)
		require.NotNil(t, g.LookFrom)
		require.Equal(t, at(minutes).UTC(), g.LookFrom.UTC())
		require.True(t, gap(t, plain, older.ID).Done, "it was known")
		require.True(t, gap(t, plain, foreign.ID).Done, "events of others do not go to it")
	}
	tell(after, at(60))
	require.True(t, gap(t, plain, newer.ID).Done)
	tell(before, at(60), at(40), at(50))
	requireFrom(40)
	tell(before, at(45))
	requireFrom(40)
	tell(before, at(30))
	requireFrom(30)
	run(t, plain, `UPDATE hook_gaps SET done = true`)
	tell(before, at(50))
	requireFrom(50)
	tell(before, at(-5))
	requireFrom(0)
}

// When a worker polls that was not registered, the same statement registers it and reopens the gaps that it does not know.
func TestAPollOpensGapsAndCountsOrNeither(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	_, w := watchAs(t, db, "late")
	workers, err := plain.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	defer workers.Rollback()
	_, err = workers.ExecContext(t.Context(), `LOCK TABLE workers IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	h := createHook(t, db, simpleHook(1))
	run(t, plain, `UPDATE hook_gaps SET done = true`)
	gaps, err := plain.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	defer gaps.Rollback()
	_, err = gaps.ExecContext(t.Context(), `LOCK TABLE hook_gaps IN SHARE ROW EXCLUSIVE MODE`)
	require.NoError(t, err)
	_, err = workers.ExecContext(t.Context(), `UPDATE workers SET expires_at = clock_timestamp() - interval '1 second'`)
	require.NoError(t, err)
	require.NoError(t, workers.Commit())
	require.Error(t, w.Refresh(t.Context()), "a poll fails, as it may not open gaps")
	require.NoError(t, gaps.Rollback())
	require.NoError(t, w.Refresh(t.Context()))
	require.False(t, gap(t, plain, h.ID).Done)
}
