package console_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// browser is the only Chromium of the test binary; each test has a tab of its own.
type browser struct {
	once sync.Once
	ctx  context.Context
	end  func()
	err  error
}

var chrome browser

// install is the advice for a machine without Chromium.
const install = "no Chromium for the browser tests: install it (Debian, Ubuntu: apt-get install -y --no-install-recommends chromium; " +
	"macOS: brew install --cask chromium) or set CHROME_BIN to a Chromium or Chrome"

func findChromium() (string, error) {
	if given := os.Getenv("CHROME_BIN"); given != "" {
		return given, nil
	}
	for _, name := range []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/Applications/Chromium.app/Contents/MacOS/Chromium",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New(install)
}

func (b *browser) start() {
	path, err := findChromium()
	if err != nil {
		b.err = err
		return
	}
	profile, err := os.MkdirTemp("", "whisperer-chromium-")
	if err != nil {
		b.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.WSURLReadTimeout(stepLimit))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	b.end = func() {
		_ = chromedp.Cancel(ctx)
		cancel()
		stop()
		_ = os.RemoveAll(profile)
	}
	b.ctx = ctx
	_, b.err = chromedp.Run(ctx, chromedp.Title())
}

func (b *browser) stop() {
	if b.end != nil {
		b.end()
	}
}

// tab is a browser tab that records errors on its page.
type tab struct {
	ctx context.Context

	mu       sync.Mutex
	messages []string
}

// stepLimit bounds one action in a tab. It is only reached on a very busy machine.
const stepLimit = 3 * time.Minute

// newTab opens a tab with its own cookies.
func newTab(t *testing.T) *tab {
	t.Helper()
	chrome.once.Do(chrome.start)
	require.NoError(t, chrome.err)
	ctx, cancel := chromedp.NewContext(chrome.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	_, err := chromedp.Run(ctx, chromedp.Title()) // opens the tab
	require.NoError(t, err)
	limited := ctx
	if end, ok := t.Deadline(); ok { // reports the current state before the test binary is killed
		var stop context.CancelFunc
		limited, stop = context.WithDeadline(ctx, end.Add(-10*time.Second))
		t.Cleanup(stop)
	}
	b := &tab{ctx: limited}
	messages := chromedp.Console(limited)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Type == "debug" || m.Type == "info" { // advice rather than an error
				continue
			}
			b.mu.Lock()
			b.messages = append(b.messages, m.String())
			b.mu.Unlock()
		}
	}()
	return b
}

// quiet fails the test if the page reported a violation of the content security policy or an exception. Some pages
// are a 404 or 422 by design, a busy machine may answer 503 to a part that loads later, and htmx reports requests
// that end because the page is left.
func (b *tab) quiet(t *testing.T, page string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		if strings.Contains(m, "htmx:afterRequest") || strings.Contains(m, "htmx:sendAbort") {
			continue
		}
		if status := "Failed to load resource: the server responded with a status of "; !strings.Contains(m, status+"4") && !strings.Contains(m, status+"503") {
			require.Fail(t, "the page complained", "%s: %s", page, m)
		}
	}
}

func (b *tab) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepLimit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		html, _ := chromedp.Run(b.ctx, chromedp.OuterHTML(chromedp.CSS("main")))
		require.NoError(t, err, html)
	}
}

// press presses a button by keyboard. A mouse click may miss it when something that has just loaded moves the page.
func press[S chromedp.Selectable](button S) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(button, "\r")
}

func (b *tab) text(t *testing.T, selector string) string {
	t.Helper()
	return get(t, b, chromedp.Text(chromedp.CSS(selector)))
}

func get[T any](t *testing.T, b *tab, a chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepLimit)
	defer cancel()
	value, err := chromedp.Run(ctx, a)
	require.NoError(t, err)
	return value
}

// signIn signs in by keyboard, as a person does.
func (b *tab) signIn(t *testing.T, w *world, token string) {
	t.Helper()
	b.do(t, chromedp.Navigate(w.url+"/console/"), chromedp.SendKeys(chromedp.ID("token"), token+"\r"), chromedp.WaitVisible(chromedp.CSS("header.side")))
}

// signOut presses the button, which is in a menu on a phone.
func (b *tab) signOut(t *testing.T) {
	t.Helper()
	b.do(t, chromedp.Evaluate[chromedp.Void](`document.querySelector('form[action="/console/sign-out"] button').click()`), chromedp.WaitVisible(chromedp.ID("token")))
}

// looks sets the tab's size and the color scheme of the reader's system.
func (b *tab) looks(t *testing.T, width, height int64, scheme string) {
	t.Helper()
	b.do(t, chromedp.EmulateViewport(width, height))
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(t, err)
}
