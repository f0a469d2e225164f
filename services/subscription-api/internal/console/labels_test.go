package console_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
)

// labelled stores hooks with labels, each with a dead delivery.
func (w *world) labelled(t *testing.T, labels ...map[string]string) []webhook.Hook {
	t.Helper()
	e := w.event(t, "e-1", 1, "package.created", "package:61", time.Minute)
	var hooks []webhook.Hook
	var facts []*whispererv1.DeliveryFact
	for i, l := range labels {
		h := w.hook(t, "shop "+string(rune('a'+i)), "http://example.com/"+string(rune('a'+i)), "package.created")
		h, err := w.db.Hooks.Update(t.Context(), "test", h.Tenant, h.ID, nil, func(h *webhook.Hook) error {
			h.Labels = l
			return nil
		})
		require.NoError(t, err)
		hooks = append(hooks, h)
		facts = append(facts, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "no")))
	}
	w.record(t, facts...)
	return hooks
}

func TestDeliveriesAreListedAndRetriedByTheLabelsOfTheirHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hooks := w.labelled(t, map[string]string{"partner": "acme"}, map[string]string{"partner": "acme", "region": "eu"}, nil)
	p := w.signIn(t, w.operator)
	for label, want := range map[string][]int{"": {0, 1, 2}, "partner=acme": {0, 1}, "region": {1}, "partner=acme,region=eu": {1}, "partner=other": nil} {
		page := p.get(t, "/console/deliveries/?label="+label).text
		for i := range hooks {
			shown := strings.Contains(page, "/console/deliveries/"+webhook.DeliveryID(hooks[i].ID, "e-1").String()+"/")
			require.Equal(t, slices.Contains(want, i), shown, "%s: %d", label, i)
			require.Equal(t, slices.Contains(want, i), strings.Contains(page, `<option value="`+hooks[i].Name+`"`), "the list can be narrowed to what it shows")
		}
	}
	a := p.get(t, "/console/deliveries/?label=%3D")
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.text, "The label")
	ask := p.get(t, "/console/deliveries/retry?label=partner%3Dacme&wait=1").text
	require.Contains(t, ask, "Retry 2 deliveries?")
	require.Contains(t, ask, "to webhooks with the label partner=acme")
	require.Contains(t, p.post(t, "/console/deliveries/retry?label=partner%3Dacme").header.Get("Location"), "n=2")
	d, _, err := w.db.History.GetDelivery(t.Context(), "default", webhook.DeliveryID(hooks[2].ID, "e-1"))
	require.NoError(t, err)
	require.Equal(t, webhook.Dead, d.State)
}

func TestManyHooksAreReplayedByLabelAndCountedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hooks := w.labelled(t, map[string]string{"partner": "acme"}, map[string]string{"partner": "acme"}, map[string]string{"partner": "acme"}, nil)
	_, err := w.db.Hooks.Disable(t.Context(), "test", hooks[2].ID, nil, "gone")
	require.NoError(t, err)
	p := w.signIn(t, w.operator)
	choice := []string{"all", "yes", "label", "partner=acme", "next", "/console/hooks/?label=partner%3Dacme"}
	page := p.post(t, "/console/hooks/replay", choice...)
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, page.text, "Replay all webhooks that match")
	choice = append(choice, "span", "24h", "rate", "5", "state", "dead")
	page = p.post(t, "/console/hooks/replay", append(choice, "step", "count")...)
	require.Contains(t, page.text, "2 deliveries of 2 webhooks to send")
	require.Contains(t, page.text, "shop c</a>: The webhook is disabled")
	jobs, _, err := w.db.Jobs.List(t.Context(), "default", hooks[0].ID, store.Page{Limit: 2})
	require.NoError(t, err)
	require.Empty(t, jobs, "nothing is sent before it was counted")
	page = p.post(t, "/console/hooks/replay", append(choice, "step", "begin")...)
	require.Equal(t, http.StatusUnprocessableEntity, page.status)
	require.Contains(t, page.text, `aria-invalid="true"`)
	page = p.post(t, "/console/hooks/replay", append(choice, "step", "begin", "reason", "they were down")...)
	require.Equal(t, "/console/hooks/?label=partner%3Dacme&done=replaying-some&n=2", page.header.Get("Location"))
	for i, want := range []int{1, 1, 0, 0} {
		jobs, _, err := w.db.Jobs.List(t.Context(), "default", hooks[i].ID, store.Page{Limit: 2})
		require.NoError(t, err)
		require.Len(t, jobs, want, hooks[i].Name)
	}
	for _, wrong := range [][]string{{"state", "x"}, {"span", "1y"}, {"rate", "0"}} {
		require.Equal(t, http.StatusUnprocessableEntity, p.post(t, "/console/hooks/replay", append([]string{"hook", hooks[0].ID.String(), "step", "count"}, wrong...)...).status)
	}
	require.Contains(t, p.post(t, "/console/hooks/replay", "next", "/console/hooks/").header.Get("Location"), "none-ticked")
	require.Equal(t, http.StatusBadRequest, p.post(t, "/console/hooks/replay", "hook", "x").status)
	viewer := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "v", Role: store.Viewer, Tenant: "default"}))
	require.Equal(t, http.StatusForbidden, viewer.post(t, "/console/hooks/replay", choice...).status)
}

func TestTheFormHasFieldsForWhatCountsAsDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	form := func(fields ...string) []string {
		return append([]string{"name", "north", "target_url", "http://example.com/", "event_type", "package.created", "secret_mode", "none", "choice", "default"}, fields...)
	}
	for _, c := range []struct{ statuses, condition, id, text string }{
		{"700", "", "success", "must be a list of HTTP statuses"}, {"ok", "", "success", "must be a list of HTTP statuses"}, {"", "response.", "success_condition", ""},
	} {
		a := p.post(t, "/console/hooks/", form("success", c.statuses, "success_condition", c.condition)...)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, c)
		require.Regexp(t, `id="wrong-`+c.id+`"[^>]*><span>[^<]*`+c.text, a.text)
		require.Contains(t, a.text, `name="success" value="`+c.statuses+`"`, "what is typed stays")
	}
	a := p.post(t, "/console/hooks/", form("success", "200-299, 409", "success_condition", "response.body.ok == true")...)
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	hooks, _, err := w.db.Hooks.List(t.Context(), "default", store.HookFilter{}, store.Page{Limit: 2})
	require.NoError(t, err)
	require.JSONEq(t, `{"success":{"statuses":["200-299",409],"condition":"response.body.ok == true"}}`, string(hooks[0].Config.Raw))
	edit := p.get(t, "/console/hooks/"+hooks[0].ID.String()+"/edit").text
	require.Contains(t, edit, `name="success" value="200-299, 409"`)
	require.Contains(t, edit, `name="success_condition" value="response.body.ok == true"`)
}

func TestAnOperatorSetsTheHandshakePolicyOfATenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *console.Deps) { d.Cases.PublicURL = "https://hooks.example.com" })
	w.db.MakeTenant(t, "acme")
	p := w.signIn(t, w.operator)
	policy := func() webhook.Handshake {
		set, err := w.db.Access.HandshakePolicy(t.Context(), "acme")
		require.NoError(t, err)
		return set
	}
	require.Contains(t, p.get(t, "/console/tenants/").text, `aria-label="Handshake of acme"`)
	for _, set := range []webhook.Handshake{webhook.HandshakeAlways, webhook.HandshakeNewHosts, webhook.HandshakeOff} {
		a := p.post(t, "/console/tenants/handshake", "tenant", "acme", "handshake", string(set))
		require.Equal(t, "/console/tenants/?done=handshake", a.header.Get("Location"))
		require.Equal(t, set, policy())
		require.Regexp(t, `(?s)Handshake of acme.*?value="`+string(set)+`" selected`, p.get(t, "/console/tenants/?done=handshake").text)
	}
	require.Equal(t, http.StatusNotFound, p.post(t, "/console/tenants/handshake", "tenant", "nobody", "handshake", "always").status)
	for _, other := range []store.NewToken{{Name: "admin", Role: store.Admin, Tenant: "acme"}, {Name: "reader", Role: store.Viewer}} {
		q := w.signIn(t, w.db.MakeToken(t, other))
		require.Equal(t, http.StatusForbidden, q.post(t, "/console/tenants/handshake", "tenant", "acme", "handshake", "always").status)
		require.NotContains(t, q.get(t, "/console/tenants/").text, `aria-label="Handshake of acme"`)
	}
	require.Equal(t, webhook.HandshakeOff, policy())

	alone := newWorld(t)
	q := alone.signIn(t, alone.operator)
	a := q.post(t, "/console/tenants/handshake", "tenant", "default", "handshake", "always")
	require.Equal(t, "/console/tenants/?done=no-public-url", a.header.Get("Location"))
	require.Contains(t, q.get(t, a.header.Get("Location")).text, "set WHISPERER_PUBLIC_URL first")
}
