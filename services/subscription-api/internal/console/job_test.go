package console_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/jobs"
)

// TestAReplaySaysWhatBecameOfItsDeliveries also checks that the list of its deliveries is exact.
func TestAReplaySaysWhatBecameOfItsDeliveries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, other := w.hook(t, "north", "http://example.com/", "package.created"), w.hook(t, "south", "http://example.com/south", "package.created")
	var events []webhook.Event
	for i := range 6 {
		e := w.event(t, fmt.Sprintf("e-%d", i), uint64(i+1), "package.created", "package:61", time.Hour)
		events = append(events, e)
		state := webhook.Dead
		if i == 5 { // not part of the replay
			state = webhook.Delivered
		}
		w.record(t, fact(h.ID, &e, state, "", answered(500, "no")), fact(other.ID, &e, webhook.Dead, "", answered(500, "no")))
	}
	job := w.replay(t, h.ID, "it was down")
	p := w.signIn(t, w.operator)
	path := "/console/jobs/" + job.ID.String() + "/"
	tile := func(state string, n int) string {
		return fmt.Sprintf(`state=%s">%d</a>`, state, n)
	}
	page := p.get(t, path+"?wait=1").text
	for _, state := range []string{"delivered", "waiting", "parked", "dead"} {
		require.Contains(t, page, tile(state, 0))
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		jobs.Run(ctx, w.db.Jobs, zap.NewNop())
	}()
	require.Eventually(t, func() bool { return strings.Contains(p.get(t, path).text, "pill completed") }, stepLimit, 50*time.Millisecond)
	stop()
	<-ended
	page = p.get(t, path+"?wait=1").text
	require.Contains(t, page, tile("parked", 5))
	require.Contains(t, page, "5 still to be delivered.")

	b := newTab(t)
	b.signIn(t, w, w.operator)
	b.do(t, chromedp.Navigate(w.url+path), chromedp.WaitVisible(chromedp.CSS("#counts .tile.warn")))
	for i, state := range []webhook.DeliveryState{webhook.Delivered, webhook.Delivered, webhook.Waiting, webhook.Dead} {
		again := fact(h.ID, &events[i], state, "", answered(200, "thanks"))
		again.Attempts, again.Attempt.Number, again.Replay, again.At = 2, 2, true, time.Now().UnixNano()
		w.record(t, again)
	}
	b.do(t, chromedp.WaitVisible(chromedp.CSS("#counts .tile.bad"))) // without a reload
	for state, n := range map[string]int{"delivered": 2, "waiting": 1, "parked": 1, "dead": 1} {
		require.Equal(t, fmt.Sprint(n), b.text(t, `#counts a[href$="state=`+state+`"]`), state)
		list := p.get(t, "/console/deliveries/?job="+job.ID.String()+"&state="+state).text
		require.Equal(t, n, strings.Count(list, `<td class="main">`), state)
	}
	require.Contains(t, b.text(t, "#counts"), "2 still to be delivered.")
	b.quiet(t, "replay")

	all := "/console/deliveries/?job=" + job.ID.String()
	list := p.get(t, all).text
	require.Equal(t, 5, strings.Count(list, `<td class="main">`))
	require.Contains(t, list, `href="`+path+`">it was down</a>`)
	require.Contains(t, list, `name="job" value="`+job.ID.String()+`"`, "the filter keeps it")
	require.Equal(t, 6, strings.Count(p.get(t, "/console/deliveries/export?job="+job.ID.String()).text, "\n"), "with the heading")
	ask := p.get(t, "/console/deliveries/retry?wait=1&state=dead&job="+job.ID.String()).text
	require.Contains(t, ask, "Retry 1 delivery?")
	require.Contains(t, ask, "of the replay: it was down")
	require.Contains(t, p.post(t, "/console/deliveries/retry?state=dead&job="+job.ID.String()).header.Get("Location"), "job="+job.ID.String())
	require.Equal(t, http.StatusUnprocessableEntity, p.get(t, "/console/deliveries/?job=x").status)
	require.Equal(t, http.StatusNotFound, p.get(t, "/console/deliveries/?job="+uuid.NewString()).status)
	w.db.MakeTenant(t, "acme")
	stranger := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "a", Role: store.Admin, Tenant: "acme"}))
	require.Equal(t, http.StatusNotFound, stranger.get(t, all).status)
}
