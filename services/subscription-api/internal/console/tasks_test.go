package console_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// task is a typical task of an operator, starting at the overview.
type task struct {
	name string
	most int // actions: a click, a field to fill in, a choice, Enter
	do   func(a *actor)
}

// actor works in a tab with mouse and keyboard, and counts the actions.
type actor struct {
	t       *testing.T
	tab     *tab
	actions int
}

// press waits until nothing moves any more, moves the mouse to an element and clicks.
func (a *actor) press(selector string) {
	a.t.Helper()
	place := chromedp.Evaluate[string](fmt.Sprintf(`(() => { const e = document.querySelector(%q);
		return e && e.checkVisibility() && !document.querySelector("[data-pending]") ? JSON.stringify(e.getBoundingClientRect()) : ""; })()`, selector))
	a.tab.do(a.t, chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.ScrollIntoView(chromedp.CSS(selector)))
	before := ""
	require.Eventually(a.t, func() bool {
		now, err := chromedp.Run(a.tab.ctx, place) // fails while the page changes
		still := err == nil && now != "" && now == before
		before = now
		return still
	}, stepLimit, 50*time.Millisecond, selector)
	a.tab.do(a.t, chromedp.Click(chromedp.CSS(selector)))
}

// click clicks a link, a button, or a checkbox.
func (a *actor) click(selector string) {
	a.t.Helper()
	a.actions++
	a.press(selector)
}

// fill types into a field.
func (a *actor) fill(selector, text string) {
	a.t.Helper()
	a.actions++
	a.press(selector)
	a.tab.do(a.t, chromedp.KeyEvent(text))
}

// enter submits what was typed.
func (a *actor) enter() {
	a.t.Helper()
	a.actions++
	a.tab.do(a.t, chromedp.KeyEvent(kb.Enter))
}

// choose moves down a list until the value is selected.
func (a *actor) choose(selector, value string) {
	a.t.Helper()
	a.actions++
	a.tab.do(a.t, chromedp.Focus(chromedp.CSS(selector)))
	for range 20 {
		if get(a.t, a.tab, chromedp.Value(chromedp.CSS(selector))) == value {
			return
		}
		a.tab.do(a.t, chromedp.KeyEvent(kb.ArrowDown))
	}
	require.FailNow(a.t, "not in the list", "%s in %s", value, selector)
}

// sees waits for the text.
func (a *actor) sees(selector, text string) {
	a.t.Helper()
	there := fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.innerText.includes(%q))`, selector, text)
	for end := time.Now().Add(stepLimit); ; {
		found, err := chromedp.Run(a.tab.ctx, chromedp.Evaluate[bool](there)) // fails while the page changes
		if found {
			return
		}
		if time.Now().After(end) {
			require.FailNow(a.t, "not seen", "%s in %s (%v) of:\n%s", text, selector, err, a.tab.text(a.t, "main"))
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestWhatOperatorsComeForTakesFewActions performs operators' most frequent tasks, and bounds the number of actions.
func TestWhatOperatorsComeForTakesFewActions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	north := w.hook(t, "North shop", "http://example.com/north", "package.created")
	w.hook(t, "South shop", "http://example.com/south", "order.created")
	for i := range 3 {
		e := w.event(t, fmt.Sprintf("AWB-77%d", i), uint64(i+1), "package.created", fmt.Sprintf("package:%d", i), 10*time.Minute)
		w.record(t, fact(north.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(503, "no stock left")))
	}
	b := newTab(t)
	b.signIn(t, w, w.operator)
	for _, task := range operatorsTasks(fmt.Sprintf(`main a[href="/console/hooks/%s/"]`, north.ID)) {
		a := &actor{t: t, tab: b}
		b.do(t, chromedp.Navigate(w.url+"/console/"), chromedp.WaitReady(chromedp.CSS("main h1")))
		began := time.Now()
		task.do(a)
		t.Logf("%-50s %2d actions of at most %2d, %.1f s", task.name, a.actions, task.most, time.Since(began).Seconds())
		require.LessOrEqual(t, a.actions, task.most, task.name)
	}
	b.quiet(t, "what operators come for")
}

// operatorsTasks are the tasks; north selects the link to their webhook.
func operatorsTasks(north string) []task {
	return []task{
		{"create the tutorial's webhook", 12, func(a *actor) {
			a.click(`a[href="/console/hooks/new"]`)
			a.fill("#target_url", "http://example.com/tutorial")
			a.fill("#secret_key", "a-secret-of-the-tutorial-0123456789")
			a.click(`input[value="package.created"]`)
			a.fill("#callback_url", "http://example.com/outcomes")
			a.fill("#headers", `{"X-Shop": "north"}`)
			a.fill("#config", `{"channel_id": 12}`)
			a.choose("#choice", "linear")
			a.fill("#linear_base", "60")
			a.fill("#linear_limit", "600")
			a.fill("#name", "Tutorial")
			a.click(".actions .primary")
			a.sees("h1", "Tutorial")
			a.sees("main", "X-Shop")
		}},
		{"see which webhook fails, and why", 1, func(a *actor) {
			a.click(`#recent tr:has(.pill.dead) td.main a`)
			a.sees(".timeline", "503 Service Unavailable")
			a.sees("main", "North shop")
		}},
		{"find out why a webhook did not get an event", 3, func(a *actor) {
			a.fill("[data-find]", "AWB-771")
			a.enter()
			a.click(`.found a[href^="/console/event/explain"]`)
			a.sees("main", "was created after the event was published")
		}},
		{"find an event's deliveries by its id", 3, func(a *actor) {
			a.fill("[data-find]", "AWB-772")
			a.enter()
			a.click(`.found a[href^="/console/event?"]`)
			a.sees("main td", "North shop")
		}},
		{"see what was sent and what came back", 1, func(a *actor) {
			a.click(`#recent tr:has(.pill.dead) td.main a`)
			a.sees("main", "no stock left")
			a.sees("main", "curl")
		}},
		{"replay a day to a webhook", 6, func(a *actor) {
			a.click(`header.side a[href="/console/hooks/"]`)
			a.click(north)
			a.click(`.tabs a[href$="/replay"]`)
			a.click(`button[value="count"]`)
			a.fill("#reason", "It was down")
			a.click(`button[value="begin"]`)
			a.sees("main", " of ")
		}},
		{"send again all that is dead", 3, func(a *actor) {
			a.click(`.tile a[href*="state=dead"]`)
			a.click(`a[href^="/console/deliveries/retry"]`)
			a.click(`main form .primary`)
			a.sees("main", "being tried again")
		}},
		{"pause a webhook and see who did", 4, func(a *actor) {
			a.click(`header.side a[href="/console/hooks/"]`)
			a.click(north)
			a.click(`button[value="pause"]`)
			a.sees(".notice", "Paused")
			a.click(`.tabs a[href$="/changes"]`)
			a.sees("tbody", "paused")
		}},
		{"replace a secret without a gap", 4, func(a *actor) {
			a.click(`header.side a[href="/console/hooks/"]`)
			a.click(north)
			a.click(`form[action$="/rotate"] summary`)
			a.click(`form[action$="/rotate"] button`)
			a.sees("#secret", "whsec_")
		}},
	}
}
