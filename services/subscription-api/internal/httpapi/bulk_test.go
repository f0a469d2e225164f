package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// labelled creates three hooks labelled acme, one of them disabled, and one labelled other.
func (w *world) labelled(t *testing.T) (acme, off, other uuid.UUID) {
	t.Helper()
	acme = w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/1","labels":{"partner":"acme","region":"eu"}}`)
	w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/2","labels":{"partner":"acme"},"status":"paused"}`)
	off = w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/3","labels":{"partner":"acme"}}`)
	_, err := w.db.Hooks.Disable(t.Context(), "test", off, nil, "gone")
	require.NoError(t, err)
	other = w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/4","labels":{"partner":"b, c"}}`)
	return acme, off, other
}

func TestHooksAreListedByTheirLabels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, _, other := w.labelled(t)
	w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/5"}`)
	for label, want := range map[string]int{
		"": 5, "partner": 4, "partner=acme": 3, "partner=acme,region": 1, "partner=acme,region=us": 0, "region=acme": 0, `partner=b\, c`: 1, "team": 0,
	} {
		a := w.call(t, http.MethodGet, hooks+"?label="+url.QueryEscape(label), "")
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.Len(t, a.json["results"], want, label)
	}
	for _, label := range []string{"Partner=a", "partner=", "=a", "a=b,a=c", `a=b\`, "a'; DROP TABLE hooks"} {
		a := w.call(t, http.MethodGet, hooks+"?label="+url.QueryEscape(label), "")
		require.Equal(t, http.StatusBadRequest, a.status, label)
		require.Equal(t, []string{"label"}, a.pointers())
	}
	e := newEvent("e-1", 1, "order.created", "order:1", time.Hour)
	w.published(t, e)
	w.recorded(t, newFact(acme, &e, webhook.Dead, webhook.ReasonExhausted, 500), newFact(other, &e, webhook.Dead, webhook.ReasonExhausted, 500))
	require.Equal(t, []string{acme.String()}, field(w.call(t, http.MethodGet, deliveriesURL+"?label=partner%3Dacme", ""), "hook"))
	require.Len(t, field(w.call(t, http.MethodGet, deliveriesURL+"?label=partner", ""), "hook"), 2)
}

func TestManyHooksArePausedAndResumedByLabelAfterACount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, off, other := w.labelled(t)
	const acme = `"labels":{"partner":"acme"}`
	for _, step := range []struct {
		verb, body string
		want       int
	}{
		{"pause", acme + `,"dry_run":true`, 1},
		{"pause", acme + `,"dry_run":true`, 1}, // nothing was changed by the dry run
		{"pause", acme, 1},                     // of the others, one is paused already and one is disabled
		{"pause", acme, 0},
		{"resume", acme + `,"status":"paused"`, 2},
		{"resume", acme + `,"dry_run":true`, 1},
		{"resume", `"ids":["` + off.String() + `","` + other.String() + `"]`, 1},
		{"pause", `"search":"example.com/4"`, 1},
		{"pause", `"all":true`, 3},
		{"resume", `"target_url":"http://EXAMPLE.com:80/1"`, 1},
		{"pause", `"ids":[]`, 0},
	} {
		a := w.call(t, http.MethodPost, hooks+step.verb+"/", "{"+step.body+"}")
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.InDelta(t, step.want, a.json["count"], 0, "%s %s", step.verb, step.body)
	}
	log, _, err := w.db.Access.ListAudit(t.Context(), webhook.DefaultTenant, store.AuditFilter{Kind: "hook"}, store.Page{Limit: 100})
	require.NoError(t, err)
	n := 0
	for i := range log {
		if log[i].Action == "hook.paused" {
			n++
		}
	}
	require.Equal(t, 5, n, "each hook by itself")
}

func TestManyHooksAreReplayedByLabelAfterACount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, off, other := w.labelled(t)
	e := newEvent("e-1", 1, "order.created", "order:1", time.Hour)
	w.published(t, e)
	for _, hook := range []uuid.UUID{acme, off, other} {
		w.recorded(t, newFact(hook, &e, webhook.Dead, webhook.ReasonExhausted, 500))
	}
	const body = `"labels":{"partner":""},` + since
	a := w.call(t, http.MethodPost, hooks+"replay/", `{"dry_run":true,`+body+`}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.InDelta(t, 2, a.json["total"], 0)
	require.Equal(t, []any{map[string]any{"hook": off.String(), "reason": "The hook is disabled: resume it first."}}, a.json["refused"])
	require.Equal(t, webhook.Dead, w.state(t, acme, &e).State)
	require.Equal(t, []string{"/reason"}, w.call(t, http.MethodPost, hooks+"replay/", `{`+body+`}`).pointers())

	a = w.call(t, http.MethodPost, hooks+"replay/", `{"reason":"lost",`+body+`}`)
	require.Equal(t, http.StatusAccepted, a.status, a.text)
	require.Len(t, a.json["jobs"], 2)
	w.work(t)
	require.Equal(t, webhook.Parked, w.state(t, acme, &e).State)
	require.Equal(t, webhook.Parked, w.state(t, other, &e).State)
	require.Equal(t, webhook.Dead, w.state(t, off, &e).State)
}

func TestManyDeliveriesAreRetriedByIDAndByLabel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, _, other := w.labelled(t)
	var ids []string
	events := make([]webhook.Event, 3)
	for i, state := range []webhook.DeliveryState{webhook.Delivered, webhook.Dead, webhook.Parked} {
		events[i] = newEvent([]string{"e-0", "e-1", "e-2"}[i], uint64(i+1), "order.created", "order:1", time.Hour)
		w.published(t, events[i])
		w.recorded(t, newFact(acme, &events[i], state, "", 200), newFact(other, &events[i], state, "", 200))
		ids = append(ids, `"`+webhook.DeliveryID(acme, events[i].ID).String()+`"`)
	}
	retry := func(body string) float64 {
		a := w.call(t, http.MethodPost, deliveriesURL+"retry/", "{"+body+"}")
		require.Equal(t, http.StatusOK, a.status, a.text)
		return a.json["count"].(float64)
	}
	all := `"ids":[` + strings.Join(ids, ",") + `]`
	require.InDelta(t, 1, retry(all+`,"dry_run":true`), 0, "the dead one")
	require.InDelta(t, 2, retry(all+`,"dry_run":true,"force":true`), 0, "and the delivered one; what is parked is under way")
	require.InDelta(t, 2, retry(all+`,"force":true`), 0)
	require.InDelta(t, 0, retry(all+`,"force":true`), 0)
	for i := range events {
		require.Equal(t, webhook.Parked, w.state(t, acme, &events[i]).State)
	}
	require.Equal(t, webhook.Delivered, w.state(t, other, &events[0]).State, "of another hook")
	require.InDelta(t, 0, retry(`"labels":{"partner":"acme"},`+since), 0)
	require.InDelta(t, 1, retry(`"labels":{"partner":"b, c"},`+since), 0)
	require.InDelta(t, 0, retry(`"ids":[]`), 0, "no id is none")

	w.db.MakeTenant(t, "acme")
	theirs := w.db.MakeToken(t, store.NewToken{Name: "theirs", Tenant: "acme", Role: store.Admin})
	a := w.call(t, http.MethodPost, deliveriesURL+"retry/", `{"force":true,`+all+`}`, token(theirs))
	require.InDelta(t, 0, a.json["count"], 0, "of another tenant")
}

func TestChangesOfManyAreRefusedWithTheField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/1"}`)
	tooMany := `"` + strings.Repeat(hook.String()+`","`, 1000) + hook.String() + `"`
	for _, test := range []struct{ path, body, pointer string }{
		{hooks + "pause/", `{}`, "/all"},
		{hooks + "pause/", `{"all":false}`, "/all"},
		{hooks + "pause/", `{"labels":{}}`, "/all"},
		{hooks + "pause/", `{"labels":{"Partner":"a"}}`, "/labels"},
		{hooks + "pause/", `{"labels":{"partner":null}}`, "/labels"},
		{hooks + "pause/", `{"labels":"partner=a"}`, "/labels"},
		{hooks + "pause/", `{"label":{"partner":"a"}}`, "/label"},
		{hooks + "resume/", `{"status":"gone"}`, "/status"},
		{hooks + "resume/", `{"ids":["x"]}`, "/ids"},
		{hooks + "resume/", `{"ids":[` + tooMany + `]}`, "/ids"},
		{hooks + "resume/", `{"ids":"` + hook.String() + `"}`, "/ids"},
		{hooks + "replay/", `{"all":true}`, "/from"},
		{hooks + "replay/", `{"all":true,"from":"2026-01-01T00:00:00Z","rate":0,"dry_run":true}`, "/rate"},
		{hooks + "replay/", `{"from":"2026-01-01T00:00:00Z","dry_run":true}`, "/all"},
		{deliveriesURL + "retry/", `{}`, "/from"},
		{deliveriesURL + "retry/", `{"hook":"` + hook.String() + `"}`, "/from"},
		{deliveriesURL + "retry/", `{"hook":7,"from":"2026-01-01T00:00:00Z"}`, "/hook"},
		{deliveriesURL + "retry/", `{"from":"yesterday"}`, "/from"},
		{deliveriesURL + "retry/", `{"from":"1890-01-01T00:00:00Z"}`, "/from"},
		{deliveriesURL + "retry/", `{"from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}`, "/from"},
		{deliveriesURL + "retry/", `{"from":"2026-01-01T00:00:00Z","states":["delivered"]}`, "/states"},
		{deliveriesURL + "retry/", `{"from":"2026-01-01T00:00:00Z","states":["parked"],"force":true}`, "/states"},
		{deliveriesURL + "retry/", `{"from":"2026-01-01T00:00:00Z","event_types":["a b"]}`, "/event_types"},
	} {
		a := w.call(t, http.MethodPost, test.path, test.body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s %s: %s", test.path, test.body, a.text)
		require.Contains(t, a.pointers(), test.pointer, test.body)
	}
	shown := w.call(t, http.MethodGet, hooks+hook.String()+"/", "")
	require.Equal(t, "active", shown.json["status"])
	require.InDelta(t, 1, shown.json["version"], 0, "nothing was changed")
}
