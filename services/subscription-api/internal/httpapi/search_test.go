package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seed"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestEventsAndDeliveriesAreFoundByWhatIsInPayloads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"*","target_url":"http://example.com/a"}`)
	for i, data := range []string{
		`{"package":{"awb":"1Z5","lines":[{"quantity":1}]}}`, `{"package":{"awb":"1Z6","lines":[{"quantity":7}]},"note":"fragile"}`,
		`{"package": {"awb": "1Z5"}, "note": "Fragile"}`, `{"odd":"\\u0000"}`, `"1Z5"`,
		`{"package":{"awb":"Q\u0051Q"}}`,
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
		"data_contains=" + url.QueryEscape(`{"package":{"awb":"QQQ"}}`):         {"e-5"},
		"data_contains=" + url.QueryEscape(`{"package":{"awb":"\u0051QQ"}}`):    {"e-5"},
		"data_contains=" + url.QueryEscape(`{"note":"Fra\"gile"}`):              {},
		"data_contains=" + url.QueryEscape(`{"package":{"lines":[{}]}}`):        {"e-1", "e-0"},
		"data_path=" + url.QueryEscape(`$.package.lines[*] ? (@.quantity > 3)`): {"e-1"},
		"data_path=" + url.QueryEscape(`$.note`):                                {"e-2", "e-1"},
		"data_path=" + url.QueryEscape(`$.package.awb == "1Z6"`):                {"e-1"},
		"data_path=" + url.QueryEscape(`strict $.note == "Fragile"`):            {"e-2"},
		"data_path=" + url.QueryEscape(`strict $.nothing`):                      {},
		"data_contains=" + url.QueryEscape(`{"n":1e200000}`):                    {},
		"data_text=fragile":     {"e-1"},
		"data_text=1Z5&limit=1": {"e-4"},
		"data_text=1Z&data_contains=" + url.QueryEscape(`{"note":"Fragile"}`): {"e-2"},
		"data_text=" + url.QueryEscape(`%' OR true --`):                       {},
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

func TestASearchThroughMuchGoesOnFromPageToPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := seed.History(t.Context(), w.db.DB, testenv.Plain(t, w.db.URL), seed.Options{Hooks: 40, Attempts: 25_000, EventTypes: []string{"order.created", "order.updated"}})
	require.NoError(t, err)
	from := "&limit=250&from=" + url.QueryEscape(time.Now().Add(-30*24*time.Hour).Format(time.RFC3339))
	for _, query := range []string{
		events + "?data_contains=" + url.QueryEscape(`{"package":{"awb":"AWB115"}}`), events + "?data_contains=" + url.QueryEscape(`{"id":115}`),
		events + "?event_type=never.published", deliveriesURL + "?data_text=AWB115", deliveriesURL + "?event_type=order.%3E&status=299",
	} {
		var found, back []string
		pages, previous := 0, ""
		for next := query + from; next != ""; pages++ {
			a := w.call(t, http.MethodGet, next, "")
			require.Equal(t, http.StatusOK, a.status, a.text)
			found = append(found, field(a, "created_date")...)
			next, _ = a.json["next"].(string)
			_, unfinished := a.json["searched_to"].(string)
			require.Equal(t, next != "", unfinished, query)
			if link, ok := a.json["previous"].(string); ok {
				previous = link
			}
		}
		require.Greater(t, pages, 1, query)
		require.Equal(t, strings.Contains(query, "115"), len(found) >= 20, "%s: %d", query, len(found))
		for previous != "" {
			a := w.call(t, http.MethodGet, previous, "")
			require.Equal(t, http.StatusOK, a.status, a.text)
			back = append(field(a, "created_date"), back...)
			previous, _ = a.json["previous"].(string)
		}
		require.Subset(t, found, back, query)
		require.Equal(t, len(found) > 0, len(back) > 0, query)
	}
}
