package console_test

import (
	"database/sql"
	"flag"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

var (
	bigAttempts = flag.Int("attempts", 20_000, "how many attempts the pages are measured with")
	bigHooks    = flag.Int("hooks", 500, "how many hooks the pages are measured with")
	bigRounds   = flag.Int("rounds", 3, "how often each page is asked for")
)

// maxFirstLoad bounds what a browser gets for a page that it never saw, its files included, in bytes.
const maxFirstLoad = 150 << 10

// days is how far back the attempts go.
const days = 7

// fill stores hooks and what became of their events, evenly over a week; some hooks have very many deliveries and most
// have few. One delivery in 50 is not delivered.
func fill(t *testing.T, w *world) (hooks []uuid.UUID) {
	t.Helper()
	config, err := webhook.ParseConfig(nil)
	require.NoError(t, err)
	list := make([]webhook.Hook, *bigHooks)
	for i := range list {
		list[i] = webhook.Hook{
			Name: fmt.Sprintf("Shop %05d", i), EventTypes: []string{"order.created", "package.>"}, TargetURL: fmt.Sprintf("http://example.com/%d", i),
			NotificationType: webhook.NotificationREST, Config: config, Status: webhook.Active, Secrets: []webhook.Secret{{Value: "a secret"}},
		}
	}
	hooks, err = w.db.CreateHooks(t.Context(), "test", webhook.DefaultTenant, list, *bigHooks)
	require.NoError(t, err)
	plain, err := sql.Open("postgres", w.db.URL)
	require.NoError(t, err)
	defer plain.Close()
	for _, step := range []string{
		`SELECT whisperer_ensure_day(d::date) FROM generate_series(now() - interval '8 days', now() + interval '1 day', interval '1 day') d`,
		`SET synchronous_commit = off`,
		`CREATE TEMP TABLE numbered AS SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM hooks`,
		`INSERT INTO events (published_at, tenant, id, seq, type, time, entity, data, digest)
			SELECT now() - i * interval '` + fmt.Sprint(days*86400) + ` seconds' / $1::int, 'default', 'e-' || i, i, CASE i % 3 WHEN 0 THEN 'order.created' ELSE 'package.created' END,
				now(), 'order:' || i / 4, '{"id": 61, "number": "PK-000061", "total": 17}', '\x00' FROM generate_series(1, $1::int / 10) i`,
		`INSERT INTO deliveries (published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state, reason, attempts, next_at, updated_at, last_status)
			SELECT e.published_at, gen_random_uuid(), 'default', k.id, e.id, e.seq, e.type, e.entity, s.state,
				CASE s.state WHEN 'dead' THEN 'retries_exhausted' WHEN 'delivered' THEN '' ELSE 'attempt_failed' END, 1,
				CASE s.state WHEN 'waiting' THEN now() + interval '1 hour' END, e.published_at, CASE s.state WHEN 'delivered' THEN 200 ELSE 503 END
			FROM (SELECT e.*, f FROM events e, generate_series(1, 10) f) e
			CROSS JOIN LATERAL (SELECT CASE WHEN (e.seq * 10 + f) % 50 > 0 THEN 'delivered' WHEN (e.seq * 10 + f) % 150 = 0 THEN 'waiting' ELSE 'dead' END AS state) s
			JOIN numbered k ON k.n = floor($2::int * power(((e.seq * 7919 + f * 104729) % 1000003) / 1000003.0, 4))`,
		`INSERT INTO attempts (published_at, delivery_id, number, tenant, hook_id, started_at, duration_us, outcome, status, worker, method, url)
			SELECT published_at, id, 1, tenant, hook_id, published_at, 20000 + event_seq % 90000, CASE state WHEN 'delivered' THEN 'succeeded' ELSE 'failed' END, last_status, 'w-1', 'POST', 'http://example.com/'
			FROM deliveries`,
		`INSERT INTO hook_health (hook_id, tenant, failing_since, failures, last_class, last_attempt_at, succeeded)
			SELECT id, 'default', CASE WHEN n % 40 = 7 THEN now() - n * interval '1 minute' END, n % 40, 'http_status', now() - n * interval '1 second', n % 40 <> 7 FROM numbered`,
		`ANALYZE`,
	} {
		conn := plain
		args := []any{*bigAttempts, *bigHooks}
		n := len(regexp.MustCompile(`\$1`).FindAllString(step, 1)) + len(regexp.MustCompile(`\$2`).FindAllString(step, 1))
		if n == 1 && regexp.MustCompile(`\$2`).MatchString(step) {
			args, step = args[1:], regexp.MustCompile(`\$2`).ReplaceAllString(step, "$$1")
		}
		conn.SetMaxOpenConns(1) // the temporary table is the connection's
		_, err := conn.ExecContext(t.Context(), step, args[:n]...)
		require.NoError(t, err, step)
	}
	return hooks
}

// TestPagesWithManyHooksAndAttempts prints how long the server takes for each page, and how large it is. `make
// bench-console` runs it with 10,000 hooks.
func TestPagesWithManyHooksAndAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := time.Now()
	hooks := fill(t, w)
	t.Logf("%d hooks, %d attempts, filled in %s", *bigHooks, *bigAttempts, time.Since(begin).Round(time.Second))
	p := w.signIn(t, w.operator)
	zipped := func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }
	files := 0
	for _, file := range regexp.MustCompile(`/console/static/[a-z.]+\?v=[0-9a-f]{12}`).FindAllString(p.get(t, "/console/sign-in").text, -1) {
		files += len(p.send(t, http.MethodGet, file, nil, zipped).text)
	}
	busy, quiet := "hooks/"+hooks[0].String()+"/", "hooks/"+hooks[len(hooks)-1].String()+"/"
	newest, _, err := w.db.Deliveries(t.Context(), "default", postgres.DeliveryFilter{}, postgres.Page{Limit: 1})
	require.NoError(t, err)
	t.Logf("%-46s %9s %9s %9s", "page", "p50", "p99", "bytes")
	for _, path := range []string{
		"", "hooks/", "hooks/?sort=name", "hooks/?sort=failing", "hooks/?sort=activity", "hooks/?search=0042", busy, quiet, busy + "replay", busy + "changes",
		busy + "integrate", "hooks/new", "deliveries/", "deliveries/?state=dead", "deliveries/?state=waiting,parked,dead&since=720h", "deliveries/?hook=" + hooks[0].String(),
		"deliveries/?event_type=package.%3E", "deliveries/?status=5xx", "deliveries/?entity=order:100", "deliveries/" + newest[0].ID.String() + "/", "deliveries/retry?state=dead",
		"events/", "events/?event_type=order.created", "event?id=" + newest[0].EventID, "event/explain?id=" + newest[0].EventID, "rejected/", "types/", "tokens/", "audit/", "system/",
	} {
		var took []time.Duration
		bytes := 0
		for range *bigRounds {
			at := time.Now()
			a := p.get(t, "/console/"+path)
			took = append(took, time.Since(at))
			require.Equal(t, http.StatusOK, a.status, path)
			bytes = len(p.send(t, http.MethodGet, "/console/"+path, nil, zipped).text)
		}
		slices.Sort(took)
		require.LessOrEqual(t, bytes+files, maxFirstLoad, path)
		name := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).ReplaceAllString(path, "…")
		t.Logf("%-46s %9s %9s %9d", "/console/"+name, took[len(took)/2].Round(time.Microsecond*100), took[len(took)*99/100].Round(time.Microsecond*100), bytes+files)
	}
}
