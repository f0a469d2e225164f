package console_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// TestWhatMendsAWebhookIsAboveTheFold looks at a webhook whose receiver rejects its secret, on the screen of a small
// laptop.
func TestWhatMendsAWebhookIsAboveTheFold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "ERP", "http://example.com/", "package.created")
	for i := range 3 {
		e := w.event(t, fmt.Sprintf("e-%d", i), uint64(i+1), "package.created", "package:61", time.Minute)
		w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(401, "who are you?")))
	}
	off := w.hook(t, "Old ERP", "http://example.com/old", "order.>")
	_, err := w.db.Hooks.Disable(t.Context(), "test", off.ID, nil, "The receiver answered 410 Gone.")
	require.NoError(t, err)
	b := newTab(t)
	b.looks(t, 1280, 800, "light")
	b.signIn(t, w, w.operator)
	mends := []string{`a[href="/console/hooks/` + h.ID.String() + `/edit#secret_key"]`, `a[href^="/console/deliveries/retry?hook=` + h.ID.String() + `"]`}
	for _, page := range []string{"hooks/" + h.ID.String() + "/", "hooks/" + h.ID.String() + "/changes"} {
		b.do(t, chromedp.Navigate(w.url+"/console/"+page), chromedp.WaitVisible(chromedp.CSS(".notice.act")), chromedp.WaitNotPresent(chromedp.CSS("[data-pending]")))
		require.Contains(t, b.text(t, ".notice.act"), "401 Unauthorized")
		for _, mend := range append(mends, "") {
			require.LessOrEqual(t, get(t, b, chromedp.Evaluate[float64](fmt.Sprintf(`document.querySelector(%q).getBoundingClientRect().bottom`, strings.TrimSpace(".notice.act "+mend)))), 800.0, mend)
		}
	}
	b.do(t, chromedp.Click(chromedp.CSS(".notice.act "+mends[0])), chromedp.WaitReady(chromedp.CSS("#secret_key:focus")), chromedp.KeyEvent("a new secret of mine"))
	require.True(t, get(t, b, chromedp.Evaluate[bool](`document.getElementById("secret_mode_own").checked`)), "what is typed is chosen")
	b.do(t, press(chromedp.CSS(".actions .primary")), chromedp.WaitVisible(chromedp.CSS(".notice.good")))
	stored, err := w.db.Hooks.Get(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Equal(t, "a new secret of mine", stored.Secrets[0].Value)

	b.do(t, chromedp.Navigate(w.url+"/console/"), chromedp.WaitVisible(chromedp.CSS("#attention .mend")))
	require.Contains(t, b.text(t, "#attention"), "401 Unauthorized, 3 times in a row")
	for _, mend := range mends {
		require.True(t, get(t, b, chromedp.Evaluate[bool](fmt.Sprintf(`document.querySelector(%q) !== null`, "#attention .mend "+mend))), mend)
	}
	b.do(t, press(chromedp.CSS(`#attention button[value="resume"]`)), chromedp.WaitReady(chromedp.CSS(`[name="recover"]`)))
	stored, err = w.db.Hooks.Get(t.Context(), "default", off.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, stored.Status)
	b.quiet(t, "mending")

	viewer := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "support", Role: store.Viewer, Tenant: "default"}))
	for _, page := range []string{"/console/", "/console/hooks/" + h.ID.String() + "/"} {
		text := viewer.get(t, page).text
		require.Contains(t, text, "401 Unauthorized")
		require.NotContains(t, text, "Replace secret")
		require.NotContains(t, text, "Retry all…")
	}
}
