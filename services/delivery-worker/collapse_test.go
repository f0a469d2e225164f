package deliveryworker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// stock publishes n events about stock levels, for the locations in turn.
func (w *world) stock(from, n, locations int) {
	w.t.Helper()
	list := make([]bus.Outgoing, n)
	for i := range list {
		list[i] = bus.Outgoing{Tenant: webhook.DefaultTenant, Type: "stock_location.updated", Body: []byte(fmt.Sprintf(
			`{"event_id":"s-%d","entity":"stock:%d","data":{"n":%d}}`, from+i, (from+i)%locations, from+i))}
	}
	require.NoError(w.t, w.bus.PublishEvents(w.t.Context(), list))
}

// states counts a hook's deliveries by state.
func (w *world) states(h webhook.Hook) map[webhook.DeliveryState]int {
	w.t.Helper()
	stats, err := w.db.History.HookStats(w.t.Context(), h.Tenant, h.ID, time.Now())
	require.NoError(w.t, err)
	return stats.Day
}

func (w *world) delivery(h webhook.Hook, event string) webhook.Delivery {
	w.t.Helper()
	d, _, err := w.db.History.GetDelivery(w.t.Context(), h.Tenant, webhook.DeliveryID(h.ID, event))
	require.NoError(w.t, err)
	return d
}

func TestOnlyTheNewestOfWhatWaitedForAHookThatCollapsesIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Status = webhook.Paused
		h.Config = config(t, `{"collapse":"entity"}`)
	})
	all := w.hook("/all", nil)
	w.run()
	w.stock(0, 1000, 10)
	require.Eventually(t, func() bool { return w.states(h)[webhook.Parked] == 1000 }, 2*time.Minute, 20*time.Millisecond)
	resumed := time.Now()
	w.setStatus(h, webhook.Active)
	want := map[webhook.DeliveryState]int{webhook.Delivered: 10, webhook.Superseded: 990}
	require.Eventually(t, func() bool { return fmt.Sprint(w.states(h)) == fmt.Sprint(want) }, 2*time.Minute, 10*time.Millisecond)
	t.Logf("1,000 events of 10 entities: done %s after the hook was resumed", time.Since(resumed).Round(time.Millisecond))
	got := map[string]bool{}
	for _, id := range ids(w.receiver.Got("/a")) {
		got[id] = true
	}
	require.Len(t, w.receiver.Got("/a"), 10)
	for i := range 10 {
		require.True(t, got[fmt.Sprintf("s-%d", 990+i)], got)
	}
	d := w.delivery(h, "s-13")
	require.NotNil(t, d.SupersededBy)
	require.Equal(t, webhook.DeliveryID(h.ID, "s-993"), *d.SupersededBy)
	require.Equal(t, webhook.ReasonNone, d.Reason)
	require.Nil(t, w.delivery(h, "s-993").SupersededBy)
	require.InDelta(t, 990, w.metric("whisperer_deliveries_superseded_total"), 0)
	w.receiver.Await(t, "/all", 1000)
	require.Zero(t, w.states(all)[webhook.Superseded])
}

func TestANewerEventTakesThePlaceOfOneThatWaitsForItsRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Config = config(t, `{"collapse":"entity"}`)
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":15}}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: http.StatusServiceUnavailable}, testenv.Answer{Status: http.StatusOK})
	w.run()
	w.stock(0, 1, 1)
	w.recorded(h, "s-0", time.Now(), webhook.Waiting)
	due := w.delivery(h, "s-0").NextAt
	w.stock(1, 1, 1)
	w.recorded(h, "s-0", time.Now(), webhook.Superseded)
	w.recorded(h, "s-1", time.Now(), webhook.Delivered)
	require.Less(t, time.Now(), due, "it does not wait for the retry of the older one")
	// If the retry were still scheduled, it would be due before the event published now.
	require.Eventually(t, func() bool { return time.Now().After(due.Add(time.Second)) }, 2*time.Minute, 50*time.Millisecond)
	w.stock(2, 1, 1)
	w.recorded(h, "s-2", time.Now(), webhook.Delivered)
	require.Equal(t, []string{"s-0", "s-1", "s-2"}, ids(w.receiver.Got("/a")))
	d := w.delivery(h, "s-0")
	require.Equal(t, webhook.DeliveryID(h.ID, "s-1"), *d.SupersededBy)
	require.Equal(t, 1, d.Attempts)
}

func TestReplaysAndEventsWithoutAnEntityAreNotCollapsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) { h.Config = config(t, `{"collapse":"entity","concurrency":1}`) })
	w.run()
	w.stock(0, 1, 1)
	w.recorded(h, "s-0", time.Now(), webhook.Delivered)
	w.setStatus(h, webhook.Paused)
	w.knows(h, webhook.Paused)
	w.stock(1, 2, 1)
	w.publish("order.created", `{"event_id":"o-1","data":{}}`, `{"event_id":"o-2","data":{}}`)
	w.recorded(h, "o-2", time.Now(), webhook.Parked)
	require.NoError(t, w.db.Jobs.RetryDelivery(t.Context(), "test", h.Tenant, webhook.DeliveryID(h.ID, "s-0"), true))
	w.setStatus(h, webhook.Active)
	w.recorded(h, "o-2", time.Now(), webhook.Delivered)
	w.recorded(h, "s-2", time.Now(), webhook.Delivered)
	w.recorded(h, "s-1", time.Now(), webhook.Superseded)
	w.recorded(h, "s-0", time.Now(), webhook.Delivered)
	require.ElementsMatch(t, []string{"s-0", "s-0", "s-2", "o-1", "o-2"}, ids(w.receiver.Got("/a")))

	err := w.db.Jobs.RetryDelivery(t.Context(), "test", h.Tenant, webhook.DeliveryID(h.ID, "s-1"), false)
	require.ErrorContains(t, err, "superseded")
	require.NoError(t, w.db.Jobs.RetryDelivery(t.Context(), "test", h.Tenant, webhook.DeliveryID(h.ID, "s-1"), true))
	w.recorded(h, "s-1", time.Now(), webhook.Delivered)
	require.Nil(t, w.delivery(h, "s-1").SupersededBy)
}
