package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// reading begins a transaction that reads all tables and stays open, as pg_dump does.
func reading(t *testing.T, plain *sqlx.DB) *sqlx.Tx {
	t.Helper()
	dump, err := plain.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = dump.Rollback() })
	for _, s := range []string{
		`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`, `LOCK TABLE events, deliveries, attempts, rejected_events IN ACCESS SHARE MODE`,
		`SELECT count(*) FROM events`,
	} {
		_, err = dump.ExecContext(t.Context(), s)
		require.NoError(t, err)
	}
	return dump
}

func partitions(t *testing.T, plain *sqlx.DB) int {
	t.Helper()
	var n int
	require.NoError(t, plain.GetContext(t.Context(), &n, `SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '_[0-9]{8}$'`))
	return n
}

func TestOldDaysAreDroppedAfterALongReaderAndKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	r := recorder(t, db)
	require.NoError(t, r.WriteEvents(t.Context(), []webhook.Event{anEvent("e-0", 1, 0)}))
	today := partitions(t, plain)
	for n := range 3 {
		require.NoError(t, db.Ledger.EnsureDay(t.Context(), noon.AddDate(0, -2, n)))
	}
	all := partitions(t, plain)
	dump := reading(t, plain)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 3 { // as often as the housekeeper does
			dropped, busy, err := db.Ledger.DropDays(t.Context(), noon.AddDate(0, -1, 0), noon.AddDate(0, -1, 0))
			if err != nil || dropped != 0 || busy != all-today {
				t.Errorf("dropped %d, busy %d: %v", dropped, busy, err)
			}
		}
		stop()
	}()
	worst := time.Duration(0)
	for n := 2; ctx.Err() == nil; n++ {
		began := time.Now()
		require.NoError(t, r.WriteEvents(t.Context(), []webhook.Event{anEvent("e", uint64(n), time.Duration(n)*time.Second)}))
		require.NoError(t, db.Ledger.EnsureDay(t.Context(), noon.AddDate(0, 0, 1+n%50)))
		_, err := db.Ledger.SeenEvents(t.Context(), []store.Published{{EventKey: store.EventKey{Tenant: "default", ID: "e"}, At: noon}})
		require.NoError(t, err)
		_, err = plain.ExecContext(t.Context(), `SELECT count(*) FROM deliveries d JOIN attempts a USING (published_at) JOIN events e USING (published_at)`)
		require.NoError(t, err)
		worst = max(worst, time.Since(began))
	}
	<-ended
	require.Less(t, worst, 30*time.Second, "what waits for a lock that is given up waits for less than a second")
	t.Logf("the slowest round of writing and reading took %s", worst)

	require.NoError(t, dump.Rollback())
	require.Eventually(t, func() bool {
		_, busy, err := db.Ledger.DropDays(t.Context(), noon.AddDate(0, -1, 0), noon.AddDate(0, -1, 0))
		require.NoError(t, err)
		return busy == 0
	}, 60*time.Second, 10*time.Millisecond)
	var left int
	require.NoError(t, plain.GetContext(t.Context(), &left, `SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '_20260[1]'`))
	require.Zero(t, left)
}

func TestReadersAndWritersAndDropsNeverDeadlock(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	r := recorder(t, db)
	for round := range 20 {
		require.NoError(t, db.Ledger.EnsureDay(t.Context(), noon.AddDate(0, -2, 0)))
		ended := make(chan error, 1)
		go func() {
			for {
				_, busy, err := db.Ledger.DropDays(t.Context(), noon.AddDate(0, -1, 0), noon.AddDate(0, -1, 0))
				if err != nil || busy == 0 {
					ended <- err
					return
				}
			}
		}()
		for n := 0; len(ended) == 0; n++ {
			_, err := plain.ExecContext(t.Context(), `SELECT count(*) FROM attempts a JOIN deliveries d USING (published_at) JOIN events e USING (published_at)`)
			require.NoError(t, err)
			require.NoError(t, r.WriteEvents(t.Context(), []webhook.Event{anEvent("e", uint64(1+round*1000+n), time.Duration(n)*time.Second)}))
		}
		require.NoError(t, <-ended)
	}
}
