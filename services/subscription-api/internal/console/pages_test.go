package console_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// story fills a world with one object of each kind, and returns the paths of all pages.
func story(t *testing.T, w *world) []string {
	t.Helper()
	north := w.hook(t, "North shop", "http://example.com/north", "package.>", "order.created", "shipment.created", "transfer.>")
	south := w.hook(t, "South shop", "http://example.com/south?key=hidden", "package.created")
	w.hook(t, "", "http://example.com/nameless", "*")
	_, err := w.db.Hooks.Disable(t.Context(), "test", w.hook(t, "Old ERP", "http://example.com/old", "order.>").ID, nil, "The receiver answered 410 Gone.")
	require.NoError(t, err)
	_, err = w.db.Hooks.Update(t.Context(), "test", "default", w.hook(t, "Warehouse", "http://example.com/wms", "transfer.>").ID, nil, func(h *webhook.Hook) error {
		h.Status = webhook.Paused
		return nil
	})
	require.NoError(t, err)
	var last webhook.Event
	for i := range 120 {
		e := w.event(t, fmt.Sprintf("e-%03d", i), uint64(i+1), "package.created", fmt.Sprintf("package:%d", i), time.Duration(i*i%59)*time.Minute+time.Duration(i)*time.Second)
		w.record(t, fact(north.ID, &e, webhook.Delivered, "", answered(200, `{"ok":true}`)))
		switch {
		case i%10 == 0:
			w.record(t, fact(south.ID, &e, webhook.Waiting, webhook.ReasonFailed, unanswered(webhook.ClassDNS, "There is no such host.")))
			last = e
		case i%25 == 3:
			w.record(t, fact(south.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(503, "<h1>Down</h1>")))
		}
	}
	for i := range 60 { // the hours before
		e := w.event(t, fmt.Sprintf("h-%d", i), uint64(200+i), "order.created", fmt.Sprintf("order:%d", 1000+i), time.Duration(2+(i*i)%21)*time.Hour)
		w.record(t, fact(north.ID, &e, webhook.Delivered, "", answered(204, "")))
	}
	off := w.event(t, "off", 400, "shipment.created", "shipment:9", time.Second,
		webhook.FieldError{Pointer: "/id", Detail: "must be a string, and is a number"}, webhook.FieldError{Detail: "must have the property \"carrier\""})
	w.record(t, fact(north.ID, &off, webhook.Delivered, "", answered(200, "")))
	w.reject(t, 9, "package.created", "unreadable", "The body is no JSON.", time.Minute)
	w.reject(t, 10, "order.created", "bad_field", "event_time is no time.", time.Hour)
	w.reject(t, 11, "order.paid", "unreadable", "The body is no JSON.", 3*time.Hour)
	w.db.MakeTenant(t, "acme")
	w.db.MakeToken(t, store.NewToken{Name: "warehouse script", Role: store.Editor, Tenant: "default"})
	job := w.replay(t, south.ID, "it was down")
	w.setAside(t, 3)
	erased := w.erased(t, north.ID)
	running, err := w.db.Erasures.Create(t.Context(), "test", store.NewErasure{
		Tenant: webhook.DefaultTenant, Kind: store.ErasePath, Criteria: []string{"$.nothing"}, Reason: "request 4712",
		Range: store.TimeRange{From: time.Now().Add(-time.Hour), To: time.Now()},
	})
	require.NoError(t, err)
	require.NoError(t, w.db.Retention.Set(t.Context(), "test", webhook.DefaultTenant, "customer.>", 7, 10))
	deleted := w.hook(t, "Black Friday sync", "http://example.com/bf", "order.created")
	require.NoError(t, w.db.Hooks.DeleteSoon(t.Context(), "test", deleted.Tenant, deleted.ID))
	_, err = testenv.Plain(t, w.db.URL).ExecContext(t.Context(), `UPDATE hooks SET deleted_at = now() + interval '1 hour' WHERE deleted_at IS NOT NULL`)
	require.NoError(t, err)
	hook := "hooks/" + south.ID.String() + "/"
	return []string{
		"hooks/?deleted=" + deleted.ID.String(),
		hook + "test", hook + "replay", hook + "replay?recover=yes", hook + "integrate", hook + "changes", "jobs/" + job.ID.String() + "/",
		"event/explain?id=" + last.ID, "deliveries/retry?state=dead", "hooks/?sort=failing",
		"", "hooks/", "hooks/?search=nothing", "hooks/new", "hooks/" + south.ID.String() + "/", "hooks/" + south.ID.String() + "/edit",
		"hooks/" + north.ID.String() + "/delete", "deliveries/", "deliveries/?state=dead", "deliveries/" + webhook.DeliveryID(south.ID, last.ID).String() + "/",
		"deliveries/" + webhook.DeliveryID(north.ID, last.ID).String() + "/", "deliveries/" + webhook.DeliveryID(south.ID, last.ID).String() + "/replay", "events/", "event?id=" + last.ID, "event?id=off", "rejected/", "rejected/?subject=none", "types/",
		"types/package.created", "types/hook.failing", "tokens/", "signing-keys/", "audit/", "tenants/", "system/", "set-aside/", "set-aside/?after=99", "audit/?kind=installation", "nowhere",
		"search", "search?q=package", "search?q=e-010", "search?q=nothing", "event/explain", "deliveries/?event=nobody",
		"erasures/", "erasures/" + erased.ID.String() + "/", "erasures/" + running.ID.String() + "/", "retention/",
		"event?id=erased", "deliveries/" + webhook.DeliveryID(north.ID, "erased").String() + "/",
		"deliveries/?since=own&from=2026-01-01T00:00Z",
	}
}

func TestEveryPageIsServedAndItsLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := story(t, w)
	p := w.signIn(t, w.operator)
	link := regexp.MustCompile(`href="([^"#]+)"`)
	done := map[string]bool{}
	from := map[string]string{}
	for i, path := range open {
		open[i] = "/console/" + path
	}
	sizes := map[string]int{}
	for len(open) > 0 && len(done) < 150 {
		path := open[0]
		open = open[1:]
		if done[path] {
			continue
		}
		done[path] = true
		a := p.get(t, path)
		if path == "/console/nowhere" {
			require.Equal(t, http.StatusNotFound, a.status)
			require.Contains(t, a.text, "There is no such thing here")
			continue
		}
		require.Equal(t, http.StatusOK, a.status, "%s, linked from %s: %s", path, from[path], a.text)
		require.NotContains(t, a.text, "canary-secret-of-a-hook", path)
		require.NotContains(t, a.text, "ZgotmplZ", path)
		require.NotRegexp(t, `<[^>]* style=|<style|<script>| on[a-z]+="`, a.text, path)
		if !strings.Contains(path, "/static/") {
			sizes[path] = len(a.text)
			require.Less(t, len(a.text), 100<<10, path)
		}
		base, err := url.Parse("http://x" + path)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(a.text, -1) {
			to, err := base.Parse(unescape(m[1]))
			require.NoError(t, err)
			if strings.HasPrefix(to.Path, "/console/") {
				open = append(open, to.RequestURI())
				from[to.RequestURI()] = path
			} else {
				require.Equal(t, "/whisperer/docs", to.Path, path)
			}
		}
	}
	for path, size := range sizes {
		t.Logf("%6d bytes %s", size, path)
	}
}

func TestTheOverviewSaysWhatIsWrongInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	require.Contains(t, p.get(t, "/console/").text, "No webhooks yet")
	story(t, w)
	page := p.get(t, "/console/?wait=1").text
	require.Contains(t, page, "DNS name not found")
	require.Contains(t, page, "The receiver answered 410 Gone.")
	require.NotContains(t, page, "<dt></dt>", "each consumer has its words")
	require.Regexp(t, `1,234</strong><br><span[^>]*>and 2 in flight`, page)
	require.Regexp(t, `(?s)Waiting for a retry</dt><dd><a[^>]*>12<`, page)
	require.Regexp(t, `(?s)Dead, last 24 h</dt><dd><a[^>]*>5<`, page)
	require.Contains(t, page, `class="bar-delivered"`)

	alone := newWorld(t, func(d *console.Deps) { d.Bus = someBus{} })
	require.Contains(t, alone.signIn(t, alone.operator).get(t, "/console/").text, "NATS does not answer")
}

func TestADeliveryIsShownAttemptByAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	e := w.event(t, "e 1/?&", 1, "package.created", "package:61", time.Minute)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "<script>window.__pwned=1</script>")))
	p := w.signIn(t, w.operator)
	path := "/console/deliveries/" + webhook.DeliveryID(h.ID, e.ID).String() + "/"
	a := p.get(t, path)
	require.Contains(t, a.text, "500 Internal Server Error")
	require.Contains(t, a.text, "no retries left")
	require.Contains(t, a.text, "&lt;script&gt;window.__pwned=1&lt;/script&gt;")
	require.Contains(t, a.text, "Webhook-Timestamp: 1790000000")
	require.Contains(t, a.text, "first byte 80 ms")
	require.Contains(t, unescape(a.text), "curl -i -X POST 'http://")
	require.Contains(t, unescape(a.text), "--data-binary '{")
	require.Contains(t, a.text, "The body is not the one that was sent", "the facts of this test have another size")
	event := p.get(t, "/console/event?id="+url.QueryEscape(e.ID))
	require.Equal(t, http.StatusOK, event.status)
	require.Contains(t, unescape(event.text), `<b>bold</b>`)
	require.NotContains(t, event.text, `<b>bold</b>`)

	require.Equal(t, path+"?done=retried", p.post(t, path+"retry").header.Get("Location"))
	d, _, err := w.db.History.GetDelivery(t.Context(), "default", webhook.DeliveryID(h.ID, e.ID))
	require.NoError(t, err)
	require.Equal(t, webhook.Parked, d.State)
	require.Contains(t, p.get(t, path).text, "a person requested it again")

	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", "default", h.ID, nil))
	a = p.post(t, path+"retry")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.text, "Its hook has been deleted.")
	require.Equal(t, http.StatusNotFound, p.get(t, "/console/deliveries/"+uuid.NewString()+"/").status)
}

func TestDeliveriesAreFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	story(t, w)
	p := w.signIn(t, w.operator)
	rows := func(query string) int {
		a := p.get(t, "/console/deliveries/?"+query)
		require.Equal(t, http.StatusOK, a.status, query)
		return strings.Count(a.text, `<td class="main">`)
	}
	require.Equal(t, 50, rows(""))
	require.Equal(t, 12, rows("state=waiting"))
	require.Equal(t, 17, rows("state=waiting,parked,dead"))
	require.Equal(t, 5, rows("status=5xx"))
	require.Equal(t, 12, rows("status=none"))
	require.Equal(t, 2, rows("event=e-010"))
	require.Equal(t, 2, rows("entity=package:10"))
	require.Equal(t, 0, rows("event_type=product.>"))
	require.Equal(t, 50, rows("event_type=package-created"))
	require.Equal(t, 0, rows("hook="+uuid.NewString()))
	require.Equal(t, 50, rows("state=nonsense&since=1h"))
	require.Equal(t, http.StatusUnprocessableEntity, p.get(t, "/console/deliveries/?event_type=a..b").status)
	require.Equal(t, http.StatusUnprocessableEntity, p.get(t, "/console/deliveries/?hook=x").status)
	require.Equal(t, http.StatusBadRequest, p.get(t, "/console/deliveries/?event=%00").status)
	require.Equal(t, http.StatusBadRequest, p.get(t, "/console/hooks/?search=%ff").status)
}

// TestEventsAreFiltered also checks the display of schema violations.
func TestEventsAreFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	story(t, w)
	p := w.signIn(t, w.operator)
	for query, rows := range map[string]int{
		"schema=off": 1, "schema=off&event_type=package.*": 0, "entity=package:10": 1, "event_type=order.created&since=1h": 0, "": 50,
	} {
		require.Equal(t, rows, strings.Count(p.get(t, "/console/events/?"+query).text, `<td class="main">`), query)
	}
	require.Equal(t, 1, strings.Count(p.get(t, "/console/events/").text, `title="/id must be a string, and is a number; must have`))
	event := p.get(t, "/console/event?id=off").text
	require.Contains(t, event, "<code>/id</code>: must be a string, and is a number")
	require.Contains(t, event, `the whole document: must have the property &#34;carrier&#34;`)
	require.NotContains(t, p.get(t, "/console/event?id=e-010").text, "does not accept")
}

func TestRejectedEventsAreFiltered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	story(t, w)
	p := w.signIn(t, w.operator)
	for query, rows := range map[string]int{
		"": 3, "reason=unreadable": 2, "reason=bad_field": 1, "reason=unreadable&since=1h": 1, "subject=ORDER": 2, "subject=oms.default.order.paid": 1,
		"reason=unreadable&subject=order": 1, "reason=poison": 0, "subject=%25": 0,
	} {
		require.Equal(t, rows, strings.Count(p.get(t, "/console/rejected/?"+query).text, `<section class="card">`), query)
	}
	none := p.get(t, "/console/rejected/?reason=poison&subject=%3Cb%3E").text
	require.Contains(t, none, "No rejected events match.")
	require.Contains(t, none, `<option value="poison" selected>`)
	require.Contains(t, none, `value="&lt;b&gt;"`, "the form says what is asked for")
	require.Contains(t, p.get(t, "/console/rejected/?reason=bad_field").text, "It has a bad field")
	for seq := range uint64(60) {
		w.reject(t, 100+seq, "many.came", "too_large", "It is too large.", time.Minute)
	}
	first := p.get(t, "/console/rejected/?subject=many").text
	older := regexp.MustCompile(`href="(\?[^"]*older=[^"]*)"`).FindStringSubmatch(first)
	require.Len(t, older, 2)
	require.Equal(t, 10, strings.Count(p.get(t, "/console/rejected/"+unescape(older[1])).text, `<section class="card">`), "the filter goes on with the pages")
}

func TestTokensAreMadeAndRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	require.Contains(t, p.get(t, "/console/tokens/").text, `(operator)</span> <span class="quiet">(yours)`)
	a := p.post(t, "/console/tokens/", "name", "", "role", "owner")
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.text, "This must have 1 to 255 bytes.")
	a = p.post(t, "/console/tokens/", "name", "script", "role", "editor", "expires", "30")
	plain := regexp.MustCompile(`wsp_[A-Z0-9]+`).FindString(a.text)
	token, err := w.db.Access.Authenticate(t.Context(), plain)
	require.NoError(t, err)
	require.Equal(t, store.Editor, token.Role)
	require.Equal(t, "default", token.Tenant)
	require.WithinDuration(t, time.Now().Add(30*24*time.Hour), token.ExpiresAt, time.Minute)
	require.NotContains(t, p.get(t, "/console/tokens/").text, plain)
	require.Equal(t, http.StatusSeeOther, p.post(t, "/console/tokens/"+token.ID.String()+"/revoke").status)
	_, err = w.db.Access.Authenticate(t.Context(), plain)
	require.ErrorIs(t, err, webhook.ErrNotFound)
	require.Equal(t, http.StatusNotFound, p.post(t, "/console/tokens/"+uuid.NewString()+"/revoke").status)
	require.Contains(t, p.get(t, "/console/audit/").text, "token revoked")

	h := w.hook(t, "north", "http://example.com/", "package.created")
	require.Contains(t, p.get(t, "/console/audit/").text, "/console/hooks/"+h.ID.String()+"/")
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", "default", h.ID, nil))
	page := p.get(t, "/console/audit/").text
	require.Contains(t, page, "webhook deleted")
	require.NotContains(t, page, "/console/hooks/"+h.ID.String()+"/", "there is nothing to see any more")
}

func TestOperatorsManageTheirTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "acme")
	p := w.signIn(t, w.operator)
	made := func(p *person, name string) store.Token {
		a := p.post(t, "/console/tokens/", "name", name, "role", "viewer", "operator", "1")
		token, err := w.db.Access.Authenticate(t.Context(), regexp.MustCompile(`wsp_[A-Z0-9]+`).FindString(a.text))
		require.NoError(t, err)
		return token
	}
	token := made(p, "night shift")
	require.Empty(t, token.Tenant)
	require.Contains(t, p.get(t, "/console/tokens/").text, `night shift <span class="quiet">(operator)`)
	plain := w.db.MakeToken(t, store.NewToken{Name: "acme admin", Role: store.Admin, Tenant: "acme", ExpiresAt: time.Now().Add(5 * 24 * time.Hour)})
	require.NotContains(t, p.get(t, "/console/tokens/").text, "acme admin", "it is of another tenant")
	require.NotContains(t, p.get(t, "/console/").text, "Your token expires")

	tenants := w.signIn(t, plain)
	require.Contains(t, tenants.get(t, "/console/").text, "Your token expires")
	page := tenants.get(t, "/console/tokens/").text
	require.Contains(t, page, "expires soon")
	require.NotContains(t, page, "night shift")
	require.NotContains(t, page, `name="operator"`)
	require.Equal(t, "acme", made(tenants, "sly").Tenant, "a tenant's admin makes no operator's tokens")
	require.Equal(t, http.StatusNotFound, tenants.post(t, "/console/tokens/"+token.ID.String()+"/revoke").status)
	require.Equal(t, http.StatusSeeOther, p.post(t, "/console/tokens/"+token.ID.String()+"/revoke").status)
	require.Contains(t, p.get(t, "/console/tokens/").text, "revoked")
}

func TestAPauseHasAnEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	path := "/console/hooks/" + h.ID.String()
	pause := func(fields ...string) time.Time {
		require.Equal(t, http.StatusSeeOther, p.post(t, path+"/status", append([]string{"status", "pause"}, fields...)...).status)
		h, err := w.db.Hooks.Get(t.Context(), h.Tenant, h.ID)
		require.NoError(t, err)
		return h.PausedUntil
	}
	for _, wrong := range [][]string{{"until", "own"}, {"until", "own", "until_time", "2001-01-01T00:00"}, {"until", "x"}} {
		require.Zero(t, pause(wrong...))
		require.NotContains(t, p.get(t, path+"/").text, "<strong>Paused")
	}
	require.WithinDuration(t, time.Now().Add(4*time.Hour), pause("until", "4h"), time.Minute)
	require.Contains(t, p.get(t, path+"/").text, "<strong>Paused until <time")
	tomorrow := pause("until", "tomorrow", "zone", "-120").In(time.FixedZone("", 2*60*60))
	require.Equal(t, "08:00", tomorrow.Format("15:04"))
	require.WithinRange(t, tomorrow, time.Now().Add(8*time.Hour), time.Now().Add(32*time.Hour))
	own := time.Now().Add(time.Hour).UTC().Truncate(time.Minute)
	require.Equal(t, own, pause("until", "own", "until_time", own.Format("2006-01-02T15:04")))
	require.Zero(t, pause())
	require.Contains(t, p.get(t, path+"/").text, "<strong>Paused:")
}

func TestTheAuditLogIsNarrowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "Olga", Role: store.Admin, Tenant: "default"}))
	h := w.hook(t, "north", "http://example.com/", "package.created") // the actor is the program "test"
	require.Equal(t, http.StatusSeeOther, p.post(t, "/console/hooks/"+h.ID.String()+"/status", "status", "pause").status)
	for query, found := range map[string][2]bool{ // created, paused
		"":                                   {true, true},
		"actor=Olga":                         {false, true},
		"actor=test":                         {true, false},
		"actor=olga":                         {false, false},
		"subject=" + h.ID.String():           {true, true},
		"subject=" + uuid.NewString():        {false, false},
		"kind=hook&actor=Olga&since=1h":      {false, true},
		"since=week":                         {true, true},
		"since=yesterday":                    {false, false},
		"since=own&from=2026-01-01T00%3A00":  {true, true},
		"since=own&to=2026-01-01T00%3A00":    {false, false},
		"kind=token&actor=Olga&subject=none": {false, false},
	} {
		page := p.get(t, "/console/audit/?"+query)
		require.Equal(t, http.StatusOK, page.status, query)
		require.Equal(t, [2]bool{strings.Contains(page.text, "webhook created"), strings.Contains(page.text, "webhook paused")}, found, query)
		file := p.get(t, "/console/audit/export?"+query)
		require.Equal(t, http.StatusOK, file.status, query)
		require.Equal(t, [2]bool{strings.Contains(file.text, "hook.created"), strings.Contains(file.text, "hook.paused")}, found, query)
	}
	for _, query := range []string{"since=own&from=soon", "since=own&from=2026-02-01T00%3A00&to=2026-01-01T00%3A00", "actor=" + strings.Repeat("a", 256)} {
		require.Equal(t, http.StatusUnprocessableEntity, p.get(t, "/console/audit/?"+query).status, query)
		require.Equal(t, http.StatusBadRequest, p.get(t, "/console/audit/export?"+query).status, query)
	}
}

// busy returns a store with a single database connection, which is in use until the test ends.
func (w *world) busy(t *testing.T) *store.DB {
	t.Helper()
	one, err := store.Open(w.db.URL, 1, w.db.Ring)
	require.NoError(t, err)
	w.event(t, "busy", 1, "package.created", "", time.Second)
	inUse, release := make(chan struct{}), make(chan struct{})
	var user sync.WaitGroup
	user.Go(func() {
		_, err := one.History.ScanEvents(context.WithoutCancel(t.Context()), webhook.DefaultTenant, store.EventFilter{}, 1, func(*webhook.Event) {
			close(inUse)
			<-release
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		close(release)
		user.Wait()
		require.NoError(t, one.Close())
	})
	<-inUse
	return one
}

func TestPagesDoWithoutCountsThatTakeTooLong(t *testing.T) {
	t.Parallel()
	var cases *usecase.Service
	w := newWorld(t, func(d *console.Deps) { cases = d.Cases })
	cases.Stats = w.busy(t).History
	p := w.signIn(t, w.operator)
	require.NotContains(t, p.get(t, "/console/hooks/").text, `hx-select="#counts"`, "there is nothing to count and no place to show it")
	h := w.hook(t, "north", "http://example.com/", "package.created")
	for path, says := range map[string]string{
		"/console/": "Counting…", "/console/hooks/": "counting", "/console/hooks/" + h.ID.String() + "/": "Counting…",
	} {
		a := p.get(t, path)
		require.Equal(t, http.StatusOK, a.status, path)
		require.Contains(t, a.text, says, path)
		require.Contains(t, a.text, `hx-select="#counts"`, "the page asks again by itself")
	}
	a := p.get(t, "/console/?wait=1")
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.text, "There are too many to count now")
	require.NotContains(t, a.text, `hx-select="#counts"`)
}

func TestFilesOfPagesAreKeptByBrowsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &person{w: w}
	page := p.get(t, "/console/sign-in").text
	files := regexp.MustCompile(`/console/static/[a-z.]+\?v=[0-9a-f]{12}`).FindAllString(page, -1)
	require.Len(t, files, 6)
	for _, file := range files {
		plain := p.send(t, http.MethodGet, file, nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "identity") })
		require.Equal(t, http.StatusOK, plain.status, file)
		require.Contains(t, plain.header.Get("Cache-Control"), "immutable", file)
		require.Empty(t, plain.header.Get("Content-Encoding"), file)
		zipped := p.send(t, http.MethodGet, file, nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
		require.Equal(t, "gzip", zipped.header.Get("Content-Encoding"), file)
		require.Less(t, len(zipped.text), len(plain.text), file)
		r, err := gzip.NewReader(strings.NewReader(zipped.text))
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, plain.text, string(text), file)
	}
	require.Equal(t, "no-cache", p.get(t, "/console/static/app.js?v=old").header.Get("Cache-Control"))
	require.Equal(t, http.StatusNotFound, p.get(t, "/console/static/htmx.LICENSE.txt").status)
}
