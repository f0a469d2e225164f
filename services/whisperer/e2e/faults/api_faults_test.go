//go:build faults

package faults_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// api is a subscription-api that can be killed.
type api struct {
	*process
	url, token string
}

func (w *world) runAPI(port int, token string, env ...string) *api {
	w.t.Helper()
	listen, health := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", freePort(w.t))
	p := start(w.t, w.dir, "api", subscriptionAPI, append([]string{
		"WHISPERER_DATABASE_URL=" + w.pg.URL("postgres"), "WHISPERER_NATS_URL=" + w.natsURL(), "WHISPERER_MASTER_KEY=" + w.key,
		"WHISPERER_LISTEN=" + listen, "WHISPERER_HEALTH_LISTEN=" + health, "WHISPERER_EGRESS_ALLOW=127.0.0.0/8",
	}, env...)...)
	p.health = health
	return &api{process: p, url: "http://" + listen, token: token}
}

// administrated starts an API and creates an admin token for it.
func (w *world) administrated(env ...string) *api {
	w.t.Helper()
	token, _, err := w.db.Access.CreateToken(w.t.Context(), "faults", store.NewToken{Name: "faults", Tenant: webhook.DefaultTenant, Role: store.Admin})
	require.NoError(w.t, err)
	a := w.runAPI(freePort(w.t), token, env...)
	a.awaitReady(w.t, patience)
	return a
}

// post sends JSON and decodes the response. ok is false if there was none.
func (a *api) post(t *testing.T, path, key, body string, into any) (status int, ok bool) {
	t.Helper()
	return a.send(t, http.MethodPost, path, key, body, into)
}

// send does what post does, with any method.
func (a *api) send(t *testing.T, method, path, key, body string, into any) (status int, ok bool) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, a.url+path, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	q.Header.Set("Authorization", "Bearer "+a.token)
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Idempotency-Key", key)
	answer, err := (&http.Client{Timeout: bounded()}).Do(q)
	if err != nil {
		return 0, false
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode > 299 {
		if answer.StatusCode != http.StatusServiceUnavailable {
			t.Logf("%s was answered with %s", path, content)
		}
		return answer.StatusCode, err == nil
	}
	return answer.StatusCode, json.Unmarshal(content, into) == nil
}

// TestF04KillingTheAPI creates hooks and publishes events while the API is killed. What was answered exists; what was not
// exists once after the request is repeated.
func TestF04KillingTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.goodHooks(1)
	w.run()
	token, _, err := w.db.Access.CreateToken(t.Context(), "faults", store.NewToken{Name: "faults", Tenant: webhook.DefaultTenant, Role: store.Admin})
	require.NoError(t, err)
	port := freePort(t)
	a := w.runAPI(port, token)
	a.awaitReady(t, patience)
	const kills, creators = 5, 8
	var mu sync.Mutex
	created := map[string]uuid.UUID{} // by idempotency key
	ended := make(chan struct{})
	var open sync.WaitGroup
	for c := range creators {
		open.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ended:
					return
				case <-time.After(100 * time.Millisecond):
				}
				w.create(t, a, fmt.Sprintf("key-%d-%d", c, n), &mu, created)
			}
		})
	}
	began := time.Now()
	var slowest time.Duration
	for range kills {
		w.lasts(w.between(time.Second, 2*time.Second))
		a.kill()
		restarted := time.Now()
		next := w.runAPI(port, token)
		next.awaitReady(t, patience)
		slowest = max(slowest, time.Since(restarted))
		a.process = next.process
	}
	w.lasts(time.Second)
	close(ended)
	open.Wait()
	over := time.Now()
	require.NotEmpty(t, created)
	for key, id := range created {
		stored, err := w.db.Hooks.Get(t.Context(), webhook.DefaultTenant, id)
		require.NoError(t, err, "the hook of %s was answered", key)
		require.NotEmpty(t, stored.Secrets, "no hook is there in half")
	}
	w.check(check{
		fault: "F04 kill -9 the API, 5 times", bound: 0, faults: []window{{began, over}},
		note: fmt.Sprintf("%d hooks created, each once; up again after %s at most,", len(created), short(slowest)),
	})
}

// create creates a hook and publishes an event, each with the same key, until both are answered.
func (w *world) create(t *testing.T, a *api, key string, mu *sync.Mutex, created map[string]uuid.UUID) {
	t.Helper()
	hook := fmt.Sprintf(`{"target_url":"%s/created/%s","event_types":["package.>"],"name":"%s","secret_key":"secret"}`, w.receiver.URL, key, key)
	var first, again struct {
		ID uuid.UUID `json:"id"`
	}
	sent := time.Now()
	w.postUntilAccepted(t, a, "/whisperer/hooks/", key, hook, &first)
	w.postUntilAccepted(t, a, "/whisperer/hooks/", key, hook, &again)
	if first.ID != again.ID {
		t.Errorf("%s made two hooks", key)
	}
	mu.Lock()
	created[key] = first.ID
	mu.Unlock()
	var published struct {
		ID string `json:"event_id"`
	}
	body := fmt.Sprintf(`{"event_id":"%s","event_type":"order.created","data":{"note":"%s"}}`, key, canary)
	w.postUntilAccepted(t, a, "/whisperer/events/", "event-"+key, body, &published)
	w.events.write(publication{Event: published.ID, Sent: sent, Acked: time.Now()})
}

// postUntilAccepted posts until the request succeeds. The API may be away, but must not refuse the request.
func (w *world) postUntilAccepted(t *testing.T, a *api, path, key, body string, into any) {
	t.Helper()
	for t.Context().Err() == nil {
		status, ok := a.post(t, path, key, body, into)
		switch {
		case ok && status < 300:
			return
		case status != 0 && status != http.StatusServiceUnavailable:
			t.Errorf("%s was answered with %d", path, status)
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}
