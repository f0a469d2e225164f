package console_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// TestPagesShowWhatHappensWhileTheyAreOpen opens each live page, makes something happen, and waits until the page
// shows it without a reload.
func TestPagesShowWhatHappensWhileTheyAreOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "North", "http://example.com/north", "package.>")
	b := newTab(t)
	b.signIn(t, w, w.operator)
	seq := uint64(0)
	event := func(id string) webhook.Event {
		seq++
		return w.event(t, id, seq, "package.created", "package:60", 0)
	}
	deliver := func(id string, state webhook.DeliveryState) func() {
		return func() {
			e := event(id)
			w.record(t, fact(h.ID, &e, state, "", answered(200, "ok")))
		}
	}
	row := func(event string) string { return `tr[id="d-` + webhook.DeliveryID(h.ID, event).String() + `"]` }
	later, other := event("e-later"), w.hook(t, "South", "http://example.com/south", "order.>")
	erase := func(reason string) store.Erasure {
		made, err := w.db.Erasures.Create(t.Context(), "test", store.NewErasure{
			Tenant: webhook.DefaultTenant, Kind: store.ErasePath, Criteria: []string{"$.nothing"}, Reason: reason,
			Range: store.TimeRange{From: time.Now().Add(-time.Hour), To: time.Now()},
		})
		require.NoError(t, err)
		return made
	}
	hook, erasure := "hooks/"+h.ID.String()+"/", "erasures/"+erase("request 4711").ID.String()+"/"
	for _, page := range []struct {
		path    string
		happens func()
		shows   string
	}{
		{"hooks/", deliver("e-1", webhook.Delivered), `#counts td[data-head="Last attempt"] time`},
		{"", deliver("e-2", webhook.Delivered), "#recent " + row("e-2")},
		{hook, deliver("e-3", webhook.Delivered), "#recent " + row("e-3")},
		{"deliveries/?state=dead", deliver("e-4", webhook.Dead), "#list " + row("e-4")}, // it had no table before
		{"deliveries/?state=dead", deliver("e-5", webhook.Dead), "#deliveries " + row("e-5") + ".fresh"},
		{"events/?entity=package%3A60", func() { event("e-6") }, `#events tr[id="e-e-6"].fresh`},
		{"event?id=e-later", func() { w.record(t, fact(h.ID, &later, webhook.Waiting, webhook.ReasonFailed, answered(503, "busy"))) }, "#list " + row("e-later")},
		{"event/explain?id=e-later", func() { w.record(t, again(h.ID, &later)) }, "#list .pill.delivered"},
		{hook + "replay", func() { w.replay(t, h.ID, "it was down") }, "#list .pill.running"},
		{hook, func() {
			_, err := w.db.Hooks.Disable(t.Context(), "worker", h.ID, nil, "All attempts failed for 5 days.")
			require.NoError(t, err)
		}, "main:has(h1 .pill.disabled) #banner .notice.bad"},
		{"hooks/" + other.ID.String() + "/changes", func() {
			_, err := w.db.Hooks.Disable(t.Context(), "worker", other.ID, nil, "The receiver answered 410 Gone.")
			require.NoError(t, err)
		}, "#list tbody tr:nth-child(2)"},
		{"rejected/", func() { w.reject(t, 9, "package.created", "unreadable", "The body is no JSON.", 0) }, "#list .card"},
		{"erasures/", func() { erase("request 4712") }, "#list tr:nth-child(2)"},
		{erasure, func() { w.signIn(t, w.operator).post(t, "/console/"+erasure+"cancel") }, "#state .pill.cancelled"},
		{"set-aside/", func() { w.setAside(t, 2) }, "#list tbody tr"},
	} {
		b.do(t, chromedp.Navigate(w.url+"/console/"+page.path), chromedp.WaitReady(chromedp.CSS("main h1")), chromedp.WaitNotPresent(chromedp.CSS("[data-pending]")),
			chromedp.WaitNotPresent(chromedp.CSS(page.shows)))
		page.happens()
		b.do(t, chromedp.WaitReady(chromedp.CSS(page.shows)))
		t.Log(page.path)
	}
	b.quiet(t, "pages that update themselves")
}

// again returns the fact of a delivery's second attempt, which succeeded.
func again(hook uuid.UUID, e *webhook.Event) *whispererv1.DeliveryFact {
	f := fact(hook, e, webhook.Delivered, "", answered(200, "thanks"))
	f.Attempts, f.Attempt.Number, f.At = 2, 2, time.Now().UnixNano()
	return f
}

// TestWhatSomebodyUsesIsLeftAlone checks that a part of a page that is focused or expanded stays unchanged while
// other parts change, and is updated once nobody uses it.
func TestWhatSomebodyUsesIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "North", "http://example.com/north", "package.>")
	b := newTab(t)
	b.signIn(t, w, w.operator)
	first, second, third := w.event(t, "e-1", 1, "package.created", "package:60", 0), w.event(t, "e-2", 2, "package.created", "package:60", 0), w.event(t, "e-3", 3, "package.created", "package:60", 0)
	row := func(e *webhook.Event) chromedp.CSS {
		return chromedp.CSS(`#recent tr[id="d-` + webhook.DeliveryID(h.ID, e.ID).String() + `"]`)
	}

	b.do(t, chromedp.Navigate(w.url+"/console/"), chromedp.WaitReady(chromedp.CSS("#attention")), chromedp.WaitNotPresent(chromedp.CSS("[data-pending]")),
		chromedp.Focus(chromedp.CSS("#attention a")))
	_, err := w.db.Hooks.Disable(t.Context(), "worker", h.ID, nil, "All attempts failed for 5 days.")
	require.NoError(t, err)
	w.record(t, fact(h.ID, &first, webhook.Waiting, webhook.ReasonFailed, answered(503, "busy")))
	b.do(t, chromedp.WaitReady(row(&first)))
	require.NotContains(t, b.text(t, "#attention"), "North")
	b.do(t, chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	w.record(t, fact(h.ID, &second, webhook.Delivered, "", answered(200, "ok")))
	b.do(t, chromedp.WaitReady(row(&second)), chromedp.WaitReady(chromedp.CSS("#attention .pill.disabled")))

	summary := chromedp.CSS("#timeline summary")
	b.do(t, chromedp.Navigate(w.url+"/console/deliveries/"+webhook.DeliveryID(h.ID, first.ID).String()+"/"), press(summary),
		chromedp.WaitNotPresent(chromedp.CSS("#timeline details[open]")), press(summary), chromedp.WaitReady(chromedp.CSS("#timeline details[open]")),
		chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	w.record(t, again(h.ID, &first))
	b.do(t, chromedp.WaitReady(chromedp.CSS("#state .pill.delivered")))
	require.NotContains(t, b.text(t, "#timeline"), "Attempt 2")
	b.do(t, press(summary), chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`), chromedp.WaitReady(chromedp.CSS("#timeline li.succeeded")))
	require.Contains(t, b.text(t, "#timeline"), "Attempt 2")

	b.do(t, chromedp.Navigate(w.url+"/console/deliveries/"), press(chromedp.CSS("[data-follow]")), chromedp.WaitReady(chromedp.CSS(`[aria-pressed="false"]`)))
	require.Equal(t, "Follow", b.text(t, "[data-follow]"))
	w.record(t, fact(h.ID, &third, webhook.Delivered, "", answered(200, "ok")))
	b.do(t, press(chromedp.CSS("[data-follow]")), chromedp.WaitReady(chromedp.CSS("#deliveries tr.fresh")))
	require.Equal(t, "Following", b.text(t, "[data-follow]"))
	b.quiet(t, "pages that update themselves")
}
