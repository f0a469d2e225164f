package console_test

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

func TestListsOfDeliveriesSayWhichWebhookTheyAreFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, other := w.hook(t, "North", "http://example.com/north", "package.>"), w.hook(t, "South", "http://example.com/south", "package.>")
	e := w.event(t, "e-1", 1, "package.created", "package:61", time.Minute)
	w.record(t, fact(h.ID, &e, webhook.Delivered, "", answered(200, "")), fact(other.ID, &e, webhook.Delivered, "", answered(200, "")))
	p := w.signIn(t, w.operator)
	for _, path := range []string{"", "deliveries/", "event?id=e-1"} {
		page := p.get(t, "/console/"+path).text
		require.Contains(t, page, `<a href="/console/hooks/`+h.ID.String()+`/">North</a>`, path)
		require.Contains(t, page, `<a href="/console/hooks/`+other.ID.String()+`/">South</a>`, path)
	}
	page := p.get(t, "/console/deliveries/?hook="+h.ID.String()).text
	require.Contains(t, page, `list="hook-names" value="North"`)
	require.Equal(t, 1, strings.Count(page, `<td class="main">`))
	require.NotContains(t, page, `<th scope="col">Webhook</th>`, "all are for one")
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", "default", h.ID, nil))
	require.Contains(t, p.get(t, "/console/deliveries/").text, "a deleted webhook")
}

func TestTheListOfDeliveriesHasAnInputForEachFilterThatHasATitle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	w.hook(t, "a", "http://example.com/north", "package.>")
	chosen := url.Values{"state": {"dead"}, "status": {"5xx"}}
	for _, f := range usecase.DeliveryFilters() {
		if f.Title == "" {
			continue
		}
		name := f.Name
		if name == "status_class" {
			name = "status"
		}
		value := cmp.Or(map[string]string{"event_type": "order.created"}[name], "a")
		if f.Type.Kind() == reflect.Int {
			value = "7"
		}
		shown := ` name="` + name + `" value="` + value + `"`
		if name == "hook" {
			shown = ` name="hook" list="hook-names" value="a"`
		}
		if chosen.Has(name) || f.Words != nil {
			value = cmp.Or(chosen.Get(name), strings.Join(f.Words[:min(1, len(f.Words))], ""))
			shown = `<option value="` + value + `" selected>`
		}
		page := p.get(t, "/console/deliveries/?"+url.Values{name: {value}}.Encode()).text
		require.Contains(t, page, `<label for="`+name+`">`+f.Title+`</label>`)
		require.Contains(t, page, shown, name)
		require.Contains(t, page, "Show all", "%s narrows the list", name)
	}
}

func TestSearchFindsWhateverOneHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "North shop", "http://example.com/north", "package.>")
	e := w.event(t, "e-1", 1, "package.created", "package:61", time.Minute)
	w.record(t, fact(h.ID, &e, webhook.Delivered, "", answered(200, "")))
	p := w.signIn(t, w.operator)
	delivery := webhook.DeliveryID(h.ID, e.ID).String()
	for q, found := range map[string]string{
		"north":         `href="/console/hooks/` + h.ID.String() + `/">North shop</a>`,
		h.ID.String():   `href="/console/hooks/` + h.ID.String() + `/">North shop</a>`,
		"e-1":           `<h2>Event</h2>`,
		"package:61":    `<h2>Events about package:61</h2>`,
		"bold":          `<h2>Events with this text in their data</h2>`,
		delivery:        `<tr id="d-` + delivery,
		delivery[:13]:   `<tr id="d-` + delivery,
		"shipment.stat": `href="/console/types/shipment.status.updated">shipment.status.updated</a>`,
		"nowhere":       "Nothing matches.",
		"":              `name="q"`,
		"%_'<b>&1":      "Nothing matches.",
	} {
		a := p.get(t, "/console/search?"+url.Values{"q": {q}}.Encode())
		require.Equal(t, http.StatusOK, a.status, q)
		require.Contains(t, a.text, found, q)
	}
	require.Contains(t, p.get(t, "/console/search?q=bold&since=yesterday").text, "Nothing matches.")
	require.Contains(t, p.get(t, "/console/search?q=bold&since=today").text, "<h2>Events with")
	require.Equal(t, http.StatusUnprocessableEntity, p.get(t, "/console/search?q="+strings.Repeat("a", 257)).status)
	require.Equal(t, http.StatusBadRequest, p.get(t, "/console/search?q=%00").status)
	w.db.MakeTenant(t, "acme")
	stranger := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "a", Role: store.Viewer, Tenant: "acme"}))
	for _, q := range []string{"north", "e-1", "package:61", "bold", delivery} {
		require.Contains(t, stranger.get(t, "/console/search?"+url.Values{"q": {q}}.Encode()).text, "Nothing matches.", q)
	}
}

func TestListsAreExported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "North", "http://example.com/north", "package.>")
	var facts []*whispererv1.DeliveryFact
	for i := range 1201 { // more than two pages
		e := webhook.Event{Tenant: "default", ID: fmt.Sprintf("=e-%04d", i), Type: "package.created", PublishedAt: time.Now().Add(-time.Duration(i) * time.Second)}
		facts = append(facts, fact(h.ID, &e, webhook.Delivered, "", answered(200, "")))
	}
	w.record(t, facts...)
	p := w.signIn(t, w.operator)
	a := p.get(t, "/console/deliveries/export?state=delivered&event_type=package.>")
	require.Equal(t, `attachment; filename="deliveries.csv"`, a.header.Get("Content-Disposition"))
	rows, err := csv.NewReader(strings.NewReader(a.text)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1202)
	require.Equal(t, []string{"id", "webhook", "event"}, rows[0][:3])
	require.Equal(t, "'=e-0000", rows[1][2], "no formula")
	require.Equal(t, "'=e-1200", rows[1201][2])
	lines := strings.Split(strings.TrimSpace(p.get(t, "/console/deliveries/export?format=ndjson&hook="+h.ID.String()).text), "\n")
	require.Len(t, lines, 1201)
	require.Contains(t, lines[0], `"event":"=e-0000"`)
	attempts := strings.Split(strings.TrimSpace(p.get(t, "/console/deliveries/attempts?format=ndjson&hook="+h.ID.String()).text), "\n")
	require.Len(t, attempts, 1201, "one of each delivery")
	require.Contains(t, attempts[1200], `"event":"=e-1200"`)
	require.Contains(t, attempts[0], `"attempt":1,`)
	rows, err = csv.NewReader(strings.NewReader(p.get(t, "/console/deliveries/attempts?event==e-0003").text)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, []string{"delivery", "webhook", "event"}, rows[0][:3])
	require.Equal(t, http.StatusBadRequest, p.get(t, "/console/deliveries/attempts?hook=x").status)
	require.Equal(t, "id", strings.Split(p.get(t, "/console/deliveries/export?state=dead").text, ",")[0])
	require.Contains(t, p.get(t, "/console/audit/export?format=ndjson&kind=hook").text, `"action":"hook.created"`)
	require.Contains(t, p.get(t, "/console/deliveries/").text, "/console/deliveries/export?")
	viewer := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "a", Role: store.Viewer, Tenant: "default"}))
	require.Equal(t, http.StatusForbidden, viewer.get(t, "/console/audit/export").status)
	require.Equal(t, http.StatusBadRequest, p.get(t, "/console/deliveries/export?hook=x").status)
}

func TestTimeRangesAreChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	story(t, w)
	p := w.signIn(t, w.operator)
	rows := func(query string) int {
		return strings.Count(p.get(t, "/console/deliveries/?"+query).text, `<td class="main">`)
	}
	at := func(ago time.Duration) string { return time.Now().UTC().Add(-ago).Format("2006-01-02T15:04") + "Z" }
	require.Equal(t, 12, rows("state=waiting&since=own&from="+at(2*time.Hour)+"&to="+at(-time.Hour)))
	require.Equal(t, 0, rows("state=waiting&since=own&to="+at(2*time.Hour)))
	for query, says := range map[string]string{
		"since=own&from=soon": "The beginning of the time range is no time", "since=own&to=soon": "The end of the time range is no time",
		"since=own&from=" + at(time.Hour) + "&to=" + at(2*time.Hour): "ends before it begins",
	} {
		for _, list := range []string{"deliveries/", "events/", "rejected/", "search"} {
			a := p.get(t, "/console/"+list+"?"+query)
			require.Equal(t, http.StatusUnprocessableEntity, a.status, list)
			require.Contains(t, a.text, says, list)
		}
	}
}

func TestWhereNothingWasDeliveredExplainIsNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.event(t, "e-1", 1, "package.created", "package:61", time.Minute)
	p := w.signIn(t, w.operator)
	for _, query := range []string{"event=e-1", "entity=package:61"} {
		require.Contains(t, p.get(t, "/console/deliveries/?"+query).text, `href="/console/event/explain?id=e-1"`, query)
	}
	require.NotContains(t, p.get(t, "/console/deliveries/?event=e-2").text, "event/explain")
	require.Contains(t, p.get(t, "/console/event/explain").text, `action="/console/event/explain"`)
	require.Contains(t, p.get(t, "/console/event/explain?id=e-1").text, `value="e-1"`)
}

func TestAFailingWebhookSaysSoAndHasTheButtonThatMends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "ERP", "http://example.com/", "package.created")
	e := w.event(t, "e-1", 1, "package.created", "package:61", time.Minute)
	w.record(t, fact(h.ID, &e, webhook.Waiting, webhook.ReasonFailed, answered(500, "")))
	p := w.signIn(t, w.operator)
	path := "/console/hooks/" + h.ID.String() + "/"
	require.NotContains(t, p.get(t, "/console/").text+p.get(t, path).text, "Replace secret", "the receiver is down")
	for _, tab := range []string{"", "test", "replay", "integrate", "changes"} {
		page := p.get(t, path+tab).text
		require.Contains(t, page, `<span class="pill failed">failing</span>`, tab)
		require.Contains(t, page, `href="/console/deliveries/retry?hook=`+h.ID.String()+`&amp;state=waiting,dead"`, tab)
	}
	require.Regexp(t, `(?s)Success, 24 h</dt><dd>0.0 %`, p.get(t, path+"?wait=1").text, "what waits was not delivered")
	_, err := w.db.Hooks.Disable(t.Context(), "test", h.ID, nil, "it fails")
	require.NoError(t, err)
	require.Regexp(t, `(?s)<strong>Disabled:</strong>.{0,80}it fails.{0,400}value="resume">Resume<`, p.get(t, path+"changes").text)
}
