package deliveryworker_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
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
	}, 40*time.Second, 200*time.Millisecond)
}
