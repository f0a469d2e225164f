package deliveryworker_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestARateLimitHoldsOverAllWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":10,"period":1}}`) })
	w.config.Worker = "one"
	w.run()
	w.config.Worker = "two"
	w.run()
	began := time.Now()
	for i := range 25 {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","data":{}}`, i))
	}
	for i, got := range w.receiver.Await(t, "/a", 25) { // a busy machine may delay requests, but must not send any too early
		require.GreaterOrEqual(t, got.At.Sub(began), time.Duration(i/10)*time.Second-100*time.Millisecond, "request %d", i)
	}
}

func TestAHookBelowItsRateIsSentToWithoutBeingParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":1000,"period":1}}`) })
	w.run()
	parked := func() float64 { return w.metric(`whisperer_deliveries_parked_total{reason="rate_limit"}`) }
	n := 0
	require.Eventually(t, func() bool { // true from when this worker drains the hook
		before := parked()
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","data":{}}`, n))
		n++
		w.receiver.Await(t, "/a", n)
		return parked() == before
	}, time.Minute, time.Millisecond)
}

func TestWhatWaitsInMemoryForItsRateOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":4,"period":1}}`) })
	stop := w.run()
	w.publish("order.created", `{"event_id":"e","data":{}}`)
	w.receiver.Await(t, "/a", 1)
	for i := range 8 {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","data":{}}`, i))
	}
	w.receiver.Await(t, "/a", 2)
	stop()
	sent := len(w.receiver.Got("/a"))
	require.Less(t, sent, 9)
	w.run()
	seen := map[string]bool{}
	for _, id := range ids(w.receiver.Await(t, "/a", 9)) {
		require.False(t, seen[id], "%s came twice", id)
		seen[id] = true
	}
}

func TestAHookThatWaitsForItsRateObeysItsChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seldom := func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":1,"period":3600}}`) }
	changed, deleted := w.hook("/changed", seldom), w.hook("/deleted", seldom)
	w.run()
	for _, id := range []string{"e-1", "e-2"} {
		w.publish("order.created", `{"event_id":"`+id+`","data":{}}`)
	}
	for _, h := range []webhook.Hook{changed, deleted} {
		w.recorded(h, "e-1", time.Now(), webhook.Delivered)
		w.recorded(h, "e-2", time.Now(), webhook.Parked)
	}
	_, err := w.db.Hooks.Update(t.Context(), "test", webhook.DefaultTenant, changed.ID, nil, func(h *webhook.Hook) error {
		h.Config = config(t, `{"rate_limit":{"limit":100,"period":1}}`)
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", webhook.DefaultTenant, deleted.ID, nil))
	w.recorded(changed, "e-2", time.Now(), webhook.Delivered)
	w.recorded(deleted, "e-2", time.Now(), webhook.Cancelled)
	require.Len(t, w.receiver.Got("/deleted"), 1)
}

func TestHooksThatWaitForTheirRateKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const hooks = 70
	for i := range hooks {
		w.hook(fmt.Sprintf("/seldom/%d", i), func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":1,"period":3600}}`) })
	}
	w.hook("/often", func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":100,"period":1}}`) })
	w.hook("/ordered", func(h *webhook.Hook) { h.Config = config(t, `{"ordering":"hook"}`) })
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	for i := range hooks {
		w.receiver.Await(t, fmt.Sprintf("/seldom/%d", i), 1) // the first one is sent at once
	}
	w.publish("order.created", `{"event_id":"e-2","data":{}}`)
	require.Eventually(t, func() bool {
		list, err := w.db.Queue.ListBacklogs(t.Context())
		require.NoError(t, err)
		return len(list) >= hooks
	}, 2*time.Minute, 20*time.Millisecond)
	w.publish("order.created", `{"event_id":"e-3","data":{}}`)
	w.receiver.Await(t, "/often", 3)
	w.receiver.Await(t, "/ordered", 3)
	require.Len(t, w.receiver.Got("/seldom/0"), 1)
}

func TestHooksWithLongBacklogsTakeTurnsWithTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const hooks, n = 70, 40 // more hooks than a worker drains at the same time
	for i := range hooks {
		path := fmt.Sprintf("/slow/%d", i)
		w.hook(path, func(h *webhook.Hook) { h.Config = config(t, `{"ordering":"hook"}`) })
		w.receiver.Answer(path, testenv.Answer{Status: http.StatusOK, Delay: 250 * time.Millisecond})
	}
	w.run()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("e-%d", i))
		w.publish("order.created", `{"event_id":"`+want[i]+`","data":{}}`)
	}
	for i := range hooks {
		w.receiver.Await(t, fmt.Sprintf("/slow/%d", i), 1)
	}
	for i := range hooks {
		require.Less(t, len(w.receiver.Got(fmt.Sprintf("/slow/%d", i))), n, "none has to end for another one to begin")
	}
	require.Equal(t, want, ids(w.receiver.Await(t, "/slow/0", n)))
}
