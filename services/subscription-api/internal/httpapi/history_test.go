package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// history is a world with some history.
type history struct {
	*world
	a, b   uuid.UUID
	events []webhook.Event
}

func newHistory(t *testing.T) *history {
	t.Helper()
	h := &history{world: newWorld(t)}
	h.a = h.createHook(t, `{"event_type":"*","target_url":"http://example.com/a"}`)
	h.b = h.createHook(t, `{"event_type":"*","target_url":"http://example.com/b"}`)
	h.events = []webhook.Event{
		newEvent("e-1", 1, "order.created", "order:1", 5*time.Hour),
		newEvent("e-2", 2, "order.cancelled", "order:1", 4*time.Hour),
		newEvent("e-3", 3, "package.created", "package:61", 3*time.Hour),
		newEvent("e-4", 4, "package.status.packed", "", 2*time.Hour),
		newEvent("old", 5, "order.created", "order:2", 10*24*time.Hour),
	}
	h.published(t, h.events...)
	h.recorded(t,
		newFact(h.a, &h.events[0], webhook.Delivered, "", 200), newFact(h.a, &h.events[1], webhook.Dead, webhook.ReasonExhausted, 500),
		newFact(h.a, &h.events[2], webhook.Waiting, webhook.ReasonFailed, 0), newFact(h.a, &h.events[3], webhook.Parked, webhook.ReasonPaused, -1),
		newFact(h.a, &h.events[4], webhook.Dead, webhook.ReasonExhausted, 404), newFact(h.b, &h.events[0], webhook.Delivered, "", 204))
	return h
}

func TestDeliveriesAreFoundByTheirFilters(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	at := func(i int) string { return h.events[i].PublishedAt.Format(time.RFC3339Nano) }
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"hook=" + h.a.String(), []string{"e-4", "e-3", "e-2", "e-1"}},
		{"hook=" + h.b.String(), []string{"e-1"}},
		{"hook=" + uuid.NewString(), []string{}},
		{"event=e-1", []string{"e-1", "e-1"}},
		{"event=old", []string{"old"}},
		{"event_type=order.created", []string{"e-1", "e-1"}},
		{"event_type=order-cancelled", []string{"e-2"}},
		{"event_type=order.*", []string{"e-2", "e-1", "e-1"}},
		{"event_type=package.>", []string{"e-4", "e-3"}},
		{"event_type=*", []string{"e-4", "e-3", "e-2", "e-1", "e-1"}},
		{"entity=package:61", []string{"e-3"}},
		{"entity=order:61", []string{}},
		{"entity=order:1&state=dead", []string{"e-2"}},
		{"state=dead", []string{"e-2"}},
		{"state=dead,delivered", []string{"e-2", "e-1", "e-1"}},
		{"status=500", []string{"e-2"}},
		{"status_class=2xx", []string{"e-1", "e-1"}},
		{"status_class=none", []string{"e-4", "e-3"}},
		{"from=" + at(1) + "&to=" + at(3), []string{"e-3", "e-2"}},
		{"to=" + at(1), []string{"e-1", "e-1"}},
		{"state=dead&from=" + at(4), []string{"e-2", "old"}},
	} {
		got := h.call(t, http.MethodGet, deliveriesURL+"?"+c.query, "")
		require.Equal(t, http.StatusOK, got.status, "%s: %s", c.query, got.text)
		require.Equal(t, c.want, field(got, "event"), c.query)
	}
	mine := h.call(t, http.MethodGet, hooks+h.b.String()+"/deliveries/?state=delivered", "")
	require.Equal(t, []string{"e-1"}, field(mine, "event"))
	require.Equal(t, http.StatusNotFound, h.call(t, http.MethodGet, hooks+uuid.NewString()+"/deliveries/", "").status)
}

func TestBadFiltersOfHistoryAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, query := range []string{
		"hook=x", "hook=00000000-0000-0000-0000-000000000000", "state=on", "state=dead,", "status=x", "status=1000", "status_class=6xx",
		"event_type=a%20b", "from=yesterday", "from=2026-01-01T00:00:00", "from=0001-01-01T00:00:00Z", "to=9999-01-01T00:00:00Z",
		"from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "limit=0", "cursor=x", "sort=id",
	} {
		require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodGet, deliveriesURL+"?"+query, "").status, query)
	}
	for _, path := range []string{deliveriesURL + "x/", deliveriesURL + uuid.NewString() + "/", events + "nope/", events + "a%20b/"} {
		require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, path, "").status, path)
	}
}

func TestADeliveryIsShownWithItsAttempts(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	e := &h.events[2]
	second := newFact(h.a, e, webhook.Delivered, "", 200)
	second.Attempts, second.Attempt.Number, second.Attempt.ResponseBody, second.Attempt.Truncated = 2, 2, []byte{0xff, 0}, true
	second.At = time.Now().UnixNano()
	h.recorded(t, second)
	id := webhook.DeliveryID(h.a, e.ID).String()
	a := h.call(t, http.MethodGet, deliveriesURL+id+"/", "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, "delivered", a.json["state"])
	require.InDelta(t, 2, a.json["attempt_count"], 0)
	require.Nil(t, a.json["next_attempt_date"])
	attempts := a.json["attempts"].([]any)
	require.Len(t, attempts, 2)
	first, last := attempts[0].(map[string]any), attempts[1].(map[string]any)
	require.Nil(t, first["status"])
	require.Equal(t, "timeout", first["error_class"])
	require.Equal(t, "thanks", first["response_body"])
	require.Equal(t, false, first["response_body_is_base64"])
	require.Equal(t, "w-1", first["worker"])
	require.InDelta(t, 0.25, first["duration"], 1e-9)
	require.InDelta(t, 0.02, first["timings"].(map[string]any)["first_byte"], 1e-9)
	require.Equal(t, []any{map[string]any{"name": "X-A", "value": "1: 2"}, map[string]any{"name": "X-A", "value": ""}}, first["response_headers"])
	require.Equal(t, "/wA=", last["response_body"])
	require.Equal(t, true, last["response_body_is_base64"])
	require.Equal(t, true, last["truncated"])
}

func TestHistoryGoesForthAndBack(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for _, list := range []struct {
		path, field string
		want        []string
	}{
		{deliveriesURL + "?hook=" + h.a.String(), "event", []string{"e-4", "e-3", "e-2", "e-1"}},
		{events + "?to=" + time.Now().UTC().Format(time.RFC3339), "event_id", []string{"e-4", "e-3", "e-2", "e-1"}},
		{"/whisperer/hook_events/?webhook=" + h.a.String(), "uuid", []string{"e-4", "e-3", "e-2", "e-1"}},
	} {
		a := h.call(t, http.MethodGet, list.path+"&limit=3", "")
		require.Equal(t, list.want[:3], field(a, list.field))
		require.Nil(t, a.json["previous"])
		a = h.call(t, http.MethodGet, a.json["next"].(string), "")
		require.Equal(t, list.want[3:], field(a, list.field))
		require.Nil(t, a.json["next"])
		cursor := a.json["previous"].(string)
		a = h.call(t, http.MethodGet, cursor, "")
		require.Equal(t, list.want[:3], field(a, list.field))
		u, err := url.Parse(cursor)
		require.NoError(t, err)
		elsewhere := h.call(t, http.MethodGet, deliveriesURL+"?cursor="+u.Query().Get("cursor"), "")
		require.Equal(t, http.StatusBadRequest, elsewhere.status, "a cursor of another list")
	}
}

func TestEventsAreListedAndShownWithTheirExactData(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for query, want := range map[string][]string{
		"":                   {"e-4", "e-3", "e-2", "e-1"},
		"event_type=order.>": {"e-2", "e-1"},
		"entity=order:1":     {"e-2", "e-1"},
		"entity=order:9":     {},
		"entity=61":          {},
		"from=2000-01-01T00:00:00Z&event_type=order.created": {"e-1", "old"},
	} {
		require.Equal(t, want, field(h.call(t, http.MethodGet, events+"?"+query, ""), "event_id"), query)
	}
	a := h.call(t, http.MethodGet, events+"e-1/", "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Contains(t, a.text, `"data":{"n":1.50}`)
	require.InDelta(t, 2, a.json["deliveries"].(map[string]any)["delivered"], 0)
	require.Nil(t, a.json["current_context"])
}

func TestRejectedEventsAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.db.Ledger.NewRecorder()
	defer r.Close()
	at := time.Now().Add(-time.Minute)
	var rejected []*whispererv1.RejectedEvent
	for i, raw := range []string{"{", "\x00\xff", strings.Repeat("a", 20_000)} {
		rejected = append(rejected, &whispererv1.RejectedEvent{
			PublishedAt: at.UnixNano(), Seq: uint64(i + 1), Subject: fmt.Sprintf("oms.default.package.no%d", i+1), Tenant: "default", Reason: []string{"unreadable", "unreadable", "bad_field"}[i],
			Detail: "It is no JSON.", Raw: []byte(raw), Size: uint32(len(raw)), Headers: []*whispererv1.Header{{Name: "A", Value: "b"}},
		})
	}
	require.NoError(t, r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Rejected: rejected}}))
	const path = "/whisperer/rejected-events/"
	a := w.call(t, http.MethodGet, path+"?limit=2", "")
	require.Equal(t, []string{"3", "2"}, field(a, "seq"))
	require.Equal(t, []string{"false", "true"}, field(a, "raw_is_base64"))
	require.Len(t, field(a, "raw")[0], 16<<10)
	a = w.call(t, http.MethodGet, a.json["next"].(string), "")
	require.Equal(t, []string{"{"}, field(a, "raw"))
	for query, want := range map[string][]string{
		"reason=unreadable":                     {"2", "1"},
		"reason=unreadable&subject=PACKAGE.no1": {"1"},
		"subject=no3":                           {"3"},
		"reason=poison":                         {},
		"to=2000-01-01T00:00:00Z&from=1999-01-01T00:00:00Z": {},
	} {
		require.ElementsMatch(t, want, field(w.call(t, http.MethodGet, path+"?"+query, ""), "seq"), query)
	}
	next := w.call(t, http.MethodGet, path+"?limit=1&reason=unreadable", "").json["next"].(string)
	require.Equal(t, []string{"1"}, field(w.call(t, http.MethodGet, next, ""), "seq"), "the filter goes on with the pages")
	w.db.MakeTenant(t, "acme")
	require.Empty(t, field(w.call(t, http.MethodGet, path, "", header("X-Whisperer-Tenant", "acme")), "seq"))
}

func TestStatsCountByOutcome(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	a := h.call(t, http.MethodGet, hooks+h.a.String()+"/stats/", "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	day, month := a.json["last_24_hours"].(map[string]any), a.json["last_30_days"].(map[string]any)
	require.InDelta(t, 4, day["total"], 0)
	require.InDelta(t, 0.5, day["success_rate"], 1e-9)
	require.InDelta(t, 5, month["total"], 0)
	require.InDelta(t, 2, month["dead"], 0)
	require.InDelta(t, 1, a.json["parked"], 0)
	require.InDelta(t, 1, a.json["waiting"], 0)
	duration := a.json["duration"].(map[string]any)
	require.InDelta(t, 2, duration["attempts"], 0)
	require.InDelta(t, 0.25, duration["p50"], 1e-6)
	require.NotNil(t, a.json["failing_since"])

	fresh := h.createHook(t, `{"event_type":"*","target_url":"http://example.com/c"}`)
	a = h.call(t, http.MethodGet, hooks+fresh.String()+"/stats/", "")
	require.Nil(t, a.json["last_24_hours"].(map[string]any)["success_rate"])
	require.Nil(t, a.json["failing_since"])
}

func TestTheOldNamesAnswerAsTheyDid(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	at := func(i int) string { return url.QueryEscape(h.events[i].PublishedAt.Format(time.RFC3339Nano)) }
	for query, want := range map[string][]string{
		"webhook=" + h.b.String():                {"e-1"},
		"delivered=True&webhook=" + h.a.String(): {"e-1"},
		"delivered=false":                        {"e-4", "e-3", "e-2"},
		"uuid=e-2":                               {"e-2"},
		"uuid=old":                               {"old"},
		"response_http_status=204":               {"e-1"},
		"object_id=61":                           {"e-3"},
		"object_id=1&event_type=order-cancelled": {"e-2"},
		"created_date=" + at(2):                  {"e-3"},
		"created_date__gt=" + at(2):              {"e-4"},
		"created_date__gte=" + at(2):             {"e-4", "e-3"},
		"created_date__gt=" + at(0) + "&created_date__lt=" + at(2):                       {"e-2"},
		"created_date__gt=" + at(0) + "&created_date__lte=" + at(2):                      {"e-3", "e-2"},
		"delivered=0&created_date__gte=" + h.events[4].PublishedAt.Format(time.DateOnly): {"e-4", "e-3", "e-2", "old"},
	} {
		a := h.call(t, http.MethodGet, "/whisperer/hook_events/?"+query, "")
		require.Equal(t, http.StatusOK, a.status, "%s: %s", query, a.text)
		require.Equal(t, want, field(a, "uuid"), query)
	}
	one := h.call(t, http.MethodGet, "/whisperer/hook_events/?uuid=e-3", "").json["results"].([]any)[0].(map[string]any)
	require.Equal(t, "61", one["object_id"])
	require.Equal(t, false, one["delivered"])
	require.Equal(t, h.a.String(), one["webhook"].(map[string]any)["id"])
	for _, query := range []string{"delivered=maybe", "created_date__gt=soon", "created_date__gt=2026-02-01&created_date__lt=2026-01-01", "limit=-1"} {
		require.Equal(t, http.StatusBadRequest, h.call(t, http.MethodGet, "/whisperer/hook_events/?"+query, "").status, query)
	}
}
