package deliveryworker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// settle sets the streams' sizes, as an operator does.
func (w *world) settle(oms, own int64) {
	w.t.Helper()
	b, err := bus.Connect(w.t.Context(), bus.Options{URL: w.config.NATSURL, Name: "operator", OMSMaxBytes: oms, OwnMaxBytes: own, Log: zap.NewNop()})
	require.NoError(w.t, err)
	defer b.Close()
	require.NoError(w.t, b.Streams().Ensure(w.t.Context()))
	require.NoError(w.t, b.Streams().ApplySettings(w.t.Context()))
}

func TestAFullEventLogDrainsByItselfWithACallbackAtEachHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.OMSMaxBytes = 1 << 20
	w.settle(1<<20, 64<<20)
	w.hook("/a", func(h *webhook.Hook) { h.Callback = &webhook.Callback{URL: w.receiver.URL + "/told"} })
	event := func(i int) []bus.Outgoing {
		body := fmt.Appendf(nil, `{"event_id":"e-%d","data":{"note":"%s"}}`, i, strings.Repeat("x", 20_000))
		return []bus.Outgoing{{Tenant: webhook.DefaultTenant, Type: "order.created", Body: body}}
	}
	stored := 0
	for ; w.bus.PublishEvents(t.Context(), event(stored)) == nil; stored++ {
		require.Less(t, stored, 100, "the log is never full")
	}
	w.run()
	w.receiver.Await(t, "/a", stored)
	w.receiver.Await(t, "/told", stored)
	require.Eventually(t, func() bool { return w.bus.PublishEvents(t.Context(), event(stored)) == nil }, 2*time.Minute, 50*time.Millisecond,
		"it has room again")
	w.receiver.Await(t, "/told", stored+1)
}

func TestACallbackForWhichThereIsNoRoomHoldsNothingUpAndIsPublishedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(64<<20, 100)
	w.hook("/a", func(h *webhook.Hook) { h.Callback = &webhook.Callback{URL: w.receiver.URL + "/told"} })
	w.run()
	for i := range 3 {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","data":{}}`, i))
	}
	w.receiver.Await(t, "/a", 3)
	require.Eventually(t, func() bool {
		lag, err := w.bus.Lag(t.Context(), bus.Fanout)
		return err == nil && lag.Settled == 3
	}, 2*time.Minute, 10*time.Millisecond, "the deliveries are settled")
	waiting, err := w.bus.Retries().Waiting(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, waiting)
	require.Empty(t, w.receiver.Got("/told"))
	w.settle(64<<20, 64<<20)
	w.receiver.Await(t, "/told", 3)
}

func TestNobodyElsePublishesWhatIsOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) { h.Callback = &webhook.Callback{URL: w.receiver.URL + "/told"} })
	w.hook("/ops", func(h *webhook.Hook) { h.EventTypes = []string{"hook.*", "delivery.*"} })
	w.run()
	for _, forged := range []string{webhook.CallbackType(h.ID), "callback.x", "delivery.dead", "hook.disabled", "hook.failing", "hook.made.up"} {
		w.publish(forged, `{"data":{}}`)
	}
	w.publish("order.created", `{"event_id":"whisperer:callback:1","data":{}}`)
	w.publish("delivery.created", `{"event_id":"e-1","data":{}}`)
	w.receiver.Await(t, "/ops", 1)
	var list []store.RejectedEvent
	require.Eventually(t, func() bool {
		var err error
		list, err = w.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, time.Time{}, 20)
		return err == nil && len(list) == 7
	}, 2*time.Minute, 50*time.Millisecond)
	reasons := map[string]int{}
	for _, r := range list {
		reasons[r.Reason]++
	}
	require.Equal(t, map[string]int{"reserved_type": 6, "reserved_id": 1}, reasons)
	require.Empty(t, w.receiver.Got("/told"))
	require.Len(t, w.receiver.Got("/ops"), 1, "types that begin with delivery. are the order management system's, but for one")
}
