package console_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/jobs"
)

// screenshots is the folder for `make screenshots`; empty for none.
var screenshots = flag.String("screenshots", "", "folder to write pictures of all pages to")

// echo returns a handler that answers with the request's body and the status.
func echo(status int) func(testenv.Received) testenv.Answer {
	return func(q testenv.Received) testenv.Answer {
		return testenv.Answer{
			Status: status, Header: http.Header{"X-Canary": {"<b>header</b>"}},
			Body: fmt.Sprintf(`{"got":%q,"test":%q}`, q.Header.Get("X-Whisperer-Event"), q.Header.Get("X-Whisperer-Test")),
		}
	}
}

// TestTheLifeOfAHookThroughThePages creates a hook with invalid and then valid input, tests it, sees a delivery fail,
// retries, rotates, pauses, replays and deletes.
func TestTheLifeOfAHookThroughThePages(t *testing.T) {
	t.Parallel()
	far := testenv.NewReceiver(t)
	far.React(echo(http.StatusOK))
	w := newWorld(t, reaching(t, far.URL))
	b := newTab(t)
	b.signIn(t, w, w.operator)

	b.do(t, chromedp.Click(chromedp.CSS(`a[href="/console/hooks/"]`)), chromedp.WaitVisible(chromedp.CSS(".empty")),
		chromedp.Click(chromedp.CSS(`.head a.primary`)), chromedp.WaitVisible(chromedp.ID("target_url")))
	b.do(t, chromedp.SendKeys(chromedp.ID("name"), "North shop"), chromedp.SendKeys(chromedp.ID("target_url"), "htp://example.com/"),
		chromedp.WaitVisible(chromedp.CSS("#wrong-target_url span")))
	require.Contains(t, b.text(t, "#wrong-target_url"), "must begin with http:// or https://")
	require.Equal(t, "true", get(t, b, chromedp.Evaluate[string](`document.getElementById("target_url").getAttribute("aria-invalid")`)))
	require.Equal(t, "North shop", get(t, b, chromedp.Value(chromedp.ID("name"))), "what is typed stays")
	b.do(t, press(chromedp.ID("send-test")), chromedp.WaitVisible(chromedp.CSS("#tried .notice.bad")))
	require.Contains(t, b.text(t, "#tried"), "not right yet")

	b.do(t, chromedp.Evaluate[chromedp.Void](`document.getElementById("target_url").value = ""`), chromedp.SendKeys(chromedp.ID("target_url"), far.URL+"/hooks"),
		chromedp.WaitNotPresent(chromedp.CSS("#wrong-target_url span")), chromedp.SendKeys(chromedp.CSS(`input[value="package.created"]`), " "),
		chromedp.Evaluate[chromedp.Void](`document.getElementById("choice").value = "linear"`),
		chromedp.SendKeys(chromedp.ID("linear_base"), "60"), chromedp.SendKeys(chromedp.ID("max_retries"), "7"))
	require.Eventually(t, func() bool { return strings.Contains(b.text(t, "#timetable"), "retried 7 times") }, stepLimit, 50*time.Millisecond)

	far.React(echo(http.StatusTeapot))
	b.do(t, press(chromedp.ID("send-test")), chromedp.WaitVisible(chromedp.CSS("#tried .sides")))
	require.Contains(t, b.text(t, "#tried"), "418 I'm a teapot")
	require.Contains(t, b.text(t, "#tried"), `"got": "package.created"`)
	require.Contains(t, b.text(t, "#tried"), `X-Canary: <b>header</b>`)
	require.Contains(t, b.text(t, "#tried"), "X-Whisperer-Test: true")

	b.do(t, press(chromedp.CSS(".actions .primary")), chromedp.WaitVisible(chromedp.ID("secret")))
	secret := b.text(t, "#secret")
	require.True(t, strings.HasPrefix(secret, "whsec_"))
	b.do(t, chromedp.Click(chromedp.CSS("main a.primary")), chromedp.WaitVisible(chromedp.CSS(".pill.active")))
	require.Contains(t, b.text(t, "h1"), "North shop")
	hooks, _, err := w.db.Hooks.List(t.Context(), "default", store.HookFilter{}, store.Page{Limit: 2})
	require.NoError(t, err)
	require.Len(t, hooks, 1, "a test stores nothing")
	h := hooks[0]
	require.Equal(t, secret, h.Secrets[0].Value)
	require.JSONEq(t, `{"choice":"linear","kwargs":{"base":60},"max_retries":7}`, string(h.RetryConfig))

	far.React(echo(http.StatusOK))
	b.do(t, chromedp.Click(chromedp.CSS(`.tabs a[href$="/test"]`)), chromedp.WaitVisible(chromedp.ID("data")), press(chromedp.CSS("main form .primary")),
		chromedp.WaitVisible(chromedp.CSS(".notice.good")))
	require.Contains(t, b.text(t, ".notice.good"), "Delivered: 200 OK")

	b.failAndRetry(t, w, &h)
	b.rotatePauseAndReplay(t, w, &h)

	b.do(t, chromedp.Navigate(w.url+"/console/hooks/"+h.ID.String()+"/changes"), chromedp.WaitVisible(chromedp.CSS("tbody tr")))
	for _, change := range []string{"webhook created", "webhook tested", "webhook paused", "webhook resumed", "webhook replayed"} {
		require.Contains(t, b.text(t, "tbody"), change)
	}
	b.do(t, chromedp.Navigate(w.url+"/console/hooks/"+h.ID.String()+"/delete"), chromedp.SendKeys(chromedp.ID("confirm"), "wrong\r"), chromedp.WaitVisible(chromedp.CSS(`#confirm[aria-invalid]`)))
	b.do(t, chromedp.SendKeys(chromedp.ID("confirm"), "North shop\r"), chromedp.WaitVisible(chromedp.CSS(".empty")))
	require.Contains(t, b.text(t, ".notice"), "Deleted North shop")
	b.do(t, press(chromedp.CSS(".notice button")), chromedp.WaitVisible(chromedp.CSS(".pill.active")))
	require.Contains(t, b.text(t, ".notice"), "is back as it was")
	b.quiet(t, "life of a hook")
}

// failAndRetry sees a delivery appear in the live list, looks at its failure, and retries it.
func (b *tab) failAndRetry(t *testing.T, w *world, h *webhook.Hook) {
	t.Helper()
	first := w.event(t, "e-0", 1, "package.created", "package:60", 0)
	w.record(t, fact(h.ID, &first, webhook.Delivered, "", answered(200, "ok")))
	b.do(t, chromedp.Navigate(w.url+"/console/deliveries/?hook="+h.ID.String()), chromedp.WaitVisible(chromedp.CSS(`[aria-pressed="true"]`)))
	e := w.event(t, "e-1", 2, "package.created", "package:61", 0)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(503, "busy")))
	b.do(t, chromedp.WaitVisible(chromedp.CSS("#deliveries .pill.dead")), chromedp.Click(chromedp.CSS("#deliveries tr.fresh td.main a")),
		chromedp.WaitVisible(chromedp.CSS(".timeline .failed")))
	require.Contains(t, b.text(t, ".timeline"), "503 Service Unavailable")
	require.NotContains(t, b.text(t, ".timeline time"), "UTC", "in the reader's zone")
	require.Contains(t, get(t, b, chromedp.Evaluate[string](`document.querySelector(".timeline time").title`)), "UTC")
	b.do(t, press(chromedp.ID("retry")), chromedp.WaitVisible(chromedp.CSS(".pill.parked")))
	again := fact(h.ID, &e, webhook.Delivered, "", answered(200, "thanks"))
	again.Attempts, again.Attempt.Number, again.Replay, again.At = 2, 2, true, time.Now().UnixNano()
	w.record(t, again)
	b.do(t, chromedp.WaitVisible(chromedp.CSS(".head .pill.delivered"))) // without a reload
}

func (b *tab) rotatePauseAndReplay(t *testing.T, w *world, h *webhook.Hook) {
	t.Helper()
	page := w.url + "/console/hooks/" + h.ID.String() + "/"
	b.do(t, chromedp.Navigate(page), press(chromedp.CSS(`form[action$="/rotate"] summary`)), press(chromedp.CSS(`form[action$="/rotate"] button`)), chromedp.WaitVisible(chromedp.ID("secret")))
	require.NotEqual(t, h.Secrets[0].Value, b.text(t, "#secret"))
	b.do(t, chromedp.Click(chromedp.CSS("main a.primary")), press(chromedp.CSS(`button[value="pause"]`)), chromedp.WaitVisible(chromedp.CSS(".pill.paused")))
	require.Contains(t, b.text(t, ".notice"), "New deliveries are parked")
	b.do(t, press(chromedp.CSS(`button[value="resume"]`)), chromedp.WaitVisible(chromedp.CSS(".pill.active")))

	var facts []*whispererv1.DeliveryFact
	for i := range 3 {
		e := w.event(t, fmt.Sprintf("old-%d", i), uint64(i+10), "package.created", "package:7", 2*time.Hour)
		facts = append(facts, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "no")))
	}
	w.record(t, facts...)
	_, err := w.db.Hooks.Disable(t.Context(), "worker", h.ID, nil, "All attempts failed for 5 days.")
	require.NoError(t, err)
	b.do(t, chromedp.Navigate(page), press(chromedp.CSS(`button[value="resume"]`)), chromedp.WaitReady(chromedp.CSS(`[name="recover"]`)))
	require.Contains(t, b.text(t, ".notice"), "It missed events while it was disabled")
	b.do(t, chromedp.Navigate(page+"replay"), press(chromedp.CSS(`button[value="count"]`)), chromedp.WaitVisible(chromedp.ID("reason")))
	require.Contains(t, b.text(t, "main h2"), "3 deliveries to send")
	b.do(t, chromedp.SendKeys(chromedp.ID("reason"), "It was down"), press(chromedp.CSS(`button[value="begin"]`)), chromedp.WaitVisible(chromedp.ID("bar")))
	require.Contains(t, b.text(t, "#progress"), "0 of 3")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		jobs.Run(ctx, w.db.Jobs, zap.NewNop())
	}()
	b.do(t, chromedp.WaitVisible(chromedp.CSS("#progress .pill.completed"))) // without a reload
	stop()
	<-ended
	require.Contains(t, b.text(t, "#progress"), "3 of 3")
}

func TestWhatWasDoneIsSaidOnceAndTheKeyboardFinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "North", "http://example.com/north", "package.>")
	b := newTab(t)
	b.signIn(t, w, w.operator)
	hook := w.url + "/console/hooks/" + h.ID.String() + "/"
	b.do(t, chromedp.Navigate(hook), press(chromedp.CSS(`button[value="pause"]`)), chromedp.WaitVisible(chromedp.CSS(".notice.good")))
	require.True(t, get(t, b, chromedp.Poll[bool](`!location.search.includes("done")`)))
	b.do(t, chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS(".pill.paused")), chromedp.WaitNotPresent(chromedp.CSS(".notice.good")))
	w.event(t, "e-1", 1, "package.created", "package:60", 0)
	b.do(t, chromedp.KeyEvent("k", chromedp.KeyModifiers(chromedp.ModifierCtrl)), chromedp.WaitReady(chromedp.CSS("[data-find]:focus")),
		chromedp.SendKeys(chromedp.CSS("[data-find]"), "e-1\r"), chromedp.WaitVisible(chromedp.CSS(".found a")))
	b.quiet(t, "what was done")
}

func TestTheKeyboardSuffices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook(t, "North shop", "http://example.com/", "package.created")
	b := newTab(t)
	b.signIn(t, w, w.operator)
	b.do(t, chromedp.Navigate(w.url+"/console/hooks/"), chromedp.KeyEvent("\t"))
	require.Equal(t, "Skip to content", get(t, b, chromedp.Evaluate[string](`document.activeElement.textContent`)))
	require.NotEqual(t, "none", get(t, b, chromedp.Evaluate[string](`getComputedStyle(document.activeElement).outlineStyle`)))
	b.do(t, chromedp.KeyEvent("\r"), chromedp.KeyEvent("\t"), chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.ID("target_url")))
	b.quiet(t, "keyboard")
}

func TestWhatIsTickedStaysTickedWhenTheFiguresCome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"north", "south"} {
		w.hook(t, name, "http://example.com/"+name, "package.created")
	}
	b := newTab(t)
	b.signIn(t, w, w.operator)
	b.do(t, chromedp.Navigate(w.url+"/console/hooks/"), chromedp.WaitReady(chromedp.CSS("main h1")), chromedp.WaitNotPresent(chromedp.CSS("[data-pending]")),
		chromedp.SendKeys(chromedp.CSS(`input[aria-label="Select south"]`), " "),
		chromedp.Evaluate[chromedp.Void](`document.getElementById("counts").dataset.old = "yes";
			htmx.ajax("GET", location.href, {target: "#counts", select: "#counts", swap: "outerHTML"})`), // as the page itself does once
		chromedp.WaitNotPresent(chromedp.CSS("[data-old]")))
	require.Equal(t, []string{"Select south"}, get(t, b, chromedp.Evaluate[[]string](
		`[...document.querySelectorAll("#counts input:checked")].map((box) => box.ariaLabel)`)))
}

func TestTheThemeIsSwitched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := newTab(t)
	b.looks(t, 1280, 900, "light")
	b.signIn(t, w, w.operator)
	back := chromedp.Evaluate[string](`getComputedStyle(document.body).backgroundColor`)
	light := get(t, b, back)
	b.do(t, chromedp.Evaluate[chromedp.Void](`(() => { const s = document.getElementById("theme"); s.value = "dark"; s.dispatchEvent(new Event("change", {bubbles: true})); })()`),
		chromedp.WaitReady(chromedp.CSS(`html[data-theme="dark"]`)))
	require.NotEqual(t, light, get(t, b, back))
	b.quiet(t, "theme")
}

// attacks are texts that a hostile integrator, publisher or receiver may put wherever text goes.
func attacks() []string {
	return []string{
		`"><img src=x onerror=window.__pwned=1>`, `'><svg onload=window.__pwned=1>`, `</script><script>window.__pwned=1</script>`,
		`javascript:window.__pwned=1`, `{{.Token}}<details open ontoggle=window.__pwned=1>`, "\u2028</textarea><script>window.__pwned=1</script>",
		`</title><script>window.__pwned=1</script>`, `<iframe srcdoc="<script>parent.__pwned=1</script>">`, `<a href="javascript:window.__pwned=1" autofocus onfocus=window.__pwned=1>x</a>`,
	}
}

func TestNothingThatOthersWriteIsRun(t *testing.T) {
	t.Parallel()
	var turn atomic.Int64
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		attack := attacks()[int(turn.Add(1))%len(attacks())]
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("X-Attack", strings.ReplaceAll(attack, "\u2028", ""))
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, attack)
	}))
	t.Cleanup(far.Close)
	w := newWorld(t, reaching(t, far.URL))
	b := newTab(t)
	b.signIn(t, w, w.operator)
	var pages []string
	for i, attack := range attacks() {
		config, err := webhook.ParseConfig([]byte(fmt.Sprintf(`{"note":%q}`, attack)))
		if err != nil {
			config, err = webhook.ParseConfig(nil)
		}
		require.NoError(t, err)
		h, err := w.db.Hooks.Create(t.Context(), "test", webhook.Hook{
			Tenant: "default", Name: strings.ReplaceAll(attack, "\u2028", ""), EventTypes: []string{"package.created"}, NotificationType: "rest",
			TargetURL: fmt.Sprintf("http://example.com/%d/%s", i, attack), Headers: map[string]string{"X-A": attack}, Config: config,
			Callback: &webhook.Callback{URL: attack}, Status: webhook.Active,
		}, 1000, store.IdempotencyKey{})
		require.NoError(t, err)
		_, err = w.db.Hooks.Disable(t.Context(), store.Actor(attack), h.ID, nil, attack)
		require.NoError(t, err)
		_, err = w.db.Types.Declare(t.Context(), "test", "default", store.EventType{
			Name: fmt.Sprintf("attack.no_%d", i), Description: attack, Example: []byte(fmt.Sprintf("%q", attack)),
		})
		require.NoError(t, err)
		e := w.event(t, attack, uint64(i+1), "package.created", attack, 0)
		attempt := unanswered(webhook.ClassTLS, attack)
		if i%2 == 0 {
			attempt = answered(500, attack)
			attempt.ResponseHeaders, attempt.Error = "Content-Type: "+attack, attack
		}
		attempt.Url = attack
		w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, attempt))
		w.db.MakeToken(t, store.NewToken{Name: attack, Role: store.Viewer, Tenant: "default"})
		job := w.replay(t, h.ID, attack)
		hook := "hooks/" + h.ID.String() + "/"
		pages = append(pages, hook+"integrate", hook+"changes", hook+"replay", hook+"test", "jobs/"+job.ID.String()+"/",
			"event/explain?"+url.Values{"id": {attack}}.Encode(), "event?"+url.Values{"id": {attack}}.Encode(), "deliveries/retry?"+url.Values{"entity": {attack}}.Encode(),
			"hooks/"+h.ID.String()+"/", "hooks/"+h.ID.String()+"/edit", "hooks/"+h.ID.String()+"/delete",
			"deliveries/"+webhook.DeliveryID(h.ID, e.ID).String()+"/", fmt.Sprintf("types/attack.no_%d", i))
	}
	pages = append(pages, "", "hooks/", "deliveries/", "events/", "rejected/", "types/", "tokens/", "audit/", "hooks/new",
		`hooks/?search="><script>window.__pwned=1</script>&status='onx&older="><img src=x onerror=window.__pwned=1>`,
		`deliveries/?event_type=<script>window.__pwned=1</script>`, `sign-in?next="><script>window.__pwned=1</script>`)
	for _, page := range pages {
		b.do(t, chromedp.Navigate(w.url+"/console/"+strings.ReplaceAll(page, `"`, "%22")), chromedp.WaitReady(chromedp.CSS("main")))
		require.False(t, get(t, b, chromedp.Evaluate[bool](`"__pwned" in window`)), page)
		require.Zero(t, get(t, b, chromedp.Evaluate[int](`document.querySelectorAll('main img[src="x"], main iframe, main script, a[href^="javascript:"]').length`)), page)
		b.quiet(t, page)
	}
	b.do(t, chromedp.Navigate(w.url+"/console/hooks/new"), chromedp.SendKeys(chromedp.ID("target_url"), attacks()[0]),
		chromedp.WaitVisible(chromedp.CSS("#wrong-target_url span")), chromedp.SendKeys(chromedp.ID("event_types"), attacks()[0]),
		chromedp.WaitVisible(chromedp.CSS("#wrong-event_types span")))
	require.False(t, get(t, b, chromedp.Evaluate[bool](`"__pwned" in window`)))
	b.quiet(t, "typing")

	b.do(t, chromedp.Navigate(w.url+"/console/hooks/new?event_type=package.created"), chromedp.SendKeys(chromedp.ID("target_url"), far.URL))
	for range attacks() { // in the body and a header of the receiver's answer
		b.do(t, chromedp.Evaluate[chromedp.Void](`document.getElementById("tried").replaceChildren()`), press(chromedp.ID("send-test")),
			chromedp.WaitVisible(chromedp.CSS("#tried .sides")))
		require.False(t, get(t, b, chromedp.Evaluate[bool](`"__pwned" in window`)))
	}
	b.do(t, press(chromedp.ID("try-filter")), chromedp.WaitVisible(chromedp.CSS("#backtest .samples")))
	b.do(t, chromedp.Navigate(w.url+"/console/deliveries/"), chromedp.WaitVisible(chromedp.CSS(`[aria-pressed="true"]`)))
	e := w.event(t, attacks()[0]+"2", 99, "package.created", attacks()[0], 0)
	w.record(t, fact(w.hook(t, "late", "http://example.com/late", "package.created").ID, &e, webhook.Dead, "", unanswered(webhook.ClassTLS, attacks()[0])))
	b.do(t, chromedp.WaitVisible(chromedp.CSS("#deliveries tr.fresh")))
	require.False(t, get(t, b, chromedp.Evaluate[bool](`"__pwned" in window`)))
	require.Zero(t, get(t, b, chromedp.Evaluate[int](`document.querySelectorAll('main img[src="x"], main iframe, main script').length`)))
	b.quiet(t, "tests and followed lists")
}

type finding struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// look is a width and a color scheme.
type look struct {
	name          string
	width, height int64
	scheme        string
}

// looks are those in which every page is checked: one width for each scheme, because colors do not depend on the
// width. Screenshots are taken in all widths with both schemes.
func looks() []look {
	list := []look{{"light", 1280, 900, "light"}, {"narrow-dark", 375, 812, "dark"}}
	if *screenshots != "" {
		list = append(list, look{"dark", 1280, 900, "dark"}, look{"middle", 1024, 768, "light"}, look{"middle-dark", 1024, 768, "dark"}, look{"narrow", 375, 812, "light"})
	}
	return list
}

// TestEveryPageIsAccessible runs axe-core on every page in all looks, and checks that nothing overflows.
func TestEveryPageIsAccessible(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("testdata/axe.min.js")
	require.NoError(t, err)
	w := newWorld(t)
	paths := append(story(t, w), "deliveries/?entity=package%3A61")
	p := w.signIn(t, w.operator)
	for _, view := range [][3]string{
		{"deliveries", "Not delivered, last day", "since=24h&state=waiting%2Cparked%2Cdead"},
		{"deliveries", "Dead", "state=dead"},
		{"hooks", "Failing longest first", "sort=failing"},
		{"events", "A rather long name of a view that somebody has made of all", "entity=a"},
	} {
		p.post(t, "/console/views/", "list", view[0], "name", view[1], "query", view[2])
	}
	for _, look := range looks() {
		t.Run(look.name, func(t *testing.T) {
			t.Parallel()
			b := newTab(t)
			b.looks(t, look.width, look.height, look.scheme)
			b.do(t, chromedp.Navigate(w.url+"/console/sign-in"))
			b.judge(t, string(axe), look.name, "sign-in", look.width)
			b.signIn(t, w, w.operator)
			for _, path := range paths {
				b.do(t, chromedp.Navigate(w.url+"/console/"+path), chromedp.WaitReady(chromedp.CSS("main h1")), chromedp.WaitNotPresent(chromedp.CSS("[data-pending]")))
				b.judge(t, string(axe), look.name, path, look.width)
			}
			b.do(t, chromedp.Navigate(w.url+"/console/hooks/new"), chromedp.Evaluate[chromedp.Void](`document.querySelector("form.form").requestSubmit()`),
				chromedp.WaitVisible(chromedp.ID("summary")))
			b.judge(t, string(axe), look.name, "hooks/wrong", look.width)
			for _, auth := range []string{"token", "oauth2"} { // with everything expanded
				b.do(t, chromedp.Navigate(w.url+"/console/hooks/new?event_type=package.created"), chromedp.Evaluate[chromedp.Void](`
					for (const box of document.querySelectorAll('input[value="own"], input[name="auth_mode"][value="`+auth+`"]')) box.click()`),
					press(chromedp.ID("try-filter")), chromedp.WaitVisible(chromedp.CSS("#backtest .samples")))
				b.judge(t, string(axe), look.name, "hooks/"+auth, look.width)
			}
			b.do(t, chromedp.Navigate(w.url+"/console/hooks/"), chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('input[name="hook"]')].pop().checked = true`),
				press(chromedp.CSS(`button[value="pause"]`)), chromedp.WaitVisible(chromedp.CSS(`input[name="sure"] ~ p`)))
			b.judge(t, string(axe), look.name, "hooks/status", look.width)
			b.do(t, chromedp.Navigate(w.url+"/console/hooks/"), chromedp.Evaluate[chromedp.Void](`document.querySelector('input[name="all"][value="yes"]').checked = true`),
				press(chromedp.CSS(`button[formaction="/console/hooks/replay"]`)), chromedp.WaitVisible(chromedp.ID("rate")))
			b.judge(t, string(axe), look.name, "hooks/replay", look.width)
			b.do(t, press(chromedp.CSS(`button[value="count"]`)), chromedp.WaitVisible(chromedp.ID("reason")))
			b.judge(t, string(axe), look.name, "hooks/replay/counted", look.width)
			b.do(t, chromedp.Navigate(w.url+"/console/deliveries/?entity=package%3A61"), press(chromedp.CSS(".views summary")), chromedp.WaitVisible(chromedp.ID("view-name")))
			b.judge(t, string(axe), look.name, "deliveries/save", look.width)
			b.do(t, chromedp.Navigate(w.url+"/console/set-aside/"), press(chromedp.CSS("main .head button")), chromedp.WaitVisible(chromedp.CSS(".notice.bad")))
			b.judge(t, string(axe), look.name, "set-aside/refused", look.width)
			b.do(t, chromedp.Navigate(w.url+"/console/erasures/"), chromedp.SetValue(chromedp.ID("by"), "path"), chromedp.WaitVisible(chromedp.ID("path")),
				press(chromedp.CSS(`button[value="count"]`)), chromedp.WaitVisible(chromedp.CSS("#wrong-path span")))
			b.judge(t, string(axe), look.name, "erasures/wrong", look.width)
			b.do(t, chromedp.SetValue(chromedp.ID("by"), "entity"), chromedp.SendKeys(chromedp.ID("entity"), "package:10"),
				press(chromedp.CSS(`button[value="count"]`)), chromedp.WaitVisible(chromedp.ID("reason")))
			b.judge(t, string(axe), look.name, "erasures/counted", look.width)
			b.forDocs(t, w, look.name, paths[slices.IndexFunc(paths, func(p string) bool { return strings.HasSuffix(p, "/edit") })])
			b.quiet(t, "all pages")
		})
	}
}

// forDocs takes the screenshots for the documentation, as a tenant's admin sees the pages; edit is the path of a
// hook's form.
func (b *tab) forDocs(t *testing.T, w *world, look, edit string) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	b.signOut(t)
	b.signIn(t, w, w.db.MakeToken(t, store.NewToken{Name: "Olga", Role: store.Admin, Tenant: webhook.DefaultTenant}))
	for name, path := range map[string]string{"overview": "", "webhook": strings.TrimSuffix(edit, "edit")} {
		b.do(t, chromedp.Navigate(w.url+"/console/"+path), chromedp.WaitReady(chromedp.CSS("main h1")), chromedp.WaitNotPresent(chromedp.CSS("[data-pending]")))
		b.picture(t, look, "console-"+name)
	}
}

// overhangs finds the elements that extend beyond the page's margin, except those in their own scroll areas.
const overhangs = `(() => {
	const main = document.querySelector("main"), edge = main.getBoundingClientRect().right - parseFloat(getComputedStyle(main).paddingRight) + 1;
	return [...main.querySelectorAll("table, tr, td, form, fieldset, input, select, textarea, button, .card, .notice, .pill, .chip, svg")]
		.filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > edge && !e.closest("thead, pre, .code, .tabs, .unseen"))
		.map((e) => e.outerHTML.slice(0, 120));
})()`

// judge fails the test on any finding, or if anything on the page is wider than the window.
func (b *tab) judge(t *testing.T, axe, look, path string, width int64) {
	t.Helper()
	found := get(t, b, chromedp.Evaluate[[]finding](axe+`; axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}).then(
		(r) => r.violations.map((v) => ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map((n) => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`,
		chromedp.EvalAwaitPromise, chromedp.EvalAsValue))
	require.Empty(t, found, "%s, %s", look, path)
	b.fits(t, look, path, width)
	if width == 1280 { // and some widths in between
		b.do(t, chromedp.EmulateViewport(1024, 768))
		b.fits(t, look, path, 1024)
		b.do(t, chromedp.EmulateViewport(1280, 900))
	}
	b.picture(t, look, path)
}

// fits checks that nothing on the page is wider than the page.
func (b *tab) fits(t *testing.T, look, path string, width int64) {
	t.Helper()
	require.LessOrEqual(t, get(t, b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)), width, "%s, %s, %d wide", look, path, width)
	require.Empty(t, get(t, b, chromedp.Evaluate[[]string](overhangs)), "%s, %s, %d wide: what overhangs", look, path, width)
}

// picture takes a screenshot if they are wanted.
func (b *tab) picture(t *testing.T, look, path string) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	name := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}/`).ReplaceAllString(path, "one/")
	name = strings.Trim(regexp.MustCompile(`[^a-z.]+`).ReplaceAllString(name, "-"), "-")
	if name == "" {
		name = "overview"
	}
	require.NoError(t, os.MkdirAll(*screenshots, 0o755))
	file := filepath.Join(*screenshots, name+"."+look+".png")
	for i := 2; ; i++ {
		if _, err := os.Stat(file); err != nil {
			break
		}
		file = filepath.Join(*screenshots, fmt.Sprintf("%s-%d.%s.png", name, i, look))
	}
	require.NoError(t, os.WriteFile(file, get(t, b, chromedp.FullScreenshot(100)), 0o644))
}
