package console_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// trouble is a hook with a dead delivery and a job that replays it, and the pages of all three.
type trouble struct {
	hookID, deliveryID  uuid.UUID
	hook, delivery, job string
}

// trouble creates one. The event's id is only-e-1, a text that no page contains by chance.
func (w *world) trouble(t *testing.T) trouble {
	h := w.hook(t, "north", "http://example.com/", "package.created")
	e := w.event(t, "only-e-1", 1, "package.created", "package:61", 0)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "no")))
	dead := webhook.DeliveryID(h.ID, e.ID)
	return trouble{
		hookID: h.ID, deliveryID: dead, hook: "/console/hooks/" + h.ID.String() + "/", delivery: "/console/deliveries/" + dead.String() + "/",
		job: "/console/jobs/" + w.replay(t, h.ID, "it was down").ID.String() + "/",
	}
}

// route is a request to make.
type route struct{ method, path string }

// changing returns the routes that change the three objects.
func (x trouble) changing() []route {
	return []route{
		{http.MethodGet, x.hook + "edit"},
		{http.MethodPost, x.hook},
		{http.MethodPost, x.hook + "status"},
		{http.MethodPost, x.hook + "rotate"},
		{http.MethodGet, x.hook + "delete"},
		{http.MethodPost, x.hook + "delete"},
		{http.MethodGet, x.hook + "test"},
		{http.MethodPost, x.hook + "test"},
		{http.MethodPost, x.hook + "replay"},
		{http.MethodPost, x.job},
		{http.MethodPost, x.delivery + "retry"},
	}
}

func TestRolesAreHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	its := w.trouble(t)
	viewer := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "v", Role: store.Viewer, Tenant: "default"}))
	editor := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "e", Role: store.Editor, Tenant: "default"}))
	main := regexp.MustCompile(`(?s)<main.*</main>`)
	for _, path := range []string{
		"/console/", "/console/hooks/", its.hook, its.delivery, "/console/types/package.created",
		"/console/deliveries/", its.hook + "replay", its.hook + "integrate", its.hook + "changes", its.job, "/console/event/explain?id=only-e-1",
	} {
		a := viewer.get(t, path)
		require.Equal(t, http.StatusOK, a.status, path)
		shown := main.FindString(a.text)
		for _, offer := range []string{`method="post" action="` + its.hook, ">Edit<", ">Delete…<", ">Send test<", ">Retry all matching…<", ">Count first<", "New Webhook", ">Retry now<", ">Pause<"} {
			require.NotContains(t, shown, offer, path)
		}
		require.NotContains(t, a.text, "/console/tokens/")
	}
	for _, c := range append(its.changing(), []route{
		{http.MethodGet, "/console/hooks/new"},
		{http.MethodPost, "/console/hooks/"},
		{http.MethodPost, "/console/hooks/status"},
		{http.MethodPost, "/console/hooks/check"},
		{http.MethodPost, "/console/hooks/test"},
		{http.MethodGet, "/console/deliveries/retry"},
		{http.MethodPost, "/console/deliveries/retry"},
	}...) {
		a := viewer.send(t, c.method, c.path, formOf("status", "pause", "confirm", "north"))
		require.Equal(t, http.StatusForbidden, a.status, c.path)
	}
	for _, path := range []string{"/console/tokens/", "/console/audit/", erasuresURL, erasuresURL + uuid.NewString() + "/", erasuresURL + uuid.NewString() + "/certificate", retentionURL} {
		require.Equal(t, http.StatusForbidden, editor.get(t, path).status, path)
	}
	for _, path := range []string{erasuresURL, erasuresURL + uuid.NewString() + "/cancel", retentionURL, retentionURL + "remove"} {
		require.Equal(t, http.StatusForbidden, editor.post(t, path, "by", "entity", "entity", "package:61", "reason", "no", "step", "begin").status, path)
	}
	for _, p := range []*person{viewer, editor} {
		require.NotRegexp(t, "/console/(erasures|retention)/", p.get(t, "/console/").text)
	}
	require.Equal(t, http.StatusForbidden, editor.post(t, "/console/tokens/", "name", "x", "role", "admin").status)
	require.Equal(t, http.StatusOK, editor.get(t, its.hook+"edit").status)
}

func TestAnotherTenantsThingsAreNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "acme")
	its := w.trouble(t)
	p := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "a", Role: store.Admin, Tenant: "acme"}))
	for _, c := range append(its.changing(), []route{
		{http.MethodGet, its.hook},
		{http.MethodGet, its.delivery},
		{http.MethodGet, "/console/event?id=only-e-1"},
		{http.MethodGet, "/console/event/explain?id=only-e-1"},
		{http.MethodGet, its.hook + "replay"},
		{http.MethodGet, its.hook + "integrate"},
		{http.MethodGet, its.hook + "changes"},
		{http.MethodGet, its.job},
	}...) {
		form := whole()
		form.Set("version", "1")
		form.Set("status", "pause")
		form.Set("do", "cancel")
		a := p.send(t, c.method, c.path, form)
		require.Equal(t, http.StatusNotFound, a.status, c.path)
	}
	for _, path := range []string{"/console/hooks/", "/console/deliveries/", "/console/events/", "/console/"} {
		require.NotContains(t, p.get(t, path).text, "north", path)
		require.NotContains(t, p.get(t, path).text, "only-e-1", path)
	}
	require.NotContains(t, p.get(t, "/console/deliveries/?hook="+its.hookID.String()).text, "only-e-1")
	require.Contains(t, p.get(t, "/console/deliveries/retry?wait=1&hook="+its.hookID.String()).text, "Nothing to retry")
	p.post(t, "/console/hooks/status", "status", "pause", "all", "yes", "sure", "yes")
	p.post(t, "/console/hooks/status", "status", "pause", "hook", its.hookID.String(), "sure", "yes")
	p.post(t, "/console/deliveries/retry?hook="+its.hookID.String())
	stored, err := w.db.Hooks.Get(t.Context(), "default", its.hookID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, stored.Status)
	d, _, err := w.db.History.GetDelivery(t.Context(), "default", its.deliveryID)
	require.NoError(t, err)
	require.Equal(t, webhook.Dead, d.State)
}
