package console_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

// nowhere is a publisher that publishes nothing.
type nowhere struct{}

func (nowhere) PublishEvents(context.Context, []bus.Outgoing) error { return context.DeadlineExceeded }

// apiPage returns the address of an API and the world of a console that share a database.
func apiPage(t *testing.T) (w *world, address string) {
	t.Helper()
	var deps httpapi.Deps
	w = newWorld(t, func(d *console.Deps) {
		deps = httpapi.Deps{
			Cases: d.Cases, Types: schema.NewChecks(catalogue.SchemaOf, zap.NewNop()), Publisher: nowhere{}, CursorKey: []byte("a key of thirty-two bytes, or so"),
			Version: "test", Metrics: prometheus.NewRegistry(), Log: zap.NewNop(),
		}
	})
	api, err := httpapi.New(deps)
	require.NoError(t, err)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return w, server.URL + "/whisperer/docs"
}

func TestTheAPIIsReadAndSearchedInTheBrowser(t *testing.T) {
	t.Parallel()
	_, address := apiPage(t)
	b := newTab(t)
	for _, look := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"phone", 390, 844, "light"}, {"dark", 1280, 900, "dark"}, {"light", 1280, 900, "light"}} {
		b.looks(t, look.width, look.height, look.scheme)
		b.do(t, chromedp.Navigate("about:blank"), chromedp.Navigate(address+"#tag/hooks/POST/whisperer/hooks/"), chromedp.WaitVisible(chromedp.CSS("h1")))
		b.until(t, `document.body.innerText.includes("retry_countdown_config")`)
		b.keep(t, "api-"+look.name)
	}

	const field = "input[role=combobox]"
	b.until(t, `(() => { document.querySelector("button[role=search]").click(); return true })()`)
	b.do(t, chromedp.WaitVisible(chromedp.CSS(field)), chromedp.SendKeys(chromedp.CSS(field), "replay"))
	b.until(t, `document.querySelector("[role=listbox]")?.innerText.toLowerCase().includes("replay") ?? false`)
	b.keep(t, "api-search")
	b.obeysItsPolicy(t)
}

func TestTheAPIIsTriedInTheBrowser(t *testing.T) {
	t.Parallel()
	w, address := apiPage(t)
	w.hook(t, "Acme, orders", "https://acme.example.com/hooks", "order.created")
	b := newTab(t)
	b.looks(t, 1280, 900, "light")
	b.do(t, chromedp.Navigate(address+"#tag/hooks/GET/whisperer/hooks/"), chromedp.WaitVisible(chromedp.CSS(".show-api-client-button")))
	b.do(t, press(chromedp.CSS(".show-api-client-button")))
	b.until(t, `(() => {
		const field = document.querySelector("[role=dialog] input[placeholder=Token]");
		if (!field) return false;
		field.value = "`+w.operator+`";
		field.dispatchEvent(new Event("input", { bubbles: true }));
		field.dispatchEvent(new Event("change", { bubbles: true }));
		return true;
	})()`)
	b.until(t, `(() => {
		const send = [...document.querySelectorAll("[role=dialog] button")].find(e => /Send get request/i.test(e.textContent));
		send?.click();
		return !!send;
	})()`)
	b.keep(t, "api-sent")
	b.until(t, `document.querySelector("[role=dialog] [aria-label=Response]")?.innerText.includes("https://acme.example.com/hooks") ?? false`)
	b.keep(t, "api-tried")
	b.obeysItsPolicy(t)
}

// obeysItsPolicy fails the test if the page reported an error. It ignores what Scalar's schema reader says about {},
// which means any JSON.
func (b *tab) obeysItsPolicy(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	b.messages = slices.DeleteFunc(b.messages, func(m string) bool {
		return strings.HasPrefix(m, "warning: document validation errors") || strings.HasPrefix(m, "warning: [")
	})
	b.mu.Unlock()
	b.quiet(t, "the API's page")
}

// until waits until a script's result is true.
func (b *tab) until(t *testing.T, script string) {
	t.Helper()
	require.Eventually(t, func() bool {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](script))
		return err == nil && ok
	}, stepLimit, 100*time.Millisecond, script)
}

// keep saves a screenshot of the page where -screenshots says.
func (b *tab) keep(t *testing.T, name string) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	require.NoError(t, os.MkdirAll(*screenshots, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(*screenshots, name+".png"), get(t, b, chromedp.CaptureScreenshot()), 0o644))
}
