//go:build faults

package faults_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// bounded is the maximum time for a response of the API, whatever is cut off.
func bounded() time.Duration { return 15*time.Second + slack() }

// reply is a response of the API. Its status is 0 if there was none in time.
type reply struct {
	status int
	took   time.Duration
}

// get sends a GET request to the API.
func (a *api) get(t *testing.T, path string) reply {
	t.Helper()
	began := time.Now()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+path, nil)
	require.NoError(t, err)
	q.Header.Set("Authorization", "Bearer "+a.token)
	answer, err := (&http.Client{Timeout: bounded()}).Do(q)
	if err != nil {
		return reply{took: time.Since(began)}
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	return reply{answer.StatusCode, time.Since(began)}
}

// TestF10PartitionsOfTheAPIAndOfAReceiver silently cuts the API off PostgreSQL, then off NATS, and a receiver off the workers.
// What is answered with success is stored; what cannot be done is answered with 503 in bounded time. Without PostgreSQL the API
// is not ready. Without NATS it is ready, because hooks can still be managed.
func TestF10PartitionsOfTheAPIAndOfAReceiver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	toReceiver := newProxy(t, strings.TrimPrefix(w.receiver.URL, "http://"), false)
	w.goodHooks(1)
	w.hooks = append(w.hooks, w.hook("http://"+toReceiver.at+"/cut", func(h *webhook.Hook) {
		h.Config = config(t, fmt.Sprintf(`{"concurrency":%d,"timeout":2}`, concurrency))
	}))
	w.run("WHISPERER_BREAKER_OPEN=1s")
	database, err := url.Parse(w.pg.URL("postgres"))
	require.NoError(t, err)
	toPostgres, toNATS := newProxy(t, database.Host, false), newProxy(t, w.natsURL()[len("nats://"):], true)
	database.Host = toPostgres.at
	token, _, err := w.db.Access.CreateToken(t.Context(), "faults", store.NewToken{Name: "faults", Tenant: webhook.DefaultTenant, Role: store.Admin})
	require.NoError(t, err)
	a := w.runAPI(freePort(t), token, "WHISPERER_DATABASE_URL="+database.String(), "WHISPERER_NATS_URL=nats://"+toNATS.at)
	a.awaitReady(t, patience)
	require.Equal(t, http.StatusOK, a.get(t, "/whisperer/hooks/").status)

	began := time.Now()
	unready := w.withoutPostgres(a, toPostgres)
	w.withoutNATS(a, toNATS)
	stop := w.load(20, 1)
	toReceiver.cut(true, true)
	w.lasts(seconds(5, 30))
	toReceiver.mend()
	ended := time.Now()
	w.lasts(2 * time.Second)
	stop()
	// attempts that were on their way reach the receiver after they were given up
	w.check(check{
		fault: "F10 API and receiver cut off", bound: 2 * underWay, unmarked: 0, faults: []window{{began, ended}}, recovery: again + slack(),
		sick: w.hooks[1].ID, note: "not ready after " + short(unready) + ",",
	})
}

// withoutPostgres returns how long the API takes to report that it is not ready.
func (w *world) withoutPostgres(a *api, p *proxy) time.Duration {
	t := w.t
	t.Helper()
	p.cut(true, true)
	began := time.Now()
	require.Eventually(t, func() bool { return !a.ready(t.Context()) }, 5*time.Second+slack(), 10*time.Millisecond, "not ready")
	unready := time.Since(began)
	var open sync.WaitGroup
	replies := make([]reply, 20)
	for i := range replies {
		open.Go(func() {
			replies[i] = a.get(t, []string{"/whisperer/hooks/", "/whisperer/deliveries/", "/whisperer/events/"}[i%3])
		})
	}
	created := make([]struct {
		ID uuid.UUID `json:"id"`
	}, 4)
	statuses := make([]int, len(created))
	for i := range created {
		open.Go(func() {
			hook := fmt.Sprintf(`{"target_url":"%s/cut-off/%d","event_types":["package.>"],"secret_key":"secret"}`, w.receiver.URL, i)
			statuses[i], _ = a.post(t, "/whisperer/hooks/", fmt.Sprint("cut-off-", i), hook, &created[i])
		})
	}
	open.Wait()
	for _, r := range replies {
		require.Equal(t, http.StatusServiceUnavailable, r.status, "after %s", r.took)
	}
	for _, status := range statuses {
		require.Equal(t, http.StatusServiceUnavailable, status, "nothing is stored, and there is an answer")
	}
	p.mend()
	a.awaitReady(t, patience)
	require.Eventually(t, func() bool { return a.get(t, "/whisperer/hooks/").status == http.StatusOK }, patience, 100*time.Millisecond)
	return unready
}

// withoutNATS publishes while the API cannot reach NATS. A successful answer would mean a lost event.
func (w *world) withoutNATS(a *api, p *proxy) {
	t := w.t
	t.Helper()
	p.cut(true, true)
	began := time.Now()
	var published struct {
		ID string `json:"event_id"`
	}
	event := fmt.Sprintf(`{"event_id":"cut-off","event_type":"order.created","data":{"note":"%s"}}`, canary)
	for n := range 2 {
		status, ok := a.post(t, "/whisperer/events/", fmt.Sprint("cut-off-event-", n), event, &published)
		require.True(t, ok)
		require.Equal(t, http.StatusServiceUnavailable, status)
	}
	require.Equal(t, http.StatusOK, a.get(t, "/whisperer/hooks/").status, "hooks can be managed")
	a.awaitReady(t, patience)
	p.mend()
	w.postUntilAccepted(t, a, "/whisperer/events/", "cut-off-event", event, &published)
	w.events.write(publication{Event: published.ID, Sent: began, Acked: time.Now()})
}
