package httpapi_test

import (
	"database/sql"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// admin executes a statement without the API.
func (w *world) admin(t *testing.T, statement string) {
	t.Helper()
	db, err := sql.Open("postgres", w.db.URL)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), statement)
	require.NoError(t, err)
}

func TestWhatFailedIsLoggedAndNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, `ALTER TABLE event_types RENAME TO gone`)
	a := w.call(t, http.MethodGet, registry, "")
	require.Equal(t, http.StatusInternalServerError, a.status)
	require.NotContains(t, a.text, "event_types")
	logged := w.logs.FilterMessage("request failed").All()
	require.Len(t, logged, 1)
	require.Contains(t, logged[0].ContextMap()["error"], "event_types")
}

func TestAFrozenDatabaseIsAnsweredWith503InTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "").status)
	db, err := sql.Open("postgres", w.db.URL)
	require.NoError(t, err)
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), `LOCK TABLE hooks IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	for range 6 { // more than there are connections
		begin := time.Now()
		a := w.call(t, http.MethodGet, hooks, "")
		require.Equal(t, http.StatusServiceUnavailable, a.status, a.text)
		require.NotEmpty(t, a.header.Get("Retry-After"))
		require.Less(t, time.Since(begin), 30*time.Second)
	}
	require.NoError(t, tx.Rollback())
	require.Eventually(t, func() bool { return w.call(t, http.MethodGet, hooks, "").status == http.StatusOK }, time.Minute, 50*time.Millisecond)
}

// away returns a database that does not answer.
func away(t *testing.T) *store.DB {
	t.Helper()
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	db, err := store.Open("postgres://u@127.0.0.1:1/x?sslmode=disable", 2, ring)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestADatabaseThatIsAwayIsAnsweredWith503(t *testing.T) {
	t.Parallel()
	away, alive := away(t), newWorld(t)
	for name, without := range map[string]func(*store.DB){
		"hooks":  func(db *store.DB) { db.Hooks = away.Hooks },
		"tokens": func(db *store.DB) { db.Access = away.Access }, // nobody can be authenticated, which is not a 401
	} {
		db := *alive.db.DB
		without(&db)
		w := newWorld(t, func(d *httpapi.Deps) { d.Cases.Stores = usecase.NewStores(&db, &db) })
		begin := time.Now()
		a := w.call(t, http.MethodGet, hooks, "", token(alive.token))
		require.Equal(t, http.StatusServiceUnavailable, a.status, name)
		require.NotEmpty(t, a.header.Get("Retry-After"))
		require.Less(t, time.Since(begin), 30*time.Second)
	}
}

func TestEveryRequestIsCountedAndLoggedOnce(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	w := newWorld(t, func(d *httpapi.Deps) { d.Metrics = metrics })
	hook := w.create(t, oldExample)
	w.call(t, http.MethodGet, path(hook)+"?x=canary", "")
	w.call(t, http.MethodGet, "/nope/canary", "")
	w.call(t, "BREW", hooks, "")
	n, err := testutil.GatherAndCount(metrics, "whisperer_api_requests_total")
	require.NoError(t, err)
	require.Equal(t, 5, n, "the document, and one for each of the four")

	served := w.logs.FilterMessage("request served")
	require.Equal(t, 5, served.Len())
	line := served.FilterField(zap.Int("status_code", 400)).All()[0].ContextMap()
	require.Equal(t, "GET", line["method"])
	require.Equal(t, "/whisperer/hooks/{id}/", line["route"])
	require.Equal(t, "default", line["tenant"])
	require.NotEmpty(t, line["token_id"])
	require.NotContains(t, line, "trace_id")
}

func TestLogLinesLeadToTheCallersTraceAndTheEvent(t *testing.T) {
	t.Parallel()
	w, _ := newBus(t) // traces nothing itself
	hook := w.create(t, oldExample)
	const id = "0af7651916cd43dd8448eb211c80319c"
	traced := header("Traceparent", "00-"+id+"-b7ad6b7169203331-01")
	w.call(t, http.MethodPost, "/whisperer/events/", `{"event_type":"order.created","event_id":"e-1","data":{}}`, traced)
	w.call(t, http.MethodGet, "/whisperer/events/e-2/", "", traced)
	w.call(t, http.MethodGet, "/whisperer/events/e-3/", "", header("Traceparent", "00-made up by a stranger, and much longer than it is to be-01"))
	w.call(t, http.MethodGet, path(hook), "", traced)
	served := w.logs.FilterMessage("request served")
	line := served.FilterField(zap.String("route", "/whisperer/hooks/{id}/")).All()[0].ContextMap()
	require.Equal(t, []any{hook["id"], id}, []any{line["id"], line["trace_id"]})
	for _, event := range []string{"e-1", "e-2"} {
		lines := served.FilterField(zap.String("event_id", event)).All()
		require.Len(t, lines, 1, event)
		require.Equal(t, id, lines[0].ContextMap()["trace_id"], event)
	}
	require.NotContains(t, served.FilterField(zap.String("event_id", "e-3")).All()[0].ContextMap(), "trace_id")
}

func TestTheDocumentIsReadableWithoutOtherHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, p := range []string{"/whisperer/docs", "/whisperer/docs/", "/whisperer/docs/page.css", "/whisperer/docs/page.js", "/whisperer/docs/scalar.js"} {
		a := get(t, w.url+p)
		require.Equal(t, http.StatusOK, a.status, p)
		policy := a.header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'; script-src 'self'; ", p)
		require.NotContains(t, policy, "http", "no other host")
		require.NotContains(t, policy, "unsafe-eval")
		require.NotRegexp(t, `(src|href)="(https?:)?//`, a.text[:min(len(a.text), 10_000)], p)
	}
	require.NotContains(t, get(t, w.url+"/whisperer/openapi.json").header.Get("Content-Security-Policy"), "unsafe", "the page's alone")
	require.Equal(t, "3.1.0", w.document.OpenAPI)
	require.Empty(t, w.document.Components.Schemas["ErrorModel"])
}

func TestTheDocumentIsTheOneThatWasAgreed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const golden = "testdata/openapi.golden.json"
	got := get(t, w.url+"/whisperer/openapi.json").text
	if os.Getenv("WHISPERER_UPDATE_GOLDEN") != "" {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, indent(t, got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(indent(t, got)), "if that is meant: WHISPERER_UPDATE_GOLDEN=1 go test ./internal/httpapi -run TestTheDocument")
}

func TestEventsThatAreNotCheckedAreLoggedWithTheirTrace(t *testing.T) {
	t.Parallel()
	away, alive, b := away(t), newWorld(t), testenv.Bus(t)
	db := *alive.db.DB
	db.Ledger = away.Ledger
	w := newWorld(t, func(d *httpapi.Deps) {
		d.Cases.Stores, d.Publisher, d.Types = usecase.NewStores(&db, &db), b, noTypes()
	})
	const id = "0af7651916cd43dd8448eb211c80319c"
	a := w.call(t, http.MethodPost, "/whisperer/events/", `{"event_type":"order.created","event_id":"e-1","data":{}}`, token(alive.token),
		header("Traceparent", "00-"+id+"-b7ad6b7169203331-01"))
	require.Equal(t, http.StatusAccepted, a.status)
	lines := w.logs.FilterMessage("publishing events without checking for duplicates").All()
	require.Len(t, lines, 1)
	require.Equal(t, []any{"e-1", id}, []any{lines[0].ContextMap()["event_id"], lines[0].ContextMap()["trace_id"]})
}
