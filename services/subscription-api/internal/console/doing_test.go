package console_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestAFilterIsTriedOnTheLastDayBeforeItIsSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	for i := range 4 {
		w.event(t, fmt.Sprintf("e-%d", i), uint64(i+1), "package.created", fmt.Sprintf("package:%d", i), time.Hour)
	}
	w.event(t, "old", 9, "package.created", "package:9", 30*time.Hour)
	broken := p.post(t, "/console/hooks/backtest", "event_type", "package.created", "filter", `event.data.nothing.x == 1`)
	require.Contains(t, broken.text, "could not be evaluated</strong>")
	require.Contains(t, broken.text, "event.data.nothing is absent; guard it with has(event.data.nothing)")
	a := p.post(t, "/console/hooks/backtest", "event_type", "package.created", "filter", `event.entity == "package:2"`)
	require.Equal(t, http.StatusOK, a.status)
	require.Regexp(t, `<strong class="num">1</strong> of <span class="num">4</span> events`, a.text)
	require.Contains(t, a.text, "3 not: the filter says no.")
	require.Contains(t, a.text, "event?id=e-2")
	require.Contains(t, p.post(t, "/console/hooks/backtest", "filter", "event.data.a").text, "Choose event types first.")
	require.Contains(t, p.post(t, "/console/hooks/backtest", "event_type", "package.created", "filter", "event.data.").text, "not right yet")
	require.Contains(t, p.post(t, "/console/hooks/backtest", "event_type", "order.created").text, "No event of these types")
}

func TestAReplayIsCountedBeforeItBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	p := w.signIn(t, w.operator)
	for i := range 3 {
		e := w.event(t, fmt.Sprintf("e-%d", i), uint64(i+1), "package.created", "package:61", time.Hour)
		state := webhook.Dead
		if i == 2 {
			state = webhook.Delivered
		}
		w.record(t, fact(h.ID, &e, state, "", answered(200, "")))
	}
	path := "/console/hooks/" + h.ID.String() + "/replay"
	form := []string{"span", "24h", "state", "dead", "rate", "50"}
	a := p.post(t, path, append(form, "step", "count")...)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.text, "2 deliveries to send")
	a = p.post(t, path, append(form, "step", "change", "reason", "it was down")...)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.text, "Count first")
	require.Contains(t, a.text, `name="rate" value="50"`, "what was chosen stays")
	require.Contains(t, a.text, `value="it was down"`)
	a = p.post(t, path, append(form, "step", "begin")...)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.text, "kept with the replay")
	for _, wrong := range [][]string{
		{"span", "own", "from", "yesterday", "state", "dead", "rate", "1"},
		{"span", "forever", "state", "dead", "rate", "1"},
		{"span", "1h", "rate", "1"},
		{"span", "1h", "state", "dead", "rate", "0"},
		{"span", "1h", "state", "dead", "rate", "1", "event_types", "a..b"},
		{"span", "own", "from", "2026-03-01T10:00", "to", "2026-03-01T09:00Z", "state", "dead", "rate", "1"},
	} {
		require.Equal(t, http.StatusUnprocessableEntity, p.post(t, path, append(wrong, "step", "count")...).status, wrong)
	}
	a = p.post(t, path, append(form, "step", "begin", "reason", "it was down")...)
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	job := a.header.Get("Location")
	require.Contains(t, p.get(t, job).text, "0 of 2")
	a = p.post(t, path, append(form, "step", "begin", "reason", "again")...)
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.text, "has a job that is not finished")
	require.Equal(t, http.StatusBadRequest, p.post(t, job, "do", "explode").status)
	for _, step := range []struct{ do, says string }{{"pause", "Paused until you resume it"}, {"resume", "left."}, {"cancel", "are still sent."}} {
		require.Equal(t, http.StatusSeeOther, p.post(t, job, "do", step.do).status)
		require.Contains(t, p.get(t, job).text, step.says)
	}
	a = p.post(t, job, "do", "resume")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.text, "cancelled already")
}

func TestAllThatAListShowsIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	p := w.signIn(t, w.operator)
	for i, status := range []uint32{500, 500, 404} {
		e := w.event(t, fmt.Sprintf("e-%d", i), uint64(i+1), "package.created", "package:61", time.Hour)
		w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(status, "")))
	}
	require.Contains(t, p.get(t, "/console/deliveries/?status=5xx").text, `href="/console/deliveries/retry?status=5xx"`)
	a := p.get(t, "/console/deliveries/retry?wait=1&status=5xx&hook="+h.ID.String())
	require.Contains(t, a.text, "Retry 2 deliveries?")
	require.Contains(t, a.text, "to north")
	a = p.post(t, "/console/deliveries/retry?status=5xx&hook="+h.ID.String())
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Contains(t, p.get(t, a.header.Get("Location")).text, "2 deliveries are being tried again")
	list, _, err := w.db.History.ListDeliveries(t.Context(), "default", store.DeliveryFilter{States: []webhook.DeliveryState{webhook.Parked}}, store.Page{Limit: 5})
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, http.StatusBadRequest, p.post(t, "/console/deliveries/retry?hook=x").status)
}

func TestAnEventIsExplainedHookByHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	w.hook(t, "south", "http://example.com/south", "order.created")
	e := w.event(t, "e-1", 1, "package.created", "package:61", -time.Minute)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(503, "")))
	page := w.signIn(t, w.operator).get(t, "/console/event/explain?id=e-1").text
	require.Regexp(t, `(?s)>north</a>.*pill dead.*503 Service Unavailable.*>south</a>.*not matched.*event types covers package.created`, page)
}

// following returns a request like that of a browser's EventSource.
func (p *person) following(ctx context.Context, t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.w.url+path, nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	if p.cookie != nil {
		r.AddCookie(p.cookie)
	}
	return r
}

// refused returns the status of a page that cannot be followed.
func (p *person) refused(t *testing.T, path string) int {
	t.Helper()
	response, err := http.DefaultClient.Do(p.following(t.Context(), t, path))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// follow reads the messages of a followed page until enough returns true.
func (p *person) follow(t *testing.T, path string, enough func(string) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := p.following(ctx, t, path)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, "text/event-stream; charset=utf-8", response.Header.Get("Content-Type"))
	var text strings.Builder
	for lines := bufio.NewScanner(response.Body); !enough(text.String()) && lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
	}
	return text.String()
}

func TestPagesAreFollowedAsTheyChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	p := w.signIn(t, w.operator)
	e := w.event(t, "only-e-1", 1, "package.created", "package:61", 0)
	w.record(t, fact(h.ID, &e, webhook.Waiting, webhook.ReasonFailed, answered(503, "")))
	done := false
	text := p.follow(t, "/console/deliveries/?hook="+h.ID.String(), func(text string) bool {
		if !done && strings.Contains(text, "pill waiting") {
			done = true
			again := fact(h.ID, &e, webhook.Delivered, "", answered(200, ""))
			again.Attempts, again.Attempt.Number, again.At = 2, 2, time.Now().UnixNano()
			w.record(t, again)
		}
		return strings.Contains(text, "pill delivered")
	})
	require.Equal(t, 2, strings.Count(text, "retry: 500"), "nothing is sent while nothing changes: %s", text)
	for line := range strings.SplitSeq(text, "\n") {
		require.Regexp(t, `^(data: .*|retry: 500|)$`, line)
	}
	require.Contains(t, p.follow(t, "/console/events/?entity=package:61", func(text string) bool { return strings.Contains(text, "only-e-1") }), "package.created")

	require.Equal(t, http.StatusNoContent, (&person{w: w}).refused(t, "/console/deliveries/"), "204 keeps a browser from connecting again")
	w.db.MakeTenant(t, "acme")
	other := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "a", Role: store.Viewer, Tenant: "acme"}))
	require.NotContains(t, other.follow(t, "/console/events/", func(text string) bool { return strings.Contains(text, "retry") }), "only-e-1")
}
