package console_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	erasuresURL  = "/console/erasures/"
	retentionURL = "/console/retention/"
)

// erased returns a completed erasure of the event with the id erased, which had a delivery to the hook.
func (w *world) erased(t *testing.T, hook uuid.UUID) store.Erasure {
	t.Helper()
	event := w.event(t, "erased", 999, "package.created", "package:999", time.Minute)
	w.record(t, fact(hook, &event, webhook.Delivered, "", answered(200, "gone")))
	e, err := w.db.Erasures.Create(t.Context(), "test", store.NewErasure{
		Tenant: webhook.DefaultTenant, Kind: store.EraseIDs, Criteria: []string{event.ID, "other"}, Reason: "request 4711",
		Range: store.TimeRange{From: time.Now().Add(-time.Hour), To: time.Now()},
	})
	require.NoError(t, err)
	keys := []store.EventKey{{Tenant: webhook.DefaultTenant, ID: event.ID}}
	require.NoError(t, w.db.Erasures.Mark(t.Context(), &e.ID, "test", keys))
	_, err = w.db.Erasures.EraseRows(t.Context(), keys)
	require.NoError(t, err)
	places := map[string]int64{
		"postgresql_events": 1, "postgresql_deliveries": 1, "postgresql_attempts": 1, "deliveries_ended": 1, "rejected_events": 1,
		"oms_overwritten": 1, "own_kept": 2, "retries_deleted": 1, "retries_kept": 1,
	}
	require.NoError(t, w.db.Erasures.Finish(t.Context(), &e.ID, keys, places))
	require.NoError(t, w.db.Erasures.Complete(t.Context(), &e, json.RawMessage(`{"events":1}`)))
	e, err = w.db.Erasures.Get(t.Context(), webhook.DefaultTenant, e.ID)
	require.NoError(t, err)
	return e
}

// TestPayloadsAreErasedThroughThePages counts, confirms, erases, and reads the certificate. The pages of the event,
// of events and of its delivery show the erasure.
func TestPayloadsAreErasedThroughThePages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.bus()
	require.NoError(t, err)
	p := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "Olga", Role: store.Admin, Tenant: "default"}))
	h := w.hook(t, "north", "http://example.com/", "package.created")
	e := w.event(t, "e-1", 1, "package.created", "package:61", time.Hour)
	w.event(t, "e-2", 2, "package.created", "package:7", time.Hour)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "canary-answer")))
	delivery := "/console/deliveries/" + webhook.DeliveryID(h.ID, e.ID).String() + "/"
	require.Contains(t, p.get(t, erasuresURL).text, "No erasures yet.")

	form := []string{"by", "entity", "entity", "package:61", "span", "24h"}
	a := p.post(t, erasuresURL, append(form, "step", "count")...)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Contains(t, a.text, "Erase the payload of 1 event?")
	since := regexp.MustCompile(`name="since" value="([^"]+)"`).FindStringSubmatch(a.text)
	require.Len(t, since, 2)
	form = append(form, "since", since[1])
	a = p.post(t, erasuresURL, append(form, "step", "begin")...)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Regexp(t, `id="wrong-reason"[^>]*><span>This must have 1 to 500 bytes\.`, a.text)
	require.Contains(t, a.text, "Erase the payload of 1 event?", "it is asked again")
	require.Contains(t, p.post(t, erasuresURL, append(form, "step", "change")...).text, `value="package:61"`)
	a = p.post(t, erasuresURL, append(form, "step", "begin", "reason", "request <4711>")...)
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	one := a.header.Get("Location")
	page := p.get(t, one).text
	require.Contains(t, page, `id="erasure-cancel"`)
	require.Contains(t, page, "0 of 1")
	require.Equal(t, http.StatusNotFound, p.get(t, one+"certificate").status, "there is none yet")

	eraser := erase.New(w.db.DB, w.bus, erase.NewMetrics(prometheus.NewRegistry()), zap.NewNop())
	require.Eventually(t, func() bool {
		_, err := eraser.Step(t.Context())
		require.NoError(t, err)
		page = p.get(t, one).text
		return strings.Contains(page, "pill completed")
	}, time.Minute, time.Millisecond, page)
	require.NotContains(t, page, `id="erasure-cancel"`)
	require.Contains(t, page, "1 of 1")
	require.Contains(t, page, "<code>postgresql_events</code>")
	require.Contains(t, page, "Olga, <time")
	file := p.get(t, one+"certificate")
	require.Regexp(t, `^attachment; filename="erasure-[0-9a-f-]{36}\.json"$`, file.header.Get("Content-Disposition"))
	var certificate map[string]any
	require.NoError(t, json.Unmarshal([]byte(file.text), &certificate))
	require.Equal(t, "request <4711>", certificate["reason"])
	require.InDelta(t, 1, certificate["events"], 0)
	_, err = erase.Verify([]byte(file.text), nil)
	require.NoError(t, err)

	a = p.post(t, one+"cancel")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.text, "The erasure is completed already.")
	require.Contains(t, p.get(t, erasuresURL).text, "entity package:61")
	audit := p.get(t, "/console/audit/?kind=erasure").text
	require.Contains(t, audit, "erasure completed")
	require.Contains(t, audit, `href="`+one+`"`)

	for _, path := range []string{"/console/event?id=e-1", "/console/events/", "/console/search?q=package:61", delivery} {
		page := p.get(t, path).text
		require.Regexp(t, `erased on \d+ \w+ \d{4} \d\d:\d\d UTC by token Olga`, page, path)
		require.NotContains(t, page, "canary-answer", path)
	}
	require.NotContains(t, p.get(t, "/console/event?id=e-2").text, "erased on")
	require.NotContains(t, p.get(t, delivery).text, ">Retry now<")
	a = p.post(t, delivery+"retry")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.text, "It was not retried. The event&#39;s payload was erased on")
}

func TestErasuresAreCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	a := p.post(t, erasuresURL, "by", "events", "events", "e-1\r\n e-2 \r\n\r\n", "step", "begin", "reason", "request 4711")
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	one := a.header.Get("Location")
	require.Contains(t, p.get(t, one).text, "<code>e-2</code>")
	require.Equal(t, one, p.post(t, one+"cancel").header.Get("Location"))
	require.Contains(t, p.get(t, one).text, "no more events are looked for")
	require.Equal(t, http.StatusNotFound, p.get(t, erasuresURL+uuid.NewString()+"/").status)
	require.Equal(t, http.StatusNotFound, p.post(t, erasuresURL+uuid.NewString()+"/cancel").status)
	require.Equal(t, http.StatusNotFound, p.post(t, erasuresURL+"x/cancel").status)

	w.db.MakeTenant(t, "acme")
	other := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "a", Role: store.Admin, Tenant: "acme"}))
	require.Contains(t, other.get(t, erasuresURL).text, "No erasures yet.")
	require.Equal(t, http.StatusNotFound, other.get(t, one).status)
	require.Equal(t, http.StatusNotFound, other.post(t, one+"cancel").status)
}

func TestWhatIsWrongWithAnErasureIsSaidAtItsField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	for _, c := range []struct {
		form        []string
		field, says string
	}{
		{nil, "by", "Choose which events."},
		{[]string{"by", "all"}, "by", "Choose which events."},
		{[]string{"by", "entity"}, "entity", "This must have 1 to 256 characters."},
		{[]string{"by", "events", "events", "\n \n"}, "events", "This must have 1 to 1000 ids."},
		{[]string{"by", "events", "events", strings.Repeat("e", 1025)}, "events", "is not the id of an event."},
		{[]string{"by", "path", "path", "$.a"}, "span", "This is required with a path."},
		{[]string{"by", "path", "span", "1h"}, "path", "This must have 1 to 1000 bytes."},
		{[]string{"by", "path", "path", "$.a ? (", "span", "1h"}, "path", "This is not an SQL/JSON path."},
		{[]string{"by", "path", "path", "$.a", "span", "own", "from", "2020-01-01T00:00"}, "span", "This must be at most 31 days before to, with a path."},
		{[]string{"by", "entity", "entity", "a", "span", "own"}, "span", "Say from when, such as 2026-03-01 14:30."},
		{[]string{"by", "entity", "entity", "a", "span", "own", "from", "2020-01-02T00:00", "to", "soon"}, "span", "Say until when"},
		{[]string{"by", "entity", "entity", "a", "span", "own", "from", "2020-01-02T00:00", "to", "2020-01-01T00:00"}, "span", "This must be before to, and in the past."},
		{[]string{"by", "entity", "entity", "a", "span", "forever"}, "span", "Choose a time."},
	} {
		for _, step := range []string{"count", "begin"} {
			a := p.post(t, erasuresURL, append(c.form, "step", step, "reason", "r")...)
			require.Equal(t, http.StatusUnprocessableEntity, a.status, c.form)
			wrong := regexp.MustCompile(`id="wrong-` + c.field + `"[^>]*>(.*)</div>`).FindStringSubmatch(a.text)
			require.Len(t, wrong, 2, c.form)
			require.Contains(t, wrong[1], c.says, c.form)
		}
	}
	require.Equal(t, http.StatusBadRequest, p.post(t, erasuresURL, "by", "entity", "entity", "\x00").status)
	list, _, err := w.db.Erasures.List(t.Context(), webhook.DefaultTenant, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestRetentionPoliciesAreSetAndRemovedThroughThePages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	require.Contains(t, p.get(t, retentionURL).text, "No policies")
	for _, c := range []struct{ eventType, days, sure, field, says string }{
		{"order.created", "7", "", "sure", "Tick this"},
		{"", "7", "yes", "event_type", "This is required."},
		{"a b", "7", "yes", "event_type", "a b"},
		{"order.created", "", "yes", "days", "This must be a whole number from 1 to 3650."},
		{"order.created", "0", "yes", "days", "whole number"},
		{"order.created", "1.5", "yes", "days", "whole number"},
		{"order.created", "3651", "yes", "days", "whole number"},
	} {
		a := p.post(t, retentionURL, "event_type", c.eventType, "days", c.days, "sure", c.sure)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, c)
		wrong := regexp.MustCompile(`id="wrong-` + c.field + `"[^>]*>(.*)</div>`).FindStringSubmatch(a.text)
		require.Len(t, wrong, 2, c)
		require.Contains(t, wrong[1], c.says)
	}
	require.Contains(t, p.get(t, retentionURL).text, "No policies")
	a := p.post(t, retentionURL, "event_type", "order-created", "days", "7", "sure", "yes")
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	require.Contains(t, p.get(t, a.header.Get("Location")).text, "<code>order.created</code>")
	list, err := w.db.Retention.List(t.Context(), webhook.DefaultTenant)
	require.NoError(t, err)
	require.Equal(t, 7, list[0].Days)
	a = p.post(t, retentionURL+"remove", "event_type", "order.created")
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	require.Contains(t, p.get(t, a.header.Get("Location")).text, "No policies")
	require.Equal(t, http.StatusBadRequest, p.post(t, retentionURL+"remove", "event_type", "").status)
}
