//go:build faults

package faults_test

import (
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// PostgreSQL that refuses everything, and one that hangs, cost no event and no ledger entry; nothing is set aside.
func TestF33PostgresThatRefusesOrHangs(t *testing.T) {
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.run()
	w.run()
	admin := w.administrator()
	stop := w.load(50, 1)
	w.lasts(2 * time.Second)
	_, err := admin.ExecContext(t.Context(), `ALTER TABLE deliveries RENAME TO gone`)
	require.NoError(t, err)
	w.lasts(12 * time.Second)
	_, err = admin.ExecContext(t.Context(), `ALTER TABLE gone RENAME TO deliveries`)
	require.NoError(t, err)
	w.lasts(3 * time.Second)
	pids := []int{w.postmaster()} // its children are groups of their own
	rows, err := admin.QueryContext(t.Context(), `SELECT pid FROM pg_stat_activity`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var pid int
		require.NoError(t, rows.Scan(&pid))
		pids = append(pids, pid)
	}
	require.NoError(t, rows.Err())
	freeze := func(signal syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, signal) // one that has ended meanwhile is none
		}
	}
	freeze(syscall.SIGSTOP)
	w.lasts(12 * time.Second)
	freeze(syscall.SIGCONT)
	w.lasts(3 * time.Second)
	stop()
	w.check(check{fault: "F33 PostgreSQL refuses, then hangs"})
	n, err := w.bus.AsideCount(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}

// A worker that is cut off from PostgreSQL alone keeps no facts from the others.
func TestF32AWorkerCutOffFromPostgresKeepsNothing(t *testing.T) {
	w := newWorld(t, false)
	w.goodHooks(hooks)
	at, err := url.Parse(w.pg.URL("postgres"))
	require.NoError(t, err)
	p := newProxy(t, at.Host, false)
	at.Host = p.at
	w.run()
	w.run("WHISPERER_DATABASE_URL=" + at.String())
	stop := w.load(50, 1)
	w.lasts(3 * time.Second)
	p.cut(true, true)
	w.lasts(20 * time.Second)
	admin := w.administrator()
	before := w.count(admin, `SELECT count(*) FROM deliveries`)
	w.lasts(5 * time.Second)
	require.Greater(t, w.count(admin, `SELECT count(*) FROM deliveries`), before+50*hooks, "the other worker records")
	var behind float64
	require.NoError(t, admin.QueryRowContext(t.Context(), `SELECT extract(epoch FROM now() - min(published_at)) FROM events e
		WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = e.id)`+` HAVING count(*) > 0 UNION ALL SELECT 0`).Scan(&behind))
	require.Less(t, behind, 15.0, "what the one cut off had is recorded by the other")
	p.mend()
	stop()
	w.check(check{fault: "F32 a worker without PostgreSQL"})
}
