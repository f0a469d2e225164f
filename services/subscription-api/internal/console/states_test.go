package console_test

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// TestEveryStateIsAccessible checks empty pages, pages after an action, and pages for those who lack the permission.
// Their layout is that of other pages, so the narrowest look suffices, except for screenshots.
func TestEveryStateIsAccessible(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("testdata/axe.min.js")
	require.NoError(t, err)
	far := testenv.NewReceiver(t)
	far.React(echo(http.StatusOK))
	w := newWorld(t, reaching(t, far.URL))
	w.db.MakeTenant(t, "acme")
	list := []look{{"narrow-dark", 375, 812, "dark"}}
	if *screenshots != "" {
		list = looks()
	}
	for i, look := range list {
		t.Run(look.name, func(t *testing.T) {
			t.Parallel()
			s := &states{tab: newTab(t), w: w, far: far.URL + "/" + look.name, axe: string(axe), look: look, seq: uint64(i * 10)}
			s.looks(t, look.width, look.height, look.scheme)
			s.nothingYet(t)
			s.doneTo(t)
			s.sent(t)
			s.refused(t)
			s.quiet(t, "states")
		})
	}
}

// states leads a tab through states of the console.
type states struct {
	*tab

	w        *world
	far, axe string
	look     look
	seq      uint64
}

// open opens a page and checks it.
func (s *states) open(t *testing.T, path, name string) {
	t.Helper()
	s.do(t, chromedp.Navigate(s.w.url+"/console/"+path), chromedp.WaitReady(chromedp.CSS("main h1")), chromedp.WaitNotPresent(chromedp.CSS("[data-pending]")))
	s.judge(t, s.axe, s.look.name, name, s.look.width)
}

// then performs the steps and checks the result.
func (s *states) then(t *testing.T, name string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	s.do(t, steps...)
	s.judge(t, s.axe, s.look.name, name, s.look.width)
}

// nothingYet visits the pages of a tenant without any objects.
func (s *states) nothingYet(t *testing.T) {
	t.Helper()
	s.do(t, chromedp.Navigate(s.w.url+"/console/"))
	s.then(t, "sign-in/wrong", chromedp.SendKeys(chromedp.ID("token"), "wsp_wrong\r"), chromedp.WaitVisible(chromedp.CSS(`#token[aria-invalid]`)))
	s.signIn(t, s.w, s.w.db.MakeToken(t, store.NewToken{Name: "Olga", Role: store.Admin, Tenant: "acme", ExpiresAt: time.Now().Add(3 * 24 * time.Hour)}))
	for _, path := range []string{"", "hooks/", "deliveries/", "events/", "rejected/", "erasures/", "retention/", "set-aside/"} {
		s.open(t, path, "none/"+path)
	}
	s.signOut(t)
}

// doneTo visits pages after changes.
func (s *states) doneTo(t *testing.T) {
	t.Helper()
	s.signIn(t, s.w, s.w.operator)
	h := s.w.hook(t, "Fresh "+s.look.name, s.far+"/a/rather/long/path/of/a/receiver", "package.created")
	hook := "hooks/" + h.ID.String() + "/"
	s.open(t, hook, "hook/fresh")
	s.then(t, "hook/rotated", press(chromedp.CSS(`form[action$="/rotate"] summary`)), press(chromedp.CSS(`form[action$="/rotate"] button`)), chromedp.WaitVisible(chromedp.ID("secret")))
	s.do(t, chromedp.Click(chromedp.CSS("main a.primary")), chromedp.WaitVisible(chromedp.CSS(".pill.active")))
	s.then(t, "hook/paused", press(chromedp.CSS(`button[value="pause"]`)), chromedp.WaitVisible(chromedp.CSS(".pill.paused")))
	_, err := s.w.db.Hooks.Disable(t.Context(), "worker", h.ID, nil, "All attempts failed for 5 days.")
	require.NoError(t, err)
	s.open(t, hook, "hook/disabled")
	s.then(t, "hook/resumed", press(chromedp.CSS(`button[value="resume"]`)), chromedp.WaitReady(chromedp.CSS(`[name="recover"]`)))
	s.open(t, hook+"delete", "hook/delete")
	s.then(t, "hook/delete/wrong", chromedp.SendKeys(chromedp.ID("confirm"), "wrong\r"), chromedp.WaitVisible(chromedp.CSS(`#confirm[aria-invalid]`)))
	s.then(t, "hook/deleted", chromedp.SendKeys(chromedp.ID("confirm"), h.Name+"\r"), chromedp.WaitVisible(chromedp.CSS(".notice.act button")))
	s.then(t, "hook/undeleted", press(chromedp.CSS(".notice button")), chromedp.WaitVisible(chromedp.CSS(".tabs")))
	s.open(t, "tokens/", "tokens/many")
	s.then(t, "tokens/made", chromedp.SendKeys(chromedp.ID("name"), "night shift\r"), chromedp.WaitVisible(chromedp.ID("made")))
	s.then(t, "tokens/revoke", press(chromedp.CSS("details.sure summary")), chromedp.WaitVisible(chromedp.CSS("details.sure[open] p")))
	s.do(t, chromedp.Navigate(s.w.url+"/console/retention/"))
	s.then(t, "retention/wrong", chromedp.SendKeys(chromedp.ID("event_type"), "a b"), chromedp.SendKeys(chromedp.ID("days"), "0"),
		chromedp.SendKeys(chromedp.CSS(`input[name="sure"]`), " "), press(chromedp.CSS("main form button.danger")), chromedp.WaitVisible(chromedp.CSS("#wrong-days span")))
	s.then(t, "tenants/handshake", chromedp.Navigate(s.w.url+"/console/tenants/"), press(chromedp.CSS(`form[action$="/handshake"] button`)),
		chromedp.WaitVisible(chromedp.CSS(".notice.good")))
	s.then(t, "hooks/created", chromedp.Navigate(s.w.url+"/console/hooks/new?event_type=package.created"), chromedp.SendKeys(chromedp.ID("target_url"), s.far),
		press(chromedp.CSS(".actions .primary")), chromedp.WaitVisible(chromedp.ID("secret")))
}

// sent visits pages after something was sent.
func (s *states) sent(t *testing.T) {
	t.Helper()
	h := s.w.hook(t, "Sent "+s.look.name, s.far+"/sent", "package.created")
	hook := "hooks/" + h.ID.String() + "/"
	s.then(t, "hook/tested", chromedp.Navigate(s.w.url+"/console/"+hook+"test"), press(chromedp.CSS("main form .primary")), chromedp.WaitVisible(chromedp.CSS(".notice.good")))
	e := s.w.event(t, "sent-"+s.look.name, s.seq+1, "package.created", "package:61", time.Minute)
	s.w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(503, `{"error":"busy"}`)))
	delivery := "deliveries/" + webhook.DeliveryID(h.ID, e.ID).String() + "/"
	s.open(t, delivery, "delivery/dead")
	s.open(t, hook, "hook/failing")
	s.unauthorized(t)
	s.do(t, chromedp.Navigate(s.w.url+"/console/"+delivery+"replay"))
	s.then(t, "delivery/elsewhere/wrong", chromedp.SendKeys(chromedp.ID("target_url"), "http://10.0.0.1/"), press(chromedp.CSS("main form .primary")), chromedp.WaitVisible(chromedp.CSS("#wrong-target_url span")))
	s.then(t, "delivery/elsewhere/sent", chromedp.SetValue(chromedp.ID("target_url"), s.far+"/staging"), press(chromedp.CSS("main form .primary")), chromedp.WaitVisible(chromedp.CSS(".notice.good")))
	s.open(t, "deliveries/retry?hook="+h.ID.String()+"&state=dead", "deliveries/retry")
	s.then(t, "delivery/retried", chromedp.Navigate(s.w.url+"/console/"+delivery), press(chromedp.ID("retry")), chromedp.WaitVisible(chromedp.CSS(".pill.parked")))
	s.open(t, hook+"replay", "hook/replay")
	s.then(t, "hook/replay/counted", press(chromedp.CSS(`button[value="count"]`)), chromedp.WaitVisible(chromedp.CSS(`button[value="change"]`)))
	s.then(t, "hook/new/tested", chromedp.Navigate(s.w.url+"/console/hooks/new?event_type=package.created"), chromedp.SendKeys(chromedp.ID("target_url"), s.far),
		press(chromedp.ID("send-test")), chromedp.WaitVisible(chromedp.CSS("#tried .sides")))
	s.then(t, "menu", chromedp.Navigate(s.w.url+"/console/types/"), chromedp.Evaluate[chromedp.Void](`document.querySelector(".menu").open = true`))
	for _, alert := range []string{"slack", "email"} {
		s.open(t, "hooks/new?alert="+alert, "hook/new/alert/"+alert)
	}
	s.signOut(t)
	s.signIn(t, s.w, s.w.db.MakeToken(t, store.NewToken{Name: "support", Role: store.Viewer, Tenant: "default"}))
	for _, path := range []string{hook, hook + "replay", delivery, "deliveries/", "hooks/"} {
		s.open(t, path, "viewer/"+path)
	}
}

// unauthorized visits a webhook with labels and settings whose receiver rejects its secret, and a replay to it.
func (s *states) unauthorized(t *testing.T) {
	t.Helper()
	h := s.w.hook(t, "Unauthorized "+s.look.name, s.far+"/unauthorized", "package.created")
	_, err := s.w.db.Hooks.Update(t.Context(), "test", h.Tenant, h.ID, nil, func(h *webhook.Hook) (err error) {
		h.Labels = map[string]string{"partner": "acme", "region": "eu, west"}
		h.Config, err = webhook.ParseConfig([]byte(`{"batch":{"max_events":50,"max_wait":5},"collapse":"entity","success":{"statuses":["200-299",409]},"rate_limit":{"limit":100,"period":60},"channel_id":12}`))
		return err
	})
	require.NoError(t, err)
	e := s.w.event(t, "unauthorized-"+s.look.name, s.seq+2, "package.created", "package:62", time.Minute)
	s.w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(401, "who are you?")))
	job := s.w.replay(t, h.ID, "its secret was wrong").ID.String()
	hook := "hooks/" + h.ID.String() + "/"
	for path, name := range map[string]string{
		hook: "hook/unauthorized", hook + "edit": "hook/labels", "": "overview/unauthorized", "jobs/" + job + "/": "job", "deliveries/?job=" + job: "deliveries/job",
		"deliveries/?hook=e": "deliveries/none", "deliveries/?hook=" + h.ID.String(): "deliveries/one",
	} {
		s.open(t, path, name)
	}
}

// refused visits pages that do not exist, or not for a viewer.
func (s *states) refused(t *testing.T) {
	t.Helper()
	s.open(t, "hooks/new", "refused/role")
	s.open(t, "hooks/00000000-0000-7000-8000-000000000000/", "refused/absent")
	s.open(t, "deliveries/?since=own&from=2026-02-01T00:00Z&to=2026-01-01T00:00Z", "refused/query")
}
