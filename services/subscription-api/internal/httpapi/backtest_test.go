package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const backtest = hooks + "backtest/"

func TestAHookIsTriedOnTheEventsOfThePast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 30 {
		e := newEvent(fmt.Sprintf("e-%02d", i), uint64(i+1), "order.created", fmt.Sprintf("order:%d", i), time.Duration(30-i)*time.Minute)
		e.Data = []byte(fmt.Sprintf(`{"total":%d}`, i))
		switch {
		case i%3 == 1:
			e.Type = "package.created"
		case i == 3:
			e.ConfigFilter = []byte(`{"channel_id":13}`)
		case i == 6:
			e.Data = []byte(`{}`)
		}
		w.published(t, e)
	}
	w.published(t, newEvent("old", 99, "order.created", "", 30*time.Hour))

	a := w.call(t, http.MethodPost, backtest, `{"event_types":["order-*"],"config":{"channel_id":12,"filter":"event.data.total > 10"}}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.InDelta(t, 20, a.json["scanned"], 0)
	require.InDelta(t, 13, a.json["matched"], 0)
	require.Equal(t, map[string]any{"filter": 5.0, "filter_failed": 1.0, "config_filter": 1.0}, a.json["missed"])
	require.Equal(t, false, a.json["truncated"])
	failure := a.json["failure"].(map[string]any)
	require.Equal(t, "e-06", failure["event_id"])
	require.Contains(t, failure["detail"], "event.data.total is absent; guard it with has(event.data.total)")
	samples, misses := a.json["samples"].([]any), a.json["misses"].([]any)
	require.Len(t, samples, 10)
	require.Equal(t, "e-29", samples[0].(map[string]any)["event_id"], "the newest first")
	require.Equal(t, "The hook's filter is true: event.data.total is 29.", samples[0].(map[string]any)["detail"])
	require.Len(t, misses, 7)
	require.Equal(t, "filter", misses[0].(map[string]any)["reason"])
	require.Equal(t, "The hook's filter is false: event.data.total is 9.", misses[0].(map[string]any)["detail"])

	a = w.call(t, http.MethodPost, backtest, `{}`)
	require.InDelta(t, 30, a.json["matched"], 1, "everything, for all hooks")
	a = w.call(t, http.MethodPost, backtest, fmt.Sprintf(`{"event_type":"order.created","from":%q}`, time.Now().Add(-40*time.Hour).Format(time.RFC3339)))
	require.InDelta(t, 21, a.json["scanned"], 0)
	a = w.call(t, http.MethodPost, backtest, `{"event_type":"transfer.>"}`)
	require.InDelta(t, 0, a.json["scanned"], 0)
	require.Empty(t, a.json["samples"])

	for body, pointer := range map[string]string{
		`{"event_types":[]}`:                                          "/event_types",
		`{"event_type":"a b"}`:                                        "/event_type",
		`{"config":{"filter":"event.data."}}`:                         "/config/filter",
		`{"config":{"filter":"event.datum > 1"}}`:                     "/config/filter",
		`{"config":{"timeout":0}}`:                                    "/config/timeout",
		`{"from":"2026-02-01T00:00:00Z","to":"2026-01-01T00:00:00Z"}`: "/from",
		`{"from":"yesterday"}`:                                        "/from",
		`{"target_url":"x"}`:                                          "/target_url",
	} {
		a := w.call(t, http.MethodPost, backtest, body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, body)
		require.Equal(t, []string{pointer}, a.pointers(), a.text)
	}
}
