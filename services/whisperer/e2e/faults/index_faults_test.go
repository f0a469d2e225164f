//go:build faults

package faults_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// readiness returns the response of /readyz.
func (p *process) readiness(t *testing.T) (ready bool, text string) {
	t.Helper()
	answer, err := http.Get("http://" + p.health + "/readyz") //nolint:noctx // a test that hangs is ended
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode == http.StatusOK, string(body)
}

// newcomers creates hooks one after another, each for a type of its own, and publishes events of that type right after.
func (w *world) newcomers(prefix string, n, events int) (hooks []webhook.Hook) {
	w.t.Helper()
	for i := range n {
		hooks = append(hooks, w.newcomer(prefix, i))
		w.greet(prefix, i, events)
	}
	return hooks
}

// newcomer creates a hook for a type of its own.
func (w *world) newcomer(prefix string, i int) webhook.Hook {
	w.t.Helper()
	name := fmt.Sprintf("%s%d", prefix, i)
	return w.hook(w.receiver.URL+"/"+name, func(h *webhook.Hook) { h.EventTypes = []string{name + ".>"} })
}

// greet publishes events of a newcomer's type.
func (w *world) greet(prefix string, i, events int) {
	w.t.Helper()
	name := fmt.Sprintf("%s%d", prefix, i)
	var list []bus.Outgoing
	for e := range events {
		one := event(fmt.Sprintf("%s-%d", name, e), "", `{}`)
		one.Type = name + ".created"
		list = append(list, one)
	}
	require.NoError(w.t, w.bus.PublishEvents(w.t.Context(), list))
}

// reached waits until all events of n newcomers have arrived. It returns how many are missing, how many arrived more than once,
// and how long it took.
func (w *world) reached(prefix string, n, events int) (lost, doubled int, took time.Duration) {
	w.t.Helper()
	began := time.Now()
	for time.Since(began) < patience {
		lost, doubled = 0, 0
		for i := range n {
			got := w.receiver.Count(fmt.Sprintf("/%s%d", prefix, i))
			lost, doubled = lost+max(0, events-got), doubled+max(0, got-events)
		}
		if lost == 0 {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	return lost, doubled, time.Since(began)
}

// ended lists the states and reasons of deliveries that are cancelled or dead.
func (w *world) ended() (list string) {
	w.t.Helper()
	db := testenv.Plain(w.t, w.pg.URL("postgres"))
	require.NoError(w.t, db.QueryRowContext(w.t.Context(), `
		SELECT coalesce(string_agg(DISTINCT state || ' ' || reason, ', '), '') FROM deliveries WHERE state IN ('cancelled', 'dead')`).Scan(&list))
	return list
}

// TestF31AHookThatWorkersCannotOpen runs a worker without the key with which new hooks are sealed. It parks their deliveries,
// loses nothing, and goes on with other hooks; with the key it sends what was parked.
func TestF31AHookThatWorkersCannotOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(1)
	lacking := w.run()
	both := seal.NewKey() + "," + w.key
	ring, err := seal.ParseRing(both)
	require.NoError(t, err)
	db, err := store.Open(w.pg.URL("postgres"), 4, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	old := w.db
	w.db = db
	n, events := 5, 10
	if *full {
		n, events = 50, 20
	}
	foreign := w.newcomers("foreign", n, events)
	w.db = old
	w.newcomers("own", n, events)
	lost, _, _ := w.reached("own", n, events)
	require.Zero(t, lost, "the others work")
	require.Eventually(t, func() bool {
		parked, err := w.db.Queue.Count(t.Context(), 10_000)
		return err == nil && parked.N == n*events
	}, patience, 50*time.Millisecond, "what cannot be sent is parked")
	lacking.awaitReady(t, patience)
	require.Contains(t, metricsOf(t, lacking), fmt.Sprintf("whisperer_hooks_unreadable %d", n))
	for _, h := range foreign {
		require.Zero(t, w.receiver.Count(strings.TrimPrefix(h.TargetURL, w.receiver.URL)))
	}
	w.lasts(seconds(0, 80))
	require.Empty(t, w.ended())
	lacking.stop(t)
	w.run("WHISPERER_MASTER_KEY=" + both)
	lost, doubled, took := w.reached("foreign", n, events)
	results.add(result{fault: "F31 a master key is missing", acked: n * events, lost: lost, extras: doubled, recovery: took})
	require.Zero(t, lost)
	require.Zero(t, doubled)
	require.Empty(t, w.ended())
}

func metricsOf(t *testing.T, p *process) string {
	t.Helper()
	answer, err := http.Get("http://" + p.health + "/metrics") //nolint:noctx // a test that hangs is ended
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(body)
}

// TestF31AWorkerThatDoesNotHearOfChanges cuts one of two workers off PostgreSQL while hooks are created, paused and deleted. It
// is not ready and says why. After it has reconnected, no hook has missed anything.
func TestF31AWorkerThatDoesNotHearOfChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	database, err := url.Parse(w.pg.URL("postgres"))
	require.NoError(t, err)
	p := newProxy(t, database.Host, false)
	database.Host = p.at
	w.run()
	cut := w.run("WHISPERER_DATABASE_URL=" + database.String())
	p.cut(true, true)
	n := 20
	if *full {
		n = 200
	}
	const events = 5
	w.newcomers("while", n, events)
	require.Eventually(t, func() bool { ready, _ := cut.readiness(t); return !ready }, patience, 100*time.Millisecond)
	require.Eventually(t, func() bool {
		_, text := cut.readiness(t)
		return strings.Contains(text, "hooks are known as they were")
	}, patience, 100*time.Millisecond)
	w.lasts(seconds(0, 80))
	w.newcomers("still", n, events)
	p.mend()
	cut.awaitReady(t, patience)
	lost, doubled, took := w.reached("while", n, events)
	lost2, doubled2, took2 := w.reached("still", n, events)
	results.add(result{
		fault: "F31 a worker does not hear of changes", acked: 2 * n * events, lost: lost + lost2, extras: doubled + doubled2, bound: underWay, recovery: took + took2,
	})
	require.Zero(t, lost+lost2)
	require.Empty(t, w.ended())
}

// TestF31AWorkerThatDiesBeforeItHearsOfChanges cuts one of two workers off PostgreSQL until no other program waits for it any
// more, and then kills it. Events that it fanned out meanwhile reach the hooks that it did not know.
func TestF31AWorkerThatDiesBeforeItHearsOfChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	database, err := url.Parse(w.pg.URL("postgres"))
	require.NoError(t, err)
	p := newProxy(t, database.Host, false)
	database.Host = p.at
	w.run()
	cut := w.run("WHISPERER_DATABASE_URL=" + database.String())
	plain := testenv.Plain(t, w.pg.URL("postgres"))
	counts := func(query string, want int) func() bool {
		return func() bool {
			var n int
			require.NoError(t, plain.QueryRowContext(t.Context(), query).Scan(&n))
			return n == want
		}
	}
	p.cut(true, true)
	require.Eventually(t, counts(`SELECT count(*) FROM workers WHERE expires_at > clock_timestamp()`, 1), patience, 100*time.Millisecond)
	n := 20
	if *full {
		n = 200
	}
	for i := range n {
		w.newcomer("unheard", i)
	}
	require.Eventually(t, counts(`SELECT count(*) FROM hook_gaps WHERE NOT done`, 0), patience, 100*time.Millisecond)
	const events = 20
	for i := range n {
		w.greet("unheard", i, events)
	}
	require.Eventually(t, func() bool {
		lag, err := w.bus.Lag(t.Context(), bus.Fanout)
		return err == nil && lag.Done(lag.Last)
	}, patience, 50*time.Millisecond, "all is fanned out")
	cut.kill()
	lost, doubled, took := w.reached("unheard", n, events)
	results.add(result{fault: "F31 a worker dies before it hears of changes", acked: n * events, lost: lost, extras: doubled, bound: underWay, recovery: took})
	require.Zero(t, lost)
	require.LessOrEqual(t, doubled, underWay)
	require.Empty(t, w.ended())
}

// TestF31APoolerInTransactionMode runs a program behind PgBouncer in transaction mode: it is not ready and says what to do.
func TestF31APoolerInTransactionMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	p := w.start("WHISPERER_DATABASE_URL=" + testenv.PgBouncer(t, w.pg.URL("postgres"), "transaction"))
	require.Eventually(t, func() bool {
		answer, err := http.Get("http://" + p.health + "/readyz") //nolint:noctx // a test that hangs is ended
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer.StatusCode != http.StatusOK && strings.Contains(string(body), "pool_mode = session")
	}, patience, 100*time.Millisecond)
}
