package deliveryworker_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestWhatWaitsAndWhatIsParkedCanBeWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/paused", func(h *webhook.Hook) { h.Status = webhook.Paused })
	w.hook("/bad", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":3600}}`)
	})
	w.receiver.Answer("/bad", testenv.Answer{Status: http.StatusBadGateway})
	w.run()
	w.publish("order.created", `{"id":1}`, `{"id":2}`, `{"id":3}`)
	require.Eventually(t, func() bool {
		return w.metric("whisperer_deliveries_waiting") == 3 && w.metric("whisperer_deliveries_parked") == 3
	}, 2*time.Minute, 200*time.Millisecond)
}

func TestTheHooksThatFareWorstAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // two hooks are named
	rare := func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":1,"period":3600}}`) }
	once := func(h *webhook.Hook) { h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":3600}}`) }
	w.hook("/paused", func(h *webhook.Hook) { h.Status = webhook.Paused })
	most := w.hook("/most", rare)
	some := w.hook("/some", func(h *webhook.Hook) { rare(h); h.EventTypes = []string{"order.created"} })
	w.hook("/few", func(h *webhook.Hook) { rare(h); h.EventTypes = []string{"order.updated"} })
	bad := w.hook("/bad", func(h *webhook.Hook) { once(h); h.EventTypes = []string{"order.created"} })
	w.receiver.Answer("/bad", testenv.Answer{Status: http.StatusBadGateway})
	w.run()
	w.publish("order.created", `{"id":1}`, `{"id":2}`, `{"id":3}`, `{"id":4}`)
	w.publish("order.updated", `{"id":5}`, `{"id":6}`)
	labels := func(h webhook.Hook) string { return `{hook="` + h.ID.String() + `",tenant="default"}` }
	require.Eventually(t, func() bool {
		return w.metric("whisperer_hook_parked"+labels(most)) == 5 && w.metric("whisperer_hook_parked"+labels(some)) == 3 &&
			w.metric(`whisperer_hook_parked{hook="other",tenant=""}`) == 6+1 && w.metric("whisperer_hook_failures"+labels(bad)) == 4
	}, 2*time.Minute, 200*time.Millisecond)
	require.Positive(t, w.metric("whisperer_hook_parked_age_seconds"+labels(most)))
	require.Positive(t, w.metric("whisperer_hook_failing_seconds"+labels(bad)))
	require.InDelta(t, 1, w.metric("whisperer_hooks_failing"), 0)
	require.InDelta(t, 6, w.metric(`whisperer_tenant_events_total{outcome="fanned_out",tenant="default"}`), 0)
}

func TestLogLinesAboutAnEventOrADeliveryLeadToItsTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := w.hook("/bad", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":3600}}`)
	})
	w.receiver.Answer("/bad", testenv.Answer{Status: http.StatusBadGateway})
	w.run()
	const id = "0af7651916cd43dd8448eb211c80319c"
	for event, body := range map[string]string{"good": `{"id":1}`, "broken": `this is not JSON`} {
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{{
			Tenant: webhook.DefaultTenant, Type: "order.created", ID: event, Body: []byte(body),
			Header: map[string]string{"traceparent": "00-" + id + "-b7ad6b7169203331-01"},
		}}))
	}
	for message, want := range map[string]map[string]any{
		"delivery attempted": {
			"event_id": "good", "trace_id": id, "hook_id": bad.ID.String(), "delivery_id": webhook.DeliveryID(bad.ID, "good").String(), "tenant": "default",
		},
		"event rejected": {"event_id": "broken", "trace_id": id},
	} {
		require.Eventually(t, func() bool { return w.logs.FilterMessage(message).Len() == 1 }, 2*time.Minute, 20*time.Millisecond, message)
		require.Subset(t, w.logs.FilterMessage(message).All()[0].ContextMap(), want)
	}
}
