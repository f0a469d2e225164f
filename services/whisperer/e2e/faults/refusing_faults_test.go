//go:build faults

package faults_test

import (
	"database/sql"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// A PostgreSQL server that refuses everything, or hangs, costs no event and no ledger entry, and nothing is set aside.
func TestF33PostgresThatRefusesOrHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.run()
	w.run()
	admin := w.administrator()
	stop := w.load(50, 1)
	w.lasts(2 * time.Second)
	_, err := admin.ExecContext(t.Context(), `ALTER TABLE deliveries RENAME TO gone`)
	require.NoError(t, err)
	w.lasts(seconds(12, 60))
	_, err = admin.ExecContext(t.Context(), `ALTER TABLE gone RENAME TO deliveries`)
	require.NoError(t, err)
	w.lasts(3 * time.Second)
	wake := w.hangPostgres(admin)
	w.lasts(seconds(12, 60))
	wake()
	w.lasts(3 * time.Second)
	stop()
	w.check(check{fault: "F33 PostgreSQL refuses, then hangs"})
	w.nothingAside()
}

// hangPostgres stops all processes of PostgreSQL until wake is called. Connections stay open.
func (w *world) hangPostgres(admin *sql.Conn) (wake func()) {
	w.t.Helper()
	pids := []int{w.postmaster()} // its children have process groups of their own
	rows, err := admin.QueryContext(w.t.Context(), `SELECT pid FROM pg_stat_activity`)
	require.NoError(w.t, err)
	defer rows.Close()
	for rows.Next() {
		var pid int
		require.NoError(w.t, rows.Scan(&pid))
		pids = append(pids, pid)
	}
	require.NoError(w.t, rows.Err())
	freeze := func(signal syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, signal) // a process may have ended meanwhile
		}
	}
	freeze(syscall.SIGSTOP)
	wake = sync.OnceFunc(func() { freeze(syscall.SIGCONT) })
	w.t.Cleanup(wake)
	return wake
}

// nothingAside checks that no ledger entry was set aside.
func (w *world) nothingAside() {
	w.t.Helper()
	n, err := w.bus.Aside().Count(w.t.Context())
	require.NoError(w.t, err)
	require.Zero(w.t, n, "set aside")
}

// TestF33APasswordThatIsWrong makes PostgreSQL refuse the workers' password, for far longer than it takes to be refused often.
// Everything that happened meanwhile, including parked deliveries, is recorded afterwards.
func TestF33APasswordThatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(2)
	paused := w.hook(w.receiver.URL+"/paused", func(h *webhook.Hook) { h.Status = webhook.Paused })
	admin := w.administrator()
	do := func(statement string) {
		_, err := admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	do(`CREATE ROLE worker SUPERUSER LOGIN PASSWORD 'right'`)
	database, err := url.Parse(w.pg.URL("postgres"))
	require.NoError(t, err)
	database.User = url.UserPassword("worker", "right")
	w.run("WHISPERER_DATABASE_URL=" + database.String())
	w.run("WHISPERER_DATABASE_URL=" + database.String())
	rate := 5
	if *full {
		rate = 1
	}
	stop := w.load(rate, 1)
	w.lasts(2 * time.Second)
	began := time.Now()
	do(`ALTER ROLE worker PASSWORD 'wrong'`)
	do(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'`)
	w.lasts(seconds(20, 420))
	require.Eventually(t, func() bool { return w.said("failed to write the ledger", "(28P01)") > 0 }, patience, 100*time.Millisecond, "the workers hear of it")
	do(`ALTER ROLE worker PASSWORD 'right'`)
	ended := time.Now()
	w.lasts(2 * time.Second)
	stop()
	_, err = w.db.Hooks.Update(t.Context(), "faults", webhook.DefaultTenant, paused.ID, nil, func(h *webhook.Hook) error {
		h.Status = webhook.Active
		return nil
	})
	require.NoError(t, err)
	w.hooks = append(w.hooks, paused)
	w.check(check{fault: "F33 the password is refused", sick: paused.ID, faults: []window{{began, ended}}})
	w.nothingAside()
}

// A worker that is cut off only from PostgreSQL does not keep facts from the others.
func TestF32AWorkerCutOffFromPostgresKeepsNothing(t *testing.T) {
	t.Parallel()
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
	w.lasts(seconds(20, 110))
	admin := w.administrator()
	before := w.count(admin, `SELECT count(*) FROM deliveries`)
	require.Eventually(t, func() bool {
		return w.count(admin, `SELECT count(*) FROM deliveries`) > before+50*hooks
	}, patience, 100*time.Millisecond, "the other worker records")
	recorded := w.count(admin, `SELECT count(*) FROM events`)
	require.Eventually(t, func() bool {
		return w.count(admin, `SELECT count(*) FROM (SELECT id FROM events ORDER BY published_at LIMIT `+strconv.Itoa(recorded)+`) e
			WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = e.id)`) == 0
	}, patience, 100*time.Millisecond, "what the one cut off had is recorded by the other")
	p.mend()
	stop()
	w.check(check{fault: "F32 a worker without PostgreSQL"})
}
