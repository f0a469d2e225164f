//go:build faults

package faults_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// old selects the partitions of expired days, which the scenario below creates.
const old = `FROM pg_class WHERE relkind = 'r' AND relname ~ '^(events|deliveries|attempts|rejected_events)_2020[0-9]{4}$'`

// dump begins what pg_dump does: one snapshot, and a lock on every table and partition, including those of old days.
func (w *world) dump(admin *sql.Conn, days int) (end func()) {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	for {
		for day := range days {
			require.Eventually(w.t, func() bool { // a worker may still be dropping it
				return w.db.Ledger.EnsureDay(ctx, time.Date(2020, 2, 1+day, 0, 0, 0, 0, time.UTC)) == nil
			}, patience, 20*time.Millisecond, "the day is made")
		}
		tx, err := admin.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
		require.NoError(w.t, err)
		_, err = tx.ExecContext(ctx, `LOCK TABLE events, deliveries, attempts, rejected_events IN ACCESS SHARE MODE`)
		require.NoError(w.t, err)
		var attached int
		require.NoError(w.t, tx.QueryRowContext(ctx, `SELECT count(*) FROM pg_inherits WHERE NOT inhdetachpending AND inhrelid IN (SELECT oid `+old+`)`).Scan(&attached))
		if attached == 4*days {
			_, err = tx.ExecContext(ctx, `SELECT count(*) FROM events JOIN deliveries USING (published_at) JOIN attempts USING (published_at)`)
			require.NoError(w.t, err)
			return func() { require.NoError(w.t, tx.Commit()) }
		}
		require.NoError(w.t, tx.Rollback()) // some were dropped before they were read
	}
}

// grows waits until a number has grown by n.
func (w *world) grows(what string, n int, number func() int) {
	w.t.Helper()
	before := number()
	require.Eventually(w.t, func() bool { return number() >= before+n }, patience, 20*time.Millisecond, what)
}

// TestF38OldDaysAreDroppedBesideADump makes workers drop old days while a transaction reads everything, repeatedly. Meanwhile
// events are fanned out, recorded and looked up, and a hook with a rate limit is drained. The days are dropped when the
// transaction has ended.
func TestF38OldDaysAreDroppedBesideADump(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(2)
	w.hook(w.receiver.URL+"/slow", func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":5,"period":1}}`) })
	for range 2 {
		w.run("WHISPERER_HOUSEKEEP_EVERY=1s")
	}
	a := w.administrated("WHISPERER_REQUEST_RATE=0")
	reader, admin := w.administrator(), w.administrator()
	runs := 2
	if *full {
		runs = 20
	}
	stop := w.load(30, 1)
	w.lasts(3 * time.Second)
	faults := make([]window, runs)
	var slowest time.Duration // from the end of the reader to the drop of the days
	for i := range runs {
		faults[i].began = time.Now()
		end := w.dump(reader, 1+i%3)
		require.Eventually(t, func() bool { return w.count(admin, `SELECT count(*) FROM pg_inherits WHERE inhdetachpending`) > 0 }, patience, 20*time.Millisecond, "a worker wants to drop them")
		for range 3 {
			w.grows("fan-out goes on", 30, func() int { return w.receiver.Count("/good/0") })
			w.grows("recording goes on", 30, func() int { return w.count(admin, `SELECT count(*) FROM attempts`) })
			w.grows("draining goes on", 5, func() int { return w.receiver.Count("/slow") })
			for _, list := range []string{"/whisperer/events/", "/whisperer/deliveries/", "/whisperer/deliveries/?state=delivered"} {
				require.Equal(t, http.StatusOK, a.get(t, list).status, list)
			}
			require.NoError(t, w.db.Ledger.EnsureDay(t.Context(), time.Now().AddDate(0, 0, 10+i)))
		}
		require.Positive(t, w.count(admin, `SELECT count(*) `+old), "they are dropped after the reader")
		faults[i].ended = time.Now()
		end()
		require.Eventually(t, func() bool { return w.count(admin, `SELECT count(*) `+old) == 0 }, patience, 20*time.Millisecond, "they are dropped")
		slowest = max(slowest, time.Since(faults[i].ended))
	}
	stop()
	w.check(check{
		fault: fmt.Sprintf("F38 old days dropped beside a dump, %d times", runs), faults: faults,
		note: fmt.Sprintf("dropped within %s of the reader's end,", short(slowest)),
	})
	require.Zero(t, w.count(admin, `SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'`))
	require.Zero(t, w.said("deadlock detected"))
}
