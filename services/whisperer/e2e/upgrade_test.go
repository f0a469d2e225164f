package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// An upgrade migrates first and then replaces the programs one by one. So for a while this release's programs run,
// and start, on the next release's schema. This test adds to every table what the next release may add: a nullable
// column, one with a default, an index, and an additional table.

// plain opens the system's database directly.
func (s *system) plain() *sql.DB {
	s.t.Helper()
	url := ""
	for _, v := range s.env {
		if value, ok := strings.CutPrefix(v, "WHISPERER_DATABASE_URL="); ok {
			url = value
		}
	}
	db, err := sql.Open("postgres", url)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, db.Close()) })
	return db
}

// migrateOn changes the schema into that of a later release.
func (s *system) migrateOn(db *sql.DB) {
	s.t.Helper()
	rows, err := db.QueryContext(s.t.Context(), `
		SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'goose_db_version' ORDER BY 1`)
	require.NoError(s.t, err)
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		require.NoError(s.t, rows.Scan(&name))
		tables = append(tables, name)
	}
	require.NoError(s.t, rows.Err())
	require.Contains(s.t, tables, "deliveries")
	for _, table := range tables {
		_, err := db.ExecContext(s.t.Context(), fmt.Sprintf(`
			ALTER TABLE %[1]s ADD COLUMN next_release_note text, ADD COLUMN next_release_count integer NOT NULL DEFAULT 0;
			CREATE INDEX ON %[1]s (next_release_count)`, table))
		require.NoError(s.t, err, table)
	}
	_, err = db.ExecContext(s.t.Context(), `
		CREATE TABLE next_release (id uuid PRIMARY KEY);
		INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version`)
	require.NoError(s.t, err)
}

// waits starts a program that does not become ready. It returns when its check has said why, and requires the reason
// once in its log.
func (s *system) waits(name, why string) {
	s.t.Helper()
	health := freeAddress(s.t)
	ctx, stop := context.WithCancel(s.t.Context())
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, name))
	cmd.Env = append(slices.Clip(s.env), "WHISPERER_HEALTH_LISTEN="+health, "WHISPERER_LISTEN="+freeAddress(s.t))
	log, err := os.Create(filepath.Join(s.t.TempDir(), "log"))
	require.NoError(s.t, err)
	defer log.Close()
	cmd.Stderr = log
	said := func() string {
		content, err := os.ReadFile(log.Name())
		require.NoError(s.t, err)
		return string(content)
	}
	require.NoError(s.t, cmd.Start())
	began := time.Now()
	require.Eventually(s.t, func() bool {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+health+"/readyz", nil)
		require.NoError(s.t, err)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(text), why) && strings.Contains(said(), why)
	}, 2*time.Minute, 50*time.Millisecond, "%s does not say %q", name, why)
	stop()
	_ = cmd.Wait() // it was killed
	require.LessOrEqual(s.t, strings.Count(said(), why), 1+int(time.Since(began)/time.Minute), "it says so once a minute: %s", said())
}

// newHook creates a hook for all orders and returns when the workers know it, which probes show.
func (s *system) newHook(path string) string {
	s.t.Helper()
	id := s.hook(`{"event_type":"order.>","target_url":"` + s.receiver.URL + path + `","secret_key":"` + secret + `"}`)
	n := 0
	require.Eventually(s.t, func() bool {
		n++
		require.NoError(s.t, s.publish(s.t.Context(), fmt.Sprintf(`{"event_id":"probe-%s-%d","data":1}`, path[1:], n)))
		return slices.ContainsFunc(s.receiver.All(), func(r testenv.Received) bool { return r.Path == path })
	}, 2*time.Minute, 200*time.Millisecond, "no worker knows the hook")
	return id
}

// publishAndAwait publishes events with these ids and waits until the ledger says that the hook has got them.
func (s *system) publishAndAwait(hook string, ids ...string) {
	s.t.Helper()
	want := map[string]webhook.DeliveryState{}
	for _, id := range ids {
		require.NoError(s.t, s.publish(s.t.Context(), `{"event_id":"`+id+`","data":1}`))
		want[id] = webhook.Delivered
	}
	s.awaitRecorded(hook, want, 0)
}

func (s *system) startAPI() *program {
	s.t.Helper()
	address := freeAddress(s.t)
	p := s.start("subscription-api", "WHISPERER_LISTEN="+address)
	s.api = "http://" + address
	return p
}

// ask calls the API, and requires a 2xx.
func (s *system) ask(method, path, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.api+path, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Token "+s.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	require.NoError(s.t, err)
	require.NoError(s.t, res.Body.Close())
	require.Equal(s.t, 2, res.StatusCode/100, "%s %s: %s", method, path, res.Status)
}

func TestProgramsOfThisReleaseRunAndStartOnTheNextOnesSchema(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	worker := s.start("delivery-worker")
	before := s.newHook("/before")
	s.publishAndAwait(before, "e-1")
	db := s.plain()
	s.migrateOn(db)

	// Running programs continue.
	s.publishAndAwait(before, "e-2", "e-3")
	running := s.newHook("/running")
	s.publishAndAwait(running, "e-4")

	// A program that dies starts again, and everything that it writes and reads works.
	worker.stop(t)
	s.start("delivery-worker")
	s.startAPI()
	started := s.newHook("/started")
	s.publishAndAwait(started, "e-5")
	hook := "/whisperer/hooks/" + started + "/"
	s.ask(http.MethodPost, hook+"pause/", "")
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-6","data":1}`)) // parked, because the pause is known by then
	s.ask(http.MethodPost, hook+"resume/", "")
	s.awaitRecorded(started, map[string]webhook.DeliveryState{"e-6": webhook.Delivered}, 0)
	s.ask(http.MethodPatch, hook, `{"name":"renamed"}`)
	s.ask(http.MethodPost, hook+"secret/rotate/", "")
	s.ask(http.MethodPost, hook+"replay/", `{"from":"2026-01-01T00:00:00Z","states":["delivered"],"reason":"upgrade"}`)
	s.ask(http.MethodPost, "/whisperer/tokens/", `{"name":"upgrade","role":"viewer"}`)
	s.ask(http.MethodPost, "/whisperer/hooks/registry/", `{"name":"upgrade.done"}`)
	for _, list := range []string{"hooks", "events", "deliveries", "jobs", "tokens", "tenants", "rejected-events", "hook_events"} {
		s.ask(http.MethodGet, "/whisperer/"+list+"/", "")
	}
	s.ask(http.MethodGet, "/whisperer/events/e-5/explain/", "")
	s.ask(http.MethodGet, hook+"stats/", "")

	// The programs refuse a schema that says it has removed what they need.
	_, err := db.ExecContext(t.Context(), `UPDATE schema_support SET oldest = (SELECT max(version_id) FROM goose_db_version)`)
	require.NoError(t, err)
	for _, name := range []string{"delivery-worker", "subscription-api"} {
		s.waits(name, "run a newer program")
	}
}

func TestProgramsOfThisReleaseWaitForNobodyOnTheOneBefores(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	worker := s.start("delivery-worker")
	hook := s.hook(`{"event_type":"order.created","target_url":"` + s.receiver.URL + `/","secret_key":"` + secret + `"}`)
	worker.stop(t)
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-1","data":1}`))
	db := s.plain()
	_, err := db.ExecContext(t.Context(), `DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
	require.NoError(t, err)
	for _, name := range []string{"delivery-worker", "subscription-api"} {
		s.waits(name, "whisperer migrate up")
	}
	// Everything published meanwhile is delivered once the schema is right.
	_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version`)
	require.NoError(t, err)
	s.start("delivery-worker")
	s.awaitRecorded(hook, map[string]webhook.DeliveryState{"e-1": webhook.Delivered}, 1)
}
