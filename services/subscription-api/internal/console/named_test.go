package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestDeliveriesAreNarrowedToAnyWebhookByItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	north, south := w.hook(t, "North shop", "http://example.com/north", "package.>"), w.hook(t, "South shop", "http://example.com/south", "package.>")
	w.hook(t, "South", "http://example.com/s", "order.>")
	nameless := w.hook(t, "", "http://example.com/nameless", "order.>")
	for i := range 12 {
		w.hook(t, "Twin", fmt.Sprintf("http://example.com/twin/%d", i), "order.>")
	}
	e := w.event(t, "e-1", 1, "package.created", "package:61", time.Minute)
	w.record(t, fact(north.ID, &e, webhook.Delivered, "", answered(200, "")), fact(south.ID, &e, webhook.Delivered, "", answered(200, "")))
	p := w.signIn(t, w.operator)
	open := func(hook string) answer { return p.get(t, "/console/deliveries/?"+url.Values{"hook": {hook}}.Encode()) }
	for text, h := range map[string]webhook.Hook{
		"North shop": north, "nor": north, "NORTH": north, north.ID.String(): north, north.ID.String()[:35]: north, "south s": south,
		"example.com/nameless": nameless, "example.com/name": nameless,
	} {
		a := open(text)
		require.Equal(t, http.StatusOK, a.status, text)
		require.Contains(t, a.text, `<a href="/console/hooks/`+h.ID.String()+`/">`, text)
		require.Equal(t, h.Name != "", strings.Contains(a.text, `id="d-`+webhook.DeliveryID(h.ID, e.ID).String()+`"`), text)
	}
	require.NotContains(t, open("South").text, `<td class="main">`, "the whole name goes before the beginning of another")
	require.Contains(t, open(south.ID.String()).text, `value="South shop"`)
	a := open("sou")
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, unescape(a.text), `"sou" can be any of 2 webhooks:`)
	require.Contains(t, a.text, `href="/console/deliveries/?hook=`+south.ID.String()+`">South shop</a>`)
	require.Contains(t, a.text, `list="hook-names" value="sou"`, "what was typed stays")
	a = open("Twin")
	require.Contains(t, unescape(a.text), `"Twin" can be any of 12 webhooks:`)
	require.Contains(t, a.text, "and 2 more")
	a = open("orth")
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, unescape(a.text), `No webhook has the name "orth"`)
	require.Equal(t, 2, strings.Count(p.get(t, "/console/deliveries/export?hook=nor").text, "\n"), "with the heading")

	b := newTab(t)
	b.signIn(t, w, w.operator)
	b.do(t, chromedp.Navigate(w.url+"/console/deliveries/"), chromedp.SendKeys(chromedp.ID("hook"), "nameless"),
		chromedp.WaitReady(chromedp.CSS(`#hook-names option[value="example.com/nameless"]`)), chromedp.WaitNotPresent(chromedp.CSS(`#hook-names option[value="North shop"]`)))
	b.do(t, chromedp.Navigate(w.url+"/console/deliveries/"), chromedp.SendKeys(chromedp.ID("hook"), "North\r"), chromedp.WaitVisible(chromedp.CSS(".crumbs")))
	require.Contains(t, b.text(t, "h1"), "North shop")
	b.looks(t, 375, 812, "dark")
	b.do(t, chromedp.Navigate(w.url+"/console/deliveries/?hook=twin"), chromedp.WaitVisible(chromedp.CSS("#problem li")))
	b.fits(t, "phone", "several webhooks", 375)
	b.quiet(t, "narrowed")
	w.db.MakeTenant(t, "acme")
	stranger := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "a", Role: store.Admin, Tenant: "acme"}))
	require.Equal(t, http.StatusUnprocessableEntity, stranger.get(t, "/console/deliveries/?hook=nor").status)
	require.NotContains(t, stranger.get(t, "/console/deliveries/hooks?hook=n").text, "option")
}

func TestManyWebhooksAreNamedBeforeTheyChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.event(t, "e-1", 1, "package.created", "package:61", time.Minute)
	var ids []string
	for i := range 13 {
		h := w.hook(t, fmt.Sprintf("shop <%02d>", i), fmt.Sprintf("http://example.com/%d", i), "package.created")
		w.record(t, fact(h.ID, &e, webhook.Dead, "", answered(500, "no")))
		ids = append(ids, h.ID.String())
	}
	p := w.signIn(t, w.operator)
	says := func(page string, from, to, more int) {
		t.Helper()
		require.Equal(t, to-from+1, strings.Count(page, "<li>shop &lt;"))
		for i := from; i <= to; i++ {
			require.Contains(t, page, fmt.Sprintf("<li>shop &lt;%02d&gt;</li>", i))
		}
		require.Equal(t, more > 0, strings.Contains(page, fmt.Sprintf("<li>and %d more</li>", more)), page)
	}
	p.post(t, "/console/hooks/"+ids[0]+"/status", "status", "pause")
	says(p.post(t, "/console/hooks/status", "status", "pause", "all", "yes").text, 1, 10, 2)
	says(p.post(t, "/console/hooks/status", "status", "pause", "hook", ids[0], "hook", ids[4], "hook", ids[5]).text, 4, 5, 0)
	says(p.post(t, "/console/hooks/status", "status", "resume", "all", "yes").text, 0, 0, 0)
	says(p.post(t, "/console/hooks/status", "status", "resume", "all", "yes", "filter_status", "paused").text, 0, 0, 0)
	says(p.post(t, "/console/hooks/replay", "all", "yes").text, 0, 9, 3)
	counted := []string{"span", "24h", "rate", "5", "state", "dead", "step", "count"}
	says(p.post(t, "/console/hooks/replay", append(counted, "all", "yes")...).text, 0, 9, 3)
	says(p.post(t, "/console/hooks/replay", append(counted, "hook", ids[7])...).text, 7, 7, 0)
}
