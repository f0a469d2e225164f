package console_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestRolesAreHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	e := w.event(t, "e-1", 1, "package.created", "package:61", 0)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "no")))
	delivery := webhook.DeliveryID(h.ID, e.ID).String()
	job := w.replay(t, h.ID, "it was down")
	viewer := w.signIn(t, w.db.MakeToken(t, postgres.NewToken{Name: "v", Role: postgres.Viewer, Tenant: "default"}))
	editor := w.signIn(t, w.db.MakeToken(t, postgres.NewToken{Name: "e", Role: postgres.Editor, Tenant: "default"}))
	hook := "/console/hooks/" + h.ID.String() + "/"
	main := regexp.MustCompile(`(?s)<main.*</main>`)
	for _, path := range []string{
		"/console/", "/console/hooks/", hook, "/console/deliveries/" + delivery + "/", "/console/types/package.created",
		"/console/deliveries/", hook + "replay", hook + "integrate", hook + "changes", "/console/jobs/" + job.ID.String() + "/", "/console/event/explain?id=e-1",
	} {
		a := viewer.get(t, path)
		require.Equal(t, http.StatusOK, a.status, path)
		shown := main.FindString(a.text)
		for _, offer := range []string{`method="post" action="/console/h` + `ooks/` + h.ID.String(), ">Edit<", ">Delete…<", ">Send test<", ">Try all again…<", ">Count first<", "New Webhook", ">Retry now<", ">Pause<"} {
			require.NotContains(t, shown, offer, path)
		}
		require.NotContains(t, a.text, "/console/tokens/")
	}
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "/console/hooks/new"},
		{http.MethodPost, "/console/hooks/"},
		{http.MethodPost, "/console/hooks/status"},
		{http.MethodPost, "/console/hooks/check"},
		{http.MethodGet, hook + "edit"},
		{http.MethodPost, hook},
		{http.MethodPost, hook + "status"},
		{http.MethodPost, hook + "rotate"},
		{http.MethodGet, hook + "delete"},
		{http.MethodPost, hook + "delete"},
		{http.MethodGet, hook + "test"},
		{http.MethodPost, hook + "test"},
		{http.MethodPost, "/console/hooks/test"},
		{http.MethodPost, hook + "replay"},
		{http.MethodPost, "/console/jobs/" + job.ID.String() + "/"},
		{http.MethodGet, "/console/deliveries/retry"},
		{http.MethodPost, "/console/deliveries/retry"},
		{http.MethodPost, "/console/deliveries/" + delivery + "/retry"},
	} {
		a := viewer.send(t, c.method, c.path, formOf("status", "pause", "confirm", "north"))
		require.Equal(t, http.StatusForbidden, a.status, c.path)
	}
	for _, path := range []string{"/console/tokens/", "/console/audit/"} {
		require.Equal(t, http.StatusForbidden, editor.get(t, path).status, path)
	}
	require.Equal(t, http.StatusForbidden, editor.post(t, "/console/tokens/", "name", "x", "role", "admin").status)
	require.Equal(t, http.StatusOK, editor.get(t, hook+"edit").status)
}

func TestAnotherTenantsThingsAreNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "acme")
	h := w.hook(t, "north", "http://example.com/", "package.created")
	e := w.event(t, "e-1", 1, "package.created", "package:61", 0)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "no")))
	job := "/console/jobs/" + w.replay(t, h.ID, "it was down").ID.String() + "/"
	p := w.signIn(t, w.db.MakeToken(t, postgres.NewToken{Name: "a", Role: postgres.Admin, Tenant: "acme"}))
	hook, delivery := "/console/hooks/"+h.ID.String()+"/", "/console/deliveries/"+webhook.DeliveryID(h.ID, e.ID).String()+"/"
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, hook},
		{http.MethodGet, hook + "edit"},
		{http.MethodPost, hook},
		{http.MethodPost, hook + "status"},
		{http.MethodPost, hook + "rotate"},
		{http.MethodGet, hook + "delete"},
		{http.MethodPost, hook + "delete"},
		{http.MethodGet, delivery},
		{http.MethodPost, delivery + "retry"},
		{http.MethodGet, "/console/event?id=e-1"},
		{http.MethodGet, "/console/event/explain?id=e-1"},
		{http.MethodGet, hook + "test"},
		{http.MethodPost, hook + "test"},
		{http.MethodGet, hook + "replay"},
		{http.MethodPost, hook + "replay"},
		{http.MethodGet, hook + "integrate"},
		{http.MethodGet, hook + "changes"},
		{http.MethodGet, job},
		{http.MethodPost, job},
	} {
		form := whole()
		form.Set("version", "1")
		form.Set("status", "pause")
		form.Set("do", "cancel")
		a := p.send(t, c.method, c.path, form)
		require.Equal(t, http.StatusNotFound, a.status, c.path)
	}
	for _, path := range []string{"/console/hooks/", "/console/deliveries/", "/console/events/", "/console/"} {
		require.NotContains(t, p.get(t, path).text, "north", path)
		require.NotContains(t, p.get(t, path).text, "e-1", path)
	}
	require.NotContains(t, p.get(t, "/console/deliveries/?hook="+h.ID.String()).text, "e-1")
	require.Contains(t, p.get(t, "/console/deliveries/retry?wait=1&hook="+h.ID.String()).text, "Nothing to be tried again")
	p.post(t, "/console/hooks/status", "status", "pause", "all", "yes", "sure", "yes")
	p.post(t, "/console/hooks/status", "status", "pause", "hook", h.ID.String(), "sure", "yes")
	p.post(t, "/console/deliveries/retry?hook="+h.ID.String())
	stored, err := w.db.Hook(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, stored.Status)
	d, _, err := w.db.Delivery(t.Context(), "default", webhook.DeliveryID(h.ID, e.ID))
	require.NoError(t, err)
	require.Equal(t, webhook.Dead, d.State)
}
