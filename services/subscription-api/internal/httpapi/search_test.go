package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestEventsAndDeliveriesAreFoundByWhatIsInPayloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"*","target_url":"http://example.com/a"}`)
	for i, data := range []string{
		`{"package":{"awb":"1Z5","lines":[{"quantity":1}]}}`, `{"package":{"awb":"1Z6","lines":[{"quantity":7}]},"note":"fragile"}`,
		`{"package": {"awb": "1Z5"}, "note": "Fragile"}`, `{"odd":"\\u0000"}`, `"1Z5"`,
	} {
		e := newEvent(fmt.Sprintf("e-%d", i), uint64(i+1), "package.created", "", time.Duration(10-i)*time.Minute)
		e.Data = []byte(data)
		w.published(t, e)
		w.recorded(t, newFact(hook, &e, webhook.Delivered, "", 200))
	}
	other := newEvent("theirs", 99, "package.created", "", time.Minute)
	other.Tenant, other.Data = "other", []byte(`{"package":{"awb":"1Z5"}}`)
	w.db.MakeTenant(t, "other")
	w.published(t, other)

	from := "&from=" + url.QueryEscape(time.Now().Add(-time.Hour).Format(time.RFC3339))
	for query, want := range map[string][]string{
		"data_contains=" + url.QueryEscape(`{"package":{"awb":"1Z5"}}`):         {"e-2", "e-0"},
		"data_contains=" + url.QueryEscape(`"1Z5"`):                             {"e-4"},
		"data_path=" + url.QueryEscape(`$.package.lines[*] ? (@.quantity > 3)`): {"e-1"},
		"data_path=" + url.QueryEscape(`$.note`):                                {"e-2", "e-1"},
		"data_text=fragile":                                                     {"e-1"},
		"data_text=1Z5&limit=1":                                                 {"e-4"},
		"data_text=1Z&data_contains=" + url.QueryEscape(`{"note":"Fragile"}`):   {"e-2"},
		"data_text=" + url.QueryEscape(`%' OR true --`):                         {},
	} {
		a := w.call(t, http.MethodGet, events+"?"+query+from, "")
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.Equal(t, want, append([]string{}, field(a, "event_id")...), query)
		for _, list := range []string{deliveriesURL, hooks + hook.String() + "/deliveries/"} {
			a = w.call(t, http.MethodGet, list+"?"+query+from, "")
			require.Equal(t, http.StatusOK, a.status, a.text)
			require.Equal(t, want, append([]string{}, field(a, "event")...), query)
		}
	}
	next := w.call(t, http.MethodGet, events+"?data_text=1Z5&limit=1"+from, "").json["next"].(string)
	require.Equal(t, []string{"e-2"}, field(w.call(t, http.MethodGet, next, ""), "event_id"))

	long := "&from=" + url.QueryEscape(time.Now().Add(-40*24*time.Hour).Format(time.RFC3339))
	for query, parameter := range map[string]string{
		"data_text=x":                   "from",
		"data_text=x" + long:            "from",
		"data_contains=%7B" + from:      "data_contains",
		"data_path=%24.%5B" + from:      "data_path",
		"data_path=nonsense%20!" + from: "data_path",
	} {
		for _, list := range []string{events, deliveriesURL} {
			a := w.call(t, http.MethodGet, list+"?"+query, "")
			require.Equal(t, http.StatusBadRequest, a.status, query+a.text)
			require.Equal(t, []string{parameter}, a.pointers(), query)
		}
	}
}
