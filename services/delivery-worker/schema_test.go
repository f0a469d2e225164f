package deliveryworker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestWorkersLearnHowATypeIsCheckedWhileTheyRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", nil)
	w.run()
	publish := func(id string) { w.publish("order.created", fmt.Sprintf(`{"event_id":%q,"data":{"id":"wrong"}}`, id)) }
	publish("e-1")
	w.receiver.Await(t, "/a", 1)

	check := func(c webhook.SchemaCheck) {
		_, err := w.db.Types.Set(t.Context(), "test", webhook.DefaultTenant, "order.created", store.EventTypeSettings{Check: c})
		require.NoError(t, err)
	}
	check(webhook.SchemaReject)
	rejected := func() []store.RejectedEvent {
		list, _, err := w.db.History.ListRejected(t.Context(), webhook.DefaultTenant, store.RejectedFilter{}, 100, store.Page{Limit: 100})
		require.NoError(t, err)
		return list
	}
	n := 1
	require.Eventually(t, func() bool {
		n++
		publish(fmt.Sprintf("e-%d", n))
		return len(rejected()) > 0
	}, 2*time.Minute, 50*time.Millisecond)
	require.Equal(t, "schema", rejected()[0].Reason)
	require.Contains(t, rejected()[0].Detail, "/id: is of type string and must be integer")

	check(webhook.SchemaWarn)
	require.Eventually(t, func() bool {
		before := fmt.Sprintf("e-%d", n) // had time to be recorded
		n++
		publish(fmt.Sprintf("e-%d", n))
		e, err := w.db.History.FindEvent(t.Context(), webhook.DefaultTenant, before)
		return err == nil && len(e.SchemaProblems) > 0
	}, 2*time.Minute, 100*time.Millisecond)
	require.Eventually(t, func() bool {
		list, _, err := w.db.History.ListDeliveries(t.Context(), webhook.DefaultTenant, store.DeliveryFilter{Hook: h.ID}, store.Page{Limit: 100})
		return err == nil && len(list) == n-len(rejected())
	}, 2*time.Minute, 50*time.Millisecond, "each event is delivered or rejected")
}
