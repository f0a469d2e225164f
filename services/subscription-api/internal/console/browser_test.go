package console_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// screenshots is where `make screenshots` wants pictures of all pages; empty for none.
var screenshots = flag.String("screenshots", "", "folder to write pictures of all pages to")

func TestTheLifeOfAHookThroughThePages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := newTab(t)
	b.signIn(t, w, w.operator)

	b.do(t, chromedp.Click(chromedp.CSS(`a[href="/console/hooks/"]`)), chromedp.WaitVisible(chromedp.CSS(".empty")),
		chromedp.Click(chromedp.CSS(`.head a.primary`)), chromedp.WaitVisible(chromedp.ID("target_url")))
	b.do(t, chromedp.SendKeys(chromedp.ID("name"), "North shop"), chromedp.SendKeys(chromedp.ID("target_url"), "htp://example.com/"),
		chromedp.WaitVisible(chromedp.CSS("#wrong-target_url span")))
	require.Contains(t, b.text(t, "#wrong-target_url"), "must begin with http:// or https://")
	require.Equal(t, "true", get(t, b, chromedp.Evaluate[string](`document.getElementById("target_url").getAttribute("aria-invalid")`)))
	require.Equal(t, "North shop", get(t, b, chromedp.Value(chromedp.ID("name"))), "what is typed stays")

	b.do(t, chromedp.Evaluate[chromedp.Void](`document.getElementById("target_url").value = ""`), chromedp.SendKeys(chromedp.ID("target_url"), "http://example.com/hooks"),
		chromedp.WaitNotPresent(chromedp.CSS("#wrong-target_url span")), chromedp.Click(chromedp.CSS(`input[value="package.created"]`)),
		chromedp.Evaluate[chromedp.Void](`document.getElementById("choice").value = "linear"`),
		chromedp.SendKeys(chromedp.ID("linear_base"), "60"), chromedp.SendKeys(chromedp.ID("max_retries"), "7"),
		chromedp.WaitNotPresent(chromedp.CSS("#timetable tbody tr:nth-child(8)")))
	require.Contains(t, b.text(t, "#timetable"), "7 more times")

	b.do(t, chromedp.Click(chromedp.CSS(".actions .primary")), chromedp.WaitVisible(chromedp.ID("secret")))
	secret := b.text(t, "#secret")
	require.True(t, strings.HasPrefix(secret, "whsec_"))
	b.do(t, chromedp.Click(chromedp.CSS("main a.primary")), chromedp.WaitVisible(chromedp.CSS(".pill.active")))
	require.Contains(t, b.text(t, "h1"), "North shop")

	hooks, _, err := w.db.Hooks(t.Context(), "default", postgres.HookFilter{}, postgres.Page{Limit: 2})
	require.NoError(t, err)
	require.Len(t, hooks, 1)
	require.Equal(t, secret, hooks[0].Secrets[0].Value)
	require.JSONEq(t, `{"choice":"linear","kwargs":{"base":60},"max_retries":7}`, string(hooks[0].RetryConfig))

	b.do(t, chromedp.Click(chromedp.CSS(`button[value="pause"]`)), chromedp.WaitVisible(chromedp.CSS(".pill.paused")))
	require.Contains(t, b.text(t, ".notice"), "What comes for it is kept")
	b.do(t, chromedp.Click(chromedp.CSS(`button[value="resume"]`)), chromedp.WaitVisible(chromedp.CSS(".pill.active")))

	e := w.event(t, "e-1", 1, "package.created", "package:61", 0)
	w.record(t, fact(hooks[0].ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(503, "busy")))
	b.do(t, chromedp.Reload(), chromedp.Click(chromedp.CSS("td.main a")), chromedp.WaitVisible(chromedp.CSS(".timeline .failed")))
	require.Contains(t, b.text(t, ".timeline"), "503 Service Unavailable")
	require.NotContains(t, b.text(t, ".timeline time"), "UTC", "in the reader's zone")
	require.Contains(t, get(t, b, chromedp.Evaluate[string](`document.querySelector(".timeline time").title`)), "UTC")
	b.do(t, chromedp.Click(chromedp.CSS(".head .primary")), chromedp.WaitVisible(chromedp.CSS(".pill.parked")))

	path := w.url + "/console/hooks/" + hooks[0].ID.String() + "/"
	b.do(t, chromedp.Navigate(path+"delete"), chromedp.SendKeys(chromedp.ID("confirm"), "wrong\r"), chromedp.WaitVisible(chromedp.CSS(`#confirm[aria-invalid]`)))
	b.do(t, chromedp.SendKeys(chromedp.ID("confirm"), "North shop\r"), chromedp.WaitVisible(chromedp.CSS(".empty")))
	require.Contains(t, b.text(t, ".notice"), "was deleted")
	b.quiet(t, "life of a hook")
}

func TestTheKeyboardSuffices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook(t, "North shop", "http://example.com/", "package.created")
	b := newTab(t)
	b.signIn(t, w, w.operator)
	b.do(t, chromedp.Navigate(w.url+"/console/hooks/"), chromedp.KeyEvent("\t"))
	require.Equal(t, "Skip to the content", get(t, b, chromedp.Evaluate[string](`document.activeElement.textContent`)))
	require.NotEqual(t, "none", get(t, b, chromedp.Evaluate[string](`getComputedStyle(document.activeElement).outlineStyle`)))
	b.do(t, chromedp.KeyEvent("\r"), chromedp.KeyEvent("\t"), chromedp.KeyEvent("\r"), chromedp.WaitVisible(chromedp.ID("target_url")))
	b.quiet(t, "keyboard")
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

// attacks are what a hostile integrator, publisher or receiver writes wherever text goes.
func attacks() []string {
	return []string{
		`"><img src=x onerror=window.__pwned=1>`, `'><svg onload=window.__pwned=1>`, `</script><script>window.__pwned=1</script>`,
		`javascript:window.__pwned=1`, `{{.Token}}<details open ontoggle=window.__pwned=1>`, "\u2028</textarea><script>window.__pwned=1</script>",
		`</title><script>window.__pwned=1</script>`, `<iframe srcdoc="<script>parent.__pwned=1</script>">`, `<a href="javascript:window.__pwned=1" autofocus onfocus=window.__pwned=1>x</a>`,
	}
}

func TestNothingThatOthersWriteIsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := newTab(t)
	b.signIn(t, w, w.operator)
	var pages []string
	for i, attack := range attacks() {
		config, err := webhook.ParseConfig([]byte(fmt.Sprintf(`{"note":%q}`, attack)))
		if err != nil {
			config, err = webhook.ParseConfig(nil)
		}
		require.NoError(t, err)
		h, err := w.db.CreateHook(t.Context(), "test", webhook.Hook{
			Tenant: "default", Name: strings.ReplaceAll(attack, "\u2028", ""), EventTypes: []string{"package.created"}, NotificationType: "rest",
			TargetURL: fmt.Sprintf("http://example.com/%d/%s", i, attack), Headers: map[string]string{"X-A": attack}, Config: config,
			Callback: &webhook.Callback{URL: attack}, Status: webhook.Active,
		}, 1000, postgres.IdempotencyKey{})
		require.NoError(t, err)
		_, err = w.db.DisableHook(t.Context(), postgres.Actor(attack), h.ID, attack)
		require.NoError(t, err)
		_, err = w.db.DeclareEventType(t.Context(), "test", "default", postgres.EventType{
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
		w.token(t, postgres.NewToken{Name: attack, Role: postgres.Viewer, Tenant: "default"})
		pages = append(pages, "hooks/"+h.ID.String()+"/", "hooks/"+h.ID.String()+"/edit", "hooks/"+h.ID.String()+"/delete",
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
}

type finding struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// TestEveryPageIsAccessible runs axe-core on every page, as a wide light one and as a narrow dark one.
func TestEveryPageIsAccessible(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("testdata/axe.min.js")
	require.NoError(t, err)
	w := newWorld(t)
	paths := story(t, w)
	b := newTab(t)
	for _, look := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"light", 1280, 900, "light"}, {"narrow-dark", 375, 812, "dark"}} {
		b.looks(t, look.width, look.height, look.scheme)
		b.do(t, chromedp.Navigate(w.url+"/console/sign-in"))
		b.judge(t, string(axe), look.name, "sign-in", look.width)
		b.signIn(t, w, w.operator)
		for _, path := range paths {
			b.do(t, chromedp.Navigate(w.url+"/console/"+path), chromedp.WaitReady(chromedp.CSS("main h1")))
			b.judge(t, string(axe), look.name, path, look.width)
		}
		b.do(t, chromedp.Navigate(w.url+"/console/hooks/new"), chromedp.Evaluate[chromedp.Void](`document.querySelector("form.form").requestSubmit()`),
			chromedp.WaitVisible(chromedp.ID("summary")))
		b.judge(t, string(axe), look.name, "hooks/wrong", look.width)
		b.do(t, chromedp.Evaluate[chromedp.Void](`document.querySelector('form[action="/console/sign-out"]').requestSubmit()`), chromedp.WaitVisible(chromedp.ID("token")))
	}
	if *screenshots != "" {
		b.looks(t, 1280, 900, "dark")
		b.signIn(t, w, w.operator)
		for _, path := range paths {
			b.do(t, chromedp.Navigate(w.url+"/console/"+path), chromedp.WaitReady(chromedp.CSS("main h1")))
			b.picture(t, "dark", path)
		}
	}
	b.quiet(t, "all pages")
}

// judge fails the test on a serious finding, and on a page that is wider than the window.
func (b *tab) judge(t *testing.T, axe, look, path string, width int64) {
	t.Helper()
	found := get(t, b, chromedp.Evaluate[[]finding](axe+`; axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]}).then(
		(r) => r.violations.map((v) => ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map((n) => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`,
		chromedp.EvalAwaitPromise, chromedp.EvalAsValue))
	for _, f := range found {
		require.NotContains(t, []string{"serious", "critical"}, f.Impact, "%s, %s: %s %+v", look, path, f.Help, f.Nodes)
		t.Logf("%s, %s: %s: %s %d", look, path, f.Impact, f.Help, len(f.Nodes))
	}
	require.LessOrEqual(t, get(t, b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)), width, "%s, %s", look, path)
	b.picture(t, look, path)
}

// picture writes a screenshot where one is wanted.
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
