package deliveryworker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestADeliveryThatIsNowhereIsFoundAndPutRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.SweepAfter = time.Second
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":10}}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: http.StatusInternalServerError}, testenv.Answer{Status: http.StatusOK})
	stop := w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	w.recorded(h, "e-1", time.Now(), webhook.Waiting)
	stop()
	require.NoError(t, w.bus.Retries().Purge(t.Context(), h.ID)) // as if the stream had lost the retry
	w.run()
	require.Equal(t, 2, w.recorded(h, "e-1", time.Now(), webhook.Delivered).Attempts)
	require.Len(t, w.receiver.Got("/a"), 2)
}

// waiting returns facts about a hook's deliveries of n events, whose next attempts were due at the given time.
func waiting(h webhook.Hook, n int, due time.Time) *whispererv1.LedgerBatch {
	due = due.Truncate(time.Microsecond) // as the bus does with the times of events, because PostgreSQL rounds them
	batch := &whispererv1.LedgerBatch{}
	for i := range n {
		id := fmt.Sprintf("e-%d", i)
		delivery := webhook.DeliveryID(h.ID, id)
		batch.Facts = append(batch.Facts, &whispererv1.DeliveryFact{
			DeliveryId: delivery[:], HookId: h.ID[:], Tenant: h.Tenant, EventId: id, EventType: "order.created", EventSeq: uint64(i + 1),
			PublishedAt: due.UnixNano(), State: string(webhook.Waiting), Attempts: 1, At: due.UnixNano(), NextAt: due.UnixNano(), First: true,
		})
	}
	return batch
}

// record writes facts to the ledger.
func (w *world) record(batch *whispererv1.LedgerBatch) {
	w.t.Helper()
	r := w.db.Ledger.NewRecorder()
	defer r.Close()
	require.NoError(w.t, r.WriteFacts(w.t.Context(), []*whispererv1.LedgerBatch{batch}))
}

func TestManyLostDeliveriesAreFoundInOneRound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.SweepAfter, w.config.HousekeepEvery = time.Second, time.Hour
	h := w.hook("/a", func(h *webhook.Hook) { h.Status = webhook.Paused })
	const n = 1001 // one more than a round lists at a time
	w.record(waiting(h, n, time.Now().Add(-time.Hour)))
	w.run()
	require.Eventually(t, func() bool {
		parked, err := w.db.Queue.Count(t.Context(), n+1)
		require.NoError(t, err)
		return parked.N == n
	}, 2*time.Minute, 50*time.Millisecond)
}

// TestALostDeliveryIsFoundBehindManyThatAreNotLost has many deliveries of another hook whose retries were put off, which the
// ledger does not know yet.
func TestALostDeliveryIsFoundBehindManyThatAreNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.SweepAfter = time.Second
	late := w.hook("/late", nil)
	lost := w.hook("/lost", func(h *webhook.Hook) { h.Status = webhook.Paused })
	w.run()() // makes the streams
	begin := time.Now().Add(-time.Hour)
	others := waiting(late, 1000, begin)
	w.record(others)
	w.record(waiting(lost, 1, begin.Add(time.Minute)))
	for _, f := range others.GetFacts() {
		require.NoError(t, w.bus.Retries().Schedule(t.Context(), time.Now().Add(time.Hour), &whispererv1.Retry{
			HookId: f.GetHookId(), DeliveryId: f.GetDeliveryId(), Tenant: f.GetTenant(), EventId: f.GetEventId(), PublishedAt: f.GetPublishedAt(), Attempts: 1,
		}))
	}
	w.run()
	w.recorded(lost, "e-0", begin.Add(time.Minute), webhook.Parked)
	require.Equal(t, map[webhook.DeliveryState]int{webhook.Waiting: len(others.GetFacts())}, w.states(late))
}

func TestWhatOnlyWaitsIsNotTakenForLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.SweepAfter = time.Nanosecond
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":3}}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: http.StatusInternalServerError}, testenv.Answer{Status: http.StatusOK})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	require.Equal(t, 2, w.recorded(h, "e-1", time.Now(), webhook.Delivered).Attempts)
	got := w.receiver.Got("/a")
	require.Len(t, got, 2)
	require.GreaterOrEqual(t, got[1].At.Sub(got[0].At), 3*time.Second)
}

func TestAnOutageOfOurOwnNetworkDisablesNoHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.DisableAfter, w.config.DisableFailures, w.config.DisableSpan = 2*time.Second, 1, time.Second
	hooks := make([]webhook.Hook, 5)
	for i := range hooks {
		hooks[i] = w.hook("/a", func(h *webhook.Hook) {
			h.TargetURL = fmt.Sprintf("http://127.0.0.1:1/%d", i) // nothing listens there
			h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
		})
	}
	w.hook("/ops", func(h *webhook.Hook) { h.EventTypes = []string{"hook.>"} })
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	require.Eventually(t, func() bool {
		for _, h := range hooks {
			if w.recorded(h, "e-1", time.Now(), webhook.Waiting).Attempts < 5 {
				return false
			}
		}
		return true
	}, 2*time.Minute, 100*time.Millisecond)
	require.Empty(t, w.receiver.Got("/ops"))
	// The hooks recover one after another, and the last one is not blamed for that.
	attempts := func() int { return w.recorded(hooks[4], "e-1", time.Now(), webhook.Waiting).Attempts }
	for i, h := range hooks[:4] {
		_, err := w.db.Hooks.Update(t.Context(), "test", webhook.DefaultTenant, h.ID, nil, func(h *webhook.Hook) error {
			h.TargetURL = fmt.Sprintf("%s/back/%d", w.receiver.URL, i)
			return nil
		})
		require.NoError(t, err)
	}
	for i := range hooks[:4] {
		require.Eventually(t, func() bool { return len(w.receiver.Got(fmt.Sprintf("/back/%d", i))) > 0 }, 2*time.Minute, 10*time.Millisecond)
	}
	before := attempts()
	require.Eventually(t, func() bool { return attempts() > before+1 }, 2*time.Minute, 100*time.Millisecond)
	for _, h := range hooks {
		stored, err := w.db.Hooks.Get(t.Context(), webhook.DefaultTenant, h.ID)
		require.NoError(t, err)
		require.Equal(t, webhook.Active, stored.Status)
	}
}
