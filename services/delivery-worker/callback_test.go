package deliveryworker_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestACallbackCarriesTheReceiversAnswerAndIsRetriedLikeADelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", func(h *webhook.Hook) {
		h.Callback = &webhook.Callback{URL: w.receiver.URL + "/told"}
		h.Secrets = []webhook.Secret{{Value: "secret"}}
	})
	w.hook("/everything", nil)
	w.receiver.Answer("/a", testenv.Answer{Body: "taken"})
	w.receiver.Answer("/told", testenv.Answer{Status: http.StatusInternalServerError, Header: http.Header{"Retry-After": {"1"}}}, testenv.Answer{Status: http.StatusOK})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","entity":"order:7","data":{}}`)
	got := w.receiver.Await(t, "/told", 2)
	require.Equal(t, got[0].Body, got[1].Body)
	key, err := signature.ParseVerifyKey("secret")
	require.NoError(t, err)
	require.NoError(t, signature.Verify(got[1].Header, []byte(got[1].Body), []signature.VerifyKey{key}, time.Now(), time.Minute))
	var told struct {
		Outcome  string `json:"outcome"`
		EventID  string `json:"event_id"`
		Entity   string `json:"entity"`
		Attempts int    `json:"attempts"`
		Response struct {
			Status int    `json:"status"`
			Body   string `json:"body"`
		} `json:"response"`
	}
	require.NoError(t, json.Unmarshal([]byte(got[1].Body), &told))
	require.Equal(t, "delivered", told.Outcome)
	require.Equal(t, "e-1", told.EventID)
	require.Equal(t, "order:7", told.Entity)
	require.Equal(t, 1, told.Attempts)
	require.Equal(t, http.StatusOK, told.Response.Status)
	require.Equal(t, "taken", told.Response.Body)
	require.Len(t, w.receiver.Got("/everything"), 1, "a callback is nobody else's")
}

func TestACallbackBySubjectTellsWhatItWasAskedTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", func(h *webhook.Hook) {
		h.Callback = &webhook.Callback{Subject: "whisperer.callback.default.outcomes", On: []string{"waiting", "dead"}}
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: http.StatusBadGateway})
	next := testenv.Listen(t, w.config.NATSURL, "whisperer.callback.>")
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	for _, want := range []string{`"outcome":"waiting"`, `"outcome":"dead"`} {
		told := string(next())
		require.Contains(t, told, want)
		require.Contains(t, told, `"status":502`)
	}
}
