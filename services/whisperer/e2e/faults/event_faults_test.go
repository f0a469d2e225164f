//go:build faults

package faults_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestE01WhatIsNoEventAmongEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.run()
	w.run()
	junk := []string{
		"", " ", "{", `{"data":`, "nonsense", "\xff\xfe", "\xef\xbb\xbf{\"data\":1}", `{"data":"` + "\x00" + `"}`, "[" + strings.Repeat("[", 10_000),
		`{"data":1,"data":2,"data":`, `{"data":1e400`, `{"event_id":7,"data":1}`, `{"event_id":"` + strings.Repeat("x", 5000) + `","data":1}`,
		`{"event_id":"a\u0007b","data":1}`, `{"event_id":"a\r\nb","data":1}`, `{"event_type":"order.updated","data":1}`, strings.Repeat("x", 2<<20),
	}
	stop := w.load(40, 1)
	w.lasts(3 * time.Second)
	began := time.Now()
	const rounds = 10
	for range rounds {
		for _, body := range junk {
			require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: webhook.DefaultTenant, Type: "order.created", Body: []byte(body)}}))
		}
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "nobody", Type: "order.created", Body: []byte(`{"data":1}`)}}))
	}
	ended := time.Now()
	reasons := map[string]int{}
	require.Eventually(t, func() bool {
		list, err := w.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, began.Add(-time.Minute), 10_000)
		require.NoError(t, err)
		clear(reasons)
		for _, r := range list {
			reasons[r.Reason]++
		}
		return len(list) == rounds*len(junk)
	}, patience, 50*time.Millisecond, "put aside so far: %v", reasons)
	w.lasts(2 * time.Second)
	stop()
	w.check(check{fault: "E01 what is no event", bound: 0, faults: []window{{began, ended}}, recovery: time.Second + slack(), note: fmt.Sprintf("%v", reasons)})
}

func TestE02AnEventThatKillsItsWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(1)
	w.hook(w.receiver.URL+"/deadly", func(h *webhook.Hook) { h.EventTypes = []string{"order.deadly"} })
	w.receiver.reacts(func(path string, _ int) testenv.Answer {
		if path == "/deadly" {
			return testenv.Answer{Status: http.StatusServiceUnavailable, Delay: time.Minute}
		}
		return testenv.Answer{}
	})
	stop := w.load(5, 1)
	began := time.Now()
	const lives = 7 // the last two of them when the event is already suspected
	for n := 1; n <= lives; n++ {
		victim := w.run()
		if n == 1 {
			deadly := bus.Outgoing{Tenant: webhook.DefaultTenant, Type: "order.deadly", Body: []byte(`{"data":1}`)}
			require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{deadly}))
		}
		require.Eventually(t, func() bool { return w.receiver.Count("/deadly") == n }, patience, time.Millisecond)
		victim.kill()
	}
	w.run()
	require.Eventually(t, func() bool {
		list, err := w.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, began.Add(-time.Minute), 10)
		require.NoError(t, err)
		return len(list) == 1 && list[0].Reason == "poison"
	}, patience, 100*time.Millisecond, "it is put aside")
	ended := time.Now()
	w.lasts(2 * time.Second)
	stop()
	require.Equal(t, lives, w.receiver.Count("/deadly"), "nobody tries it again")
	w.check(check{
		fault: "E02 an event that kills its workers", bound: lives * underWay, unmarked: lives * underWay, faults: []window{{began, ended}},
		recovery: again + slack(), note: fmt.Sprintf("put aside after %d workers,", lives),
	})
}

func TestE03TheSameEventAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.run()
	w.run()
	began := time.Now()
	const events = 200
	again := func(id, messageID, body string) {
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{{
			Tenant: webhook.DefaultTenant, Type: "order.created", ID: messageID, Body: []byte(fmt.Sprintf(`{"event_id":"%s","data":%s}`, id, body)),
		}}))
	}
	var publishers sync.WaitGroup
	for n := range events {
		id := fmt.Sprintf("e-%d", n)
		publishers.Go(func() { // at once: duplicates by Nats-Msg-Id
			again(id, id, "1")
			w.events.write(publication{Event: id, Sent: time.Now(), Acked: time.Now()})
		})
		publishers.Go(func() { again(id, id, "1") })
	}
	publishers.Wait()
	w.settled(patience)
	w.lasts(time.Second)
	for n := range events { // later: duplicates by the ledger
		again(fmt.Sprintf("e-%d", n), "", "1")
		again(fmt.Sprintf("e-%d", n), "", "2")
	}
	require.Eventually(t, func() bool {
		list, err := w.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, began.Add(-time.Minute), 10_000)
		require.NoError(t, err)
		return len(list) == events
	}, patience, 50*time.Millisecond, "the same id with another body is a conflict")
	w.check(check{fault: "E03 an event published three times", bound: 0, faults: []window{{began, time.Now()}}})
}

func TestE04AHookThatIsPausedDeletedAndMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(2)
	w.run()
	w.run()
	stop := w.load(50, 1)
	w.lasts(2 * time.Second)
	began := time.Now()
	edit := func(hook webhook.Hook, change func(h *webhook.Hook)) {
		_, err := w.db.Hooks.Update(t.Context(), "faults", webhook.DefaultTenant, hook.ID, nil, func(h *webhook.Hook) error {
			change(h)
			return nil
		})
		require.NoError(t, err)
	}
	quiet := func(path string, what string) {
		w.ceases("a second after a hook was "+what+" nothing comes to where it was", 500*time.Millisecond, func() int { return w.receiver.Count(path) })
	}
	moved := w.hook(w.receiver.URL+"/moved/0", nil)
	paused := w.hooks[0]
	for round := range 5 {
		edit(paused, func(h *webhook.Hook) { h.Status = webhook.Paused })
		edit(moved, func(h *webhook.Hook) { h.TargetURL = fmt.Sprintf("%s/moved/%d", w.receiver.URL, round+1) })
		quiet("/good/0", "paused")
		quiet(fmt.Sprintf("/moved/%d", round), "moved")
		require.Eventually(t, func() bool { return w.receiver.Count(fmt.Sprintf("/moved/%d", round+1)) > 0 }, patience, 20*time.Millisecond)
		edit(paused, func(h *webhook.Hook) { h.Status = webhook.Active })
		w.lasts(w.between(100*time.Millisecond, 900*time.Millisecond))
	}
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "faults", webhook.DefaultTenant, moved.ID, nil))
	quiet("/moved/5", "deleted")
	ended := time.Now()
	stop()
	w.check(check{fault: "E04 hooks paused, moved, deleted", bound: 0, faults: []window{{began, ended}}, recovery: 5*time.Second + slack()})
}

// signed is a request, with the time of its signature in whole seconds, and which of two secrets signed it.
type signed struct {
	at       time.Time
	old, new bool
}

// rotating starts a receiver that fails every first attempt. It returns its URL and a function that returns the requests so
// far.
func rotating(t *testing.T, old, second string) (url string, got func() []signed) {
	t.Helper()
	key := func(text string) []signature.VerifyKey {
		k, err := signature.ParseVerifyKey(text)
		require.NoError(t, err)
		return []signature.VerifyKey{k}
	}
	keys := [][]signature.VerifyKey{key(old), key(second)}
	var mu sync.Mutex
	var list []signed
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		var body json.RawMessage
		_ = json.NewDecoder(q.Body).Decode(&body)
		by := func(keys []signature.VerifyKey) bool {
			return signature.Verify(q.Header, body, keys, time.Now(), time.Minute) == nil
		}
		at, _ := strconv.ParseInt(q.Header.Get(signature.HeaderTimestamp), 10, 64) // a missing timestamp leads to a signature of neither secret
		mu.Lock()
		list = append(list, signed{time.Unix(at, 0), by(keys[0]), by(keys[1])})
		mu.Unlock()
		if q.Header.Get("X-Whisperer-Attempt") == "1" {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []signed {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

func TestE05SecretsAreRotatedWhileRetriesRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(1)
	const second = "whsec_bmV3IHNlY3JldCBvZiB0aGUgaG9vay4uLi4uLi4uLi4="
	url, got := rotating(t, secret, second)
	hook := w.hook(url, nil)
	w.run("WHISPERER_BREAKER_ATTEMPTS=1000") // the worker sees only failures at first
	stop := w.load(10, 1)
	require.Eventually(t, func() bool { return len(got()) > 0 }, patience, 20*time.Millisecond)
	began := time.Now()
	w.lasts(3 * time.Second)
	changed := time.Now()
	expires := changed.Add(12 * time.Second)
	_, err := w.db.Hooks.Update(t.Context(), "faults", webhook.DefaultTenant, hook.ID, nil, func(h *webhook.Hook) error {
		h.Secrets = []webhook.Secret{{Value: second}, {Value: secret, ExpiresAt: expires}}
		return nil
	})
	require.NoError(t, err)
	w.known()
	w.lasts(time.Second) // requests that were about to be signed are signed by then
	known := time.Now()
	w.lasts(time.Until(expires) + 3*time.Second)
	ended := time.Now()
	stop()
	requests := 0
	for _, phase := range []struct {
		name     string
		from, to time.Time
		old, new bool
	}{{"before", began, changed, true, false}, {"both", known, expires, true, true}, {"expired", expires, ended, false, true}} {
		n := 0
		for _, r := range got() {
			if r.at.After(phase.from) && r.at.Before(phase.to.Truncate(time.Second)) {
				n++
				require.Equal(t, phase.old, r.old, "%s: signed with the old secret at %s", phase.name, r.at)
				require.Equal(t, phase.new, r.new, "%s: signed with the new secret at %s", phase.name, r.at)
			}
		}
		require.Positive(t, n, phase.name)
		requests += n
	}
	w.check(check{fault: "E05 secrets rotated during retries", bound: 0, faults: []window{{began, ended}}, note: fmt.Sprintf("%d requests,", requests)})
}
