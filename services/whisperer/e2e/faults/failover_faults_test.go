//go:build faults

package faults_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// administrator returns a connection to PostgreSQL that is exempt from the settings for other sessions.
func (w *world) administrator() *sql.Conn {
	w.t.Helper()
	db, err := sql.Open("postgres", w.pg.URL("postgres"))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(w.t.Context())
	require.NoError(w.t, err)
	return conn
}

// standby restarts PostgreSQL as a standby of a server that is gone. It is read-only until it is promoted.
func (w *world) standby() {
	w.t.Helper()
	require.NoError(w.t, w.pg.Stop(w.t.Context()))
	require.NoError(w.t, os.WriteFile(filepath.Join(w.pg.Dir(), "standby.signal"), nil, 0o600))
	w.startPostgres()
}

// set changes a setting for all sessions, including open ones. An empty value resets it.
func (w *world) set(admin *sql.Conn, name, value string) {
	w.t.Helper()
	statement := "ALTER SYSTEM RESET " + name
	if value != "" {
		statement = fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value)
	}
	_, err := admin.ExecContext(w.t.Context(), statement)
	require.NoError(w.t, err)
	require.Eventually(w.t, func() bool { // not every session notices a reload right after another one
		_, err := admin.ExecContext(w.t.Context(), "SELECT pg_reload_conf()")
		require.NoError(w.t, err)
		var now string
		require.NoError(w.t, admin.QueryRowContext(w.t.Context(), "SHOW "+name).Scan(&now))
		return value == "" || now == value
	}, patience, 100*time.Millisecond, "Postgres does not take the setting")
}

// count returns the number that a query returns.
func (w *world) count(admin *sql.Conn, query string) (n int) {
	w.t.Helper()
	require.NoError(w.t, admin.QueryRowContext(w.t.Context(), query).Scan(&n))
	return n
}

// during repeats do for the given time.
func (w *world) during(limit time.Duration, pause time.Duration, do func()) {
	w.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); w.lasts(pause) {
		do()
	}
}

// contend slowly locks waiting deliveries in the opposite order to the workers, and updates them. PostgreSQL resolves the
// deadlocks.
func contend(ctx context.Context, admin *sql.Conn) {
	tx, err := admin.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	defer tx.Rollback()
	_, _ = tx.ExecContext(ctx, `
		UPDATE deliveries d SET updated_at = d.updated_at FROM (
			SELECT id, published_at, pg_sleep(0.005) FROM (
				SELECT id, published_at FROM deliveries WHERE state = 'waiting' ORDER BY id DESC LIMIT 50 FOR UPDATE) locked) slowly
		WHERE d.id = slowly.id AND d.published_at = slowly.published_at`)
	_ = tx.Commit() // if this transaction was the victim, the workers went on
}

// TestF22FailoverOfPostgres takes PostgreSQL through a failover, with the errors of a real server. A standby takes over that is
// read-only (25006) for longer than it takes to set refused entries aside; it is promoted and ends sessions (57P01);
// connections are reset in the middle of statements; and transactions are rolled back because of others (40001, 40P01).
func TestF22FailoverOfPostgres(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.goodHooks(hooks)
	w.receiver.reacts(flaky)
	database, err := url.Parse(w.pg.URL("postgres"))
	require.NoError(t, err)
	p := newProxy(t, database.Host, false)
	database.Host = p.at
	w.run("WHISPERER_DATABASE_URL=" + database.String())
	w.run()
	stop := w.load(40, 1)
	w.lasts(2 * time.Second)
	began := time.Now()
	w.standby()
	w.lasts(seconds(9, 20))
	require.Eventually(t, func() bool { return w.said("failed to write the ledger", "(25006)") > 0 }, patience, 100*time.Millisecond, "the workers hear of it")
	admin := w.administrator()
	require.Equal(t, 1, w.count(admin, "SELECT pg_promote()::int"))
	w.during(seconds(3, 20), 100*time.Millisecond, func() {
		_, err := admin.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name NOT IN ('psql') AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)
		require.NoError(t, err)
	})
	w.during(seconds(3, 20), 50*time.Millisecond, p.reset)
	w.set(admin, "deadlock_timeout", "10ms")
	w.set(admin, "default_transaction_isolation", "serializable")
	w.during(seconds(4, 20), 0, func() { contend(t.Context(), admin) })
	w.set(admin, "default_transaction_isolation", "")
	ended := time.Now()
	w.lasts(2 * time.Second)
	stop()
	for _, p := range w.workers {
		p.awaitReady(t, patience)
	}
	w.check(check{
		fault: "F22 Postgres only reads, ends sessions, rolls back", bound: 0, faults: []window{{began, ended}}, recovery: again + slack(),
		note: fmt.Sprintf("%d reads only, %d sessions ended, %d serialization failures, %d deadlocks,", w.said("read-only transaction"),
			w.said("terminating connection"), w.said("could not serialize"), w.said("deadlock detected")),
	})
	require.Zero(t, w.said("ledger entry set aside"), "nothing healthy is put aside")
	require.Zero(t, w.count(admin, `SELECT count(*) FROM rejected_events`))
	require.Zero(t, w.count(admin, `SELECT count(*) FROM (SELECT FROM deliveries GROUP BY id HAVING count(*) > 1) twice`))
	require.Zero(t, w.count(admin, `SELECT count(*) FROM (SELECT FROM events GROUP BY tenant, id HAVING count(*) > 1) twice`))
	require.Zero(t, w.count(admin, `SELECT count(*) FROM deliveries d WHERE d.attempts <> (
		SELECT count(*) FROM attempts a WHERE a.delivery_id = d.id AND a.published_at = d.published_at)`), "each attempt is recorded once")
	require.Equal(t, w.receiver.ledger.len(), w.count(admin, `SELECT count(*) FROM attempts`))
	require.Eventually(t, func() bool { return w.count(admin, `SELECT count(*) FROM events`) == w.events.len() }, patience, 100*time.Millisecond)
}
