package deliveryworker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func (w *world) setStatus(h webhook.Hook, status webhook.HookStatus) {
	w.t.Helper()
	_, err := w.db.Hooks.Update(w.t.Context(), "test", webhook.DefaultTenant, h.ID, nil, func(h *webhook.Hook) error {
		h.Status = status
		return nil
	})
	require.NoError(w.t, err)
}

// knows waits until the worker that was started last knows that the hook has the status.
func (w *world) knows(h webhook.Hook, status webhook.HookStatus) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		known := w.service.Index().Get(h.ID)
		return known != nil && known.Status == status
	}, 2*time.Minute, 5*time.Millisecond)
}

func ids(got []testenv.Received) []string {
	list := make([]string, len(got))
	for i, q := range got {
		list[i] = q.Header.Get("X-Whisperer-Event-Id")
	}
	return list
}

func TestAPausedHookGetsWhatWaitedInOrderWhenItIsResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Status = webhook.Paused
		h.Config = config(t, `{"concurrency":1}`)
	})
	w.run()
	var want []string
	for i := range 50 {
		id := fmt.Sprintf("e-%02d", i)
		want = append(want, id)
		w.publish("order.created", `{"event_id":"`+id+`","data":{}}`)
	}
	w.recorded(h, "e-49", time.Now(), webhook.Parked)
	require.Empty(t, w.receiver.Got("/a"))
	w.setStatus(h, webhook.Active)
	require.Equal(t, want, ids(w.receiver.Await(t, "/a", 50)))
	w.recorded(h, "e-49", time.Now(), webhook.Delivered)
	require.Len(t, w.receiver.Got("/a"), 50)
}

func TestWhatWasParkedForLongerThanItsPayloadIsKeptEndsAndTheRestIsDrained(t *testing.T) {
	t.Parallel()
	for name, ordering := range map[string]string{"side by side": "none", "in order": "hook"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.hook("/a", func(h *webhook.Hook) {
				h.Status = webhook.Paused
				h.Config = config(t, `{"ordering":"`+ordering+`"}`)
			})
			w.run()
			w.park(h, 3)
			kept, err := w.db.Queue.List(t.Context(), h.ID, 0, 1<<55, 3)
			require.NoError(t, err)
			// one event is from an event log that was lost: in the current log, its sequence belongs to another event
			published := time.Now().Add(-2 * time.Hour)
			lost := map[string]webhook.Sequence{"of another log": kept[1].Event.Seq, "long gone": 1 << 30}
			r := w.db.Ledger.NewRecorder()
			defer r.Close()
			for id, seq := range lost {
				delivery := webhook.DeliveryID(h.ID, id)
				require.NoError(t, r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Facts: []*whispererv1.DeliveryFact{{
					DeliveryId: delivery[:], HookId: h.ID[:], Tenant: h.Tenant, EventId: id, EventType: "order.created", EventSeq: uint64(seq),
					PublishedAt: published.UnixNano(), State: string(webhook.Parked), At: time.Now().UnixNano(), First: true,
				}}}}))
			}
			w.setStatus(h, webhook.Active)
			w.receiver.Await(t, "/a", 3)
			for id := range lost {
				w.recorded(h, id, published, webhook.Dead)
				d, attempts, err := w.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, webhook.DeliveryID(h.ID, id))
				require.NoError(t, err)
				require.Equal(t, webhook.ReasonPayloadGone, d.Reason)
				require.Empty(t, attempts)
			}
			require.Len(t, w.receiver.Got("/a"), 3)
		})
	}
}

func TestADisabledHookEndsWhatWasParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) { h.Status = webhook.Paused })
	gone := w.hook("/b", func(h *webhook.Hook) { h.Status = webhook.Paused })
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	w.recorded(h, "e-1", time.Now(), webhook.Parked)
	w.recorded(gone, "e-1", time.Now(), webhook.Parked)
	w.setStatus(h, webhook.Disabled)
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", webhook.DefaultTenant, gone.ID, nil))
	w.recorded(h, "e-1", time.Now(), webhook.Dead)
	w.recorded(gone, "e-1", time.Now(), webhook.Cancelled)
	require.Empty(t, w.receiver.Got("/a"))
}

func TestAFailingReceiverOpensItsBreakerAndGetsEverythingOnceItHasRecovered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
	})
	w.hook("/healthy", nil)
	w.receiver.Answer("/a", testenv.Answer{Status: http.StatusServiceUnavailable})
	w.run()
	const n = 200
	for i := range n {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","data":{}}`, i))
	}
	w.recorded(h, fmt.Sprintf("e-%d", n-1), time.Now(), webhook.Parked)
	w.receiver.Await(t, "/healthy", n)
	failed := len(w.receiver.Got("/a"))
	require.Less(t, failed, n, "the breaker spares the receiver")
	w.receiver.Answer("/a", testenv.Answer{Status: http.StatusOK})
	require.Eventually(t, func() bool {
		delivered := map[string]bool{}
		for _, id := range ids(w.receiver.Got("/a")[failed:]) {
			delivered[id] = true
		}
		return len(delivered) == n
	}, 2*time.Minute, 20*time.Millisecond)
}

func TestAHookThatKeepsTheOrderOfAnEntityWaitsForItsHeadAndLetsOthersPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", func(h *webhook.Hook) {
		h.Config = config(t, `{"ordering":"entity"}`)
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":2}}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: 500}, testenv.Answer{Status: 200})
	w.run()
	for i := range 6 {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","entity":"order:%d","data":{}}`, i, i%2))
	}
	got := ids(w.receiver.Await(t, "/a", 7))
	var even, odd []string
	for _, id := range got {
		if (id[2]-'0')%2 == 0 {
			even = append(even, id)
		} else {
			odd = append(odd, id)
		}
	}
	if len(even) == 4 { // which chain's first delivery failed first does not depend on the order of entities
		require.Equal(t, []string{"e-0", "e-0", "e-2", "e-4"}, even)
		require.Equal(t, []string{"e-1", "e-3", "e-5"}, odd)
	} else {
		require.Equal(t, []string{"e-1", "e-1", "e-3", "e-5"}, odd)
		require.Equal(t, []string{"e-0", "e-2", "e-4"}, even)
	}
}

func TestAHookThatKeepsTheOrderOfAllWaitsForItsHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", func(h *webhook.Hook) {
		h.Config = config(t, `{"ordering":"hook"}`)
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: 200}, testenv.Answer{Status: 500}, testenv.Answer{Status: 500}, testenv.Answer{Status: 200})
	w.run()
	for i := range 4 {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","data":{}}`, i))
	}
	require.Equal(t, []string{"e-0", "e-1", "e-1", "e-1", "e-2", "e-3"}, ids(w.receiver.Await(t, "/a", 6)))
}

func TestAHangingReceiverCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hang := w.hook("/hang", func(h *webhook.Hook) { h.Config = config(t, `{"timeout":30,"concurrency":4}`) })
	w.hook("/good", nil)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.receiver.Answer("/hang", testenv.Answer{Status: 200, Hold: release})
	w.run()
	const n = 300 // many more than the hook has slots
	for i := range n {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","data":{}}`, i))
	}
	w.receiver.Await(t, "/good", n)
	require.Equal(t, 4, w.receiver.Count("/hang"), "the first of the hanging ones has not even timed out")
	w.recorded(hang, fmt.Sprintf("e-%d", n-1), time.Now(), webhook.Parked)
}

func TestAHookThatOnlyFailsIsWarnedOfAndDisabledAndOthersHearOfIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.DisableAfter, w.config.DisableFailures, w.config.DisableSpan = 12*time.Second, 3, 2*time.Second
	h := w.hook("/bad", func(h *webhook.Hook) {
		h.EventTypes = []string{"order.created"}
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
	})
	w.hook("/ops", func(h *webhook.Hook) { h.EventTypes = []string{"hook.>"} })
	w.hook("/everything", nil)
	w.receiver.Answer("/bad", testenv.Answer{Status: http.StatusInternalServerError})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	require.Eventually(t, func() bool {
		got := w.receiver.Got("/ops")
		return len(got) > 1 && got[len(got)-1].Header.Get("X-Whisperer-Event") == "hook.disabled"
	}, 2*time.Minute, 20*time.Millisecond)
	require.Equal(t, "hook.failing", w.receiver.Got("/ops")[0].Header.Get("X-Whisperer-Event"))
	require.Eventually(t, func() bool {
		stored, err := w.db.Hooks.Get(t.Context(), webhook.DefaultTenant, h.ID)
		require.NoError(t, err)
		return stored.Status == webhook.Disabled && strings.Contains(stored.DisabledReason, "failed")
	}, 2*time.Minute, 10*time.Millisecond)
	w.recorded(h, "e-1", time.Now(), webhook.Dead)
	require.Len(t, w.receiver.Got("/everything"), 1)
}

func TestADeadDeliveryIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/bad", func(h *webhook.Hook) { h.Config = config(t, `{"stop_on":[400]}`) })
	w.hook("/ops", func(h *webhook.Hook) { h.EventTypes = []string{"delivery.dead"} })
	w.receiver.Answer("/bad", testenv.Answer{Status: http.StatusBadRequest})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	require.Contains(t, w.receiver.Await(t, "/ops", 1)[0].Body, `"reason":"stop_status"`)
}

// park publishes n events for a paused hook, and waits until all are parked.
func (w *world) park(h webhook.Hook, n int) {
	w.t.Helper()
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf(`{"event_id":"e-%04d","data":{}}`, i)
	}
	w.publish("order.created", bodies...)
	require.Eventually(w.t, func() bool {
		list, err := w.db.Queue.List(w.t.Context(), h.ID, 0, 1<<55, n+1)
		require.NoError(w.t, err)
		return len(list) == n
	}, 2*time.Minute, 20*time.Millisecond)
}

func TestWorkersDrainAHookWithoutAnOrderSideBySideAndEachDeliveryOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Status = webhook.Paused
		h.Config = config(t, `{"concurrency":2}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: http.StatusOK, Delay: 100 * time.Millisecond})
	for _, w.config.Worker = range []string{"one", "two", "three"} {
		w.run()
	}
	const n = 400
	w.park(h, n)
	w.setStatus(h, webhook.Active)
	got := ids(w.receiver.Await(t, "/a", n))
	by := map[string]int{}
	seen := map[string]bool{}
	for _, id := range got {
		require.False(t, seen[id], "twice: %s", id)
		seen[id] = true
		w.recorded(h, id, time.Now(), webhook.Delivered)
		_, attempts, err := w.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, webhook.DeliveryID(h.ID, id))
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		by[attempts[0].Worker]++
	}
	for _, worker := range []string{"one", "two", "three"} {
		require.Greater(t, by[worker], n/10, "%v", by)
	}
	require.Eventually(t, func() bool {
		list, err := w.db.Queue.ListBacklogs(t.Context())
		require.NoError(t, err)
		return len(list) == 0
	}, 2*time.Minute, 20*time.Millisecond, "the backlog is forgotten")
	require.Len(t, w.receiver.Got("/a"), n)
}

func TestWhatADeadWorkerHadTakenIsDrainedByAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) { h.Status = webhook.Paused })
	stop := w.run()
	w.park(h, 50)
	stop()
	dead, err := w.db.Queue.OpenDrainer(t.Context(), "dead", 10*time.Second)
	require.NoError(t, err)
	leases, err := w.db.Queue.LeaseHooks(t.Context(), dead, "dead", []store.DrainLease{{Hook: h.ID}}, 10*time.Second)
	require.NoError(t, err)
	taken, err := w.db.Queue.Take(t.Context(), dead, []store.Want{{Lease: leases[0], Limit: 20}}, []store.Places{{UpTo: 1 << 60}})
	require.NoError(t, err)
	require.Len(t, taken, 20)
	w.setStatus(h, webhook.Active)
	w.run()
	seen := map[string]bool{}
	for _, id := range ids(w.receiver.Await(t, "/a", 50)) {
		seen[id] = true
	}
	require.Len(t, seen, 50)
	w.recorded(h, "e-0049", time.Now(), webhook.Delivered)
	require.Len(t, w.receiver.Got("/a"), 50)
}

func TestASlowReceiverIsNotSentToItsParkedQueueAndTheOthersDoNotWaitForIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := w.hook("/slow", func(h *webhook.Hook) { h.Config = config(t, `{"concurrency":8}`) })
	w.hook("/good", nil)
	slowly := make(chan struct{})
	answer := sync.OnceFunc(func() { close(slowly) })
	t.Cleanup(answer)
	w.receiver.Answer("/slow", testenv.Answer{Status: http.StatusOK, Hold: slowly})
	w.run()
	const n = 40 // many more than the hook has slots, but done well within the 5 s that attempts may wait for one
	w.stock(0, n, n)
	w.receiver.Await(t, "/good", n)
	require.LessOrEqual(t, len(w.receiver.Got("/slow")), 8, "the others of the slow one wait")
	answer()
	w.receiver.Await(t, "/slow", n)
	w.recorded(slow, fmt.Sprintf("s-%d", n-1), time.Now(), webhook.Delivered)
	require.Zero(t, w.metric(`whisperer_deliveries_parked_total{reason="concurrency_limit"}`))
}
