package deliveryworker_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestADeliveryThatAPersonAskedForComesAtOnceAndOnceOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":10}}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: 500}, testenv.Answer{Status: 200})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	w.recorded(h, "e-1", time.Now(), webhook.Waiting)
	w.eventRecorded("e-1")
	id := webhook.DeliveryID(h.ID, "e-1")
	before, _, err := w.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, id)
	require.NoError(t, err)
	w.setStatus(h, webhook.Paused)
	require.NoError(t, w.db.Jobs.RetryDelivery(t.Context(), "test", webhook.DefaultTenant, id, false))

	require.Eventually(t, func() bool { // the scheduled retry comes due and finds that it is no longer needed
		scheduled, err := w.bus.Retries().Scheduled(t.Context(), h.ID, id, before.PublishedAt)
		require.NoError(t, err)
		lag, err := w.bus.Lag(t.Context(), bus.Retry)
		require.NoError(t, err)
		return !scheduled && lag.Pending == 0 && lag.InFlight == 0
	}, 2*time.Minute, 20*time.Millisecond)
	d, _, err := w.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, id)
	require.NoError(t, err)
	require.Equal(t, webhook.ReasonReplay, d.Reason, "it is the drainer's")

	w.setStatus(h, webhook.Active)
	w.recorded(h, "e-1", time.Now(), webhook.Delivered)
	got := w.receiver.Got("/a")
	require.Len(t, got, 2)
	require.Equal(t, "true", got[1].Header.Get("X-Whisperer-Replay"))
	require.Equal(t, "2", got[1].Header.Get("X-Whisperer-Attempt"))
	require.Equal(t, got[0].Header.Get("webhook-id"), got[1].Header.Get("webhook-id"))
}

func TestWhatWasDeliveredIsSentAgainByForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", nil)
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	w.recorded(h, "e-1", time.Now(), webhook.Delivered)
	w.eventRecorded("e-1")
	id := webhook.DeliveryID(h.ID, "e-1")
	require.NoError(t, w.db.Jobs.RetryDelivery(t.Context(), "test", webhook.DefaultTenant, id, true))
	require.Equal(t, "true", w.receiver.Await(t, "/a", 2)[1].Header.Get("X-Whisperer-Replay"))
	require.Eventually(t, func() bool {
		d, attempts, err := w.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, id)
		return err == nil && d.State == webhook.Delivered && len(attempts) == 2 && attempts[1].Replay
	}, 2*time.Minute, 20*time.Millisecond)
}

// eventRecorded waits until the event's payload is recorded.
func (w *world) eventRecorded(id string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		_, err := w.db.History.FindEvent(w.t.Context(), webhook.DefaultTenant, id)
		return err == nil
	}, 2*time.Minute, 10*time.Millisecond)
}

func TestReceiversCanOrderEventsOfTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
		h.Config = config(t, `{"format":"cloudevents"}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: 503}, testenv.Answer{Status: 200})
	w.run()
	const body = `{"event_id":%q,"event_time":"2026-03-01T10:00:00Z","entity":"order:1","data":{}}`
	w.publish("order.created", fmt.Sprintf(body, "e-1"))
	first := w.receiver.Await(t, "/a", 1)[0]
	w.publish("order.updated", fmt.Sprintf(body, "e-2"))
	w.recorded(h, "e-1", time.Now(), webhook.Delivered)
	w.recorded(h, "e-2", time.Now(), webhook.Delivered)
	w.eventRecorded("e-1")
	require.NoError(t, w.db.Jobs.RetryDelivery(t.Context(), "test", webhook.DefaultTenant, webhook.DeliveryID(h.ID, "e-1"), true))

	sequences := map[string]map[string]bool{}
	for _, q := range w.receiver.Await(t, "/a", 4) {
		id, sequence := q.Header.Get("X-Whisperer-Event-Id"), q.Header.Get("X-Whisperer-Sequence")
		require.Contains(t, q.Body, fmt.Sprintf(`"sequence":"%016s"`, sequence))
		if sequences[id] == nil {
			sequences[id] = map[string]bool{}
		}
		sequences[id][sequence] = true
	}
	require.Len(t, sequences["e-1"], 1, "attempt, retry and replay have the same: %v", sequences)
	require.Len(t, sequences["e-2"], 1)
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
		return n
	}
	for later := range sequences["e-2"] {
		require.Greater(t, number(later), number(first.Header.Get("X-Whisperer-Sequence")))
	}
}
