package console_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
)

const asidePage = "/console/set-aside/"

// mended makes the database accept what it rejected.
func (w *world) mended(t *testing.T) {
	t.Helper()
	_, err := testenv.Plain(t, w.db.URL).ExecContext(t.Context(), `ALTER TABLE events DROP CONSTRAINT events_tenant_check`)
	require.NoError(t, err)
}

func TestWhatIsSetAsideIsShownAndPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	require.Contains(t, p.get(t, asidePage).text, "accepted every ledger entry")
	require.NotContains(t, p.get(t, "/console/").text, "set aside")
	require.Contains(t, p.get(t, "/console/system/").text, "nothing is set aside")
	w.setAside(t, 60)
	require.Regexp(t, `60 ledger entries are set aside:.*href="/console/set-aside/"`, p.get(t, "/console/").text)
	require.Contains(t, p.get(t, "/console/system/").text, "60 ledger entries are set aside")

	a := p.get(t, asidePage)
	require.Contains(t, a.text, "oms.default.order.created")
	require.Contains(t, a.text, "events_tenant_check")
	require.Contains(t, a.text, `aria-label="Put 50 back"`)
	require.NotContains(t, a.text, `aria-label="Put 51 back"`)
	require.Contains(t, a.text, `href="/console/set-aside/?after=50"`)
	require.Contains(t, p.get(t, asidePage+"?after=50").text, `aria-label="Put 60 back"`)

	a = p.post(t, asidePage, "all", "yes")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.text, "51 put back, 9 not.", "those with longer ids were taken")
	require.Regexp(t, `Just now:</strong> .*events_tenant_check`, a.text)
	a = p.post(t, asidePage, "number", "3")
	require.Contains(t, a.text, "0 put back, 1 not.")

	w.mended(t)
	require.Equal(t, asidePage+"?done=put-back&n=1", p.post(t, asidePage, "number", "3").header.Get("Location"))
	require.Contains(t, p.get(t, asidePage+"?done=put-back&n=1").text, "1 entry is in the ledger now.")
	require.Equal(t, asidePage+"?done=put-back-before", p.post(t, asidePage, "number", "3").header.Get("Location"))
	require.Equal(t, asidePage+"?done=put-back&n=8", p.post(t, asidePage, "all", "yes").header.Get("Location"))
	require.Equal(t, http.StatusOK, p.get(t, "/console/event?id=e-3").status)
	require.NotContains(t, p.get(t, "/console/").text, "set aside")

	a = p.get(t, "/console/audit/?kind=installation")
	require.Contains(t, a.text, "ledger entry put back")
	require.Contains(t, a.text, "oms.default.order.created")
	for _, wrong := range []string{"", "-1", "x", "1e3"} {
		require.Equal(t, http.StatusBadRequest, p.post(t, asidePage, "number", wrong).status, wrong)
	}
}

// Entries belong to all tenants: tokens of a tenant see none, and operators who are viewers have no buttons.
func TestOnlyOperatorsSeeWhatIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setAside(t, 2)
	tenants := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "t", Role: store.Admin, Tenant: "default"}))
	require.NotContains(t, tenants.get(t, "/console/").text, "set aside")
	refused := tenants.get(t, asidePage)
	require.Equal(t, http.StatusForbidden, refused.status)
	require.Contains(t, refused.text, "Only an operator&#39;s token allows this.")
	require.Equal(t, http.StatusForbidden, tenants.post(t, asidePage, "all", "yes").status)
	require.NotContains(t, tenants.get(t, "/console/audit/?kind=installation").text, "no tenant")
	editor := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "e", Role: store.Editor}))
	require.Contains(t, editor.get(t, "/console/").text, "2 ledger entries are set aside")
	a := editor.get(t, asidePage)
	require.Equal(t, http.StatusOK, a.status)
	require.NotContains(t, a.text, "<button>Put")
	require.NotContains(t, a.text, `aria-label="Put`)
	require.Equal(t, http.StatusForbidden, editor.post(t, asidePage, "all", "yes").status)
	foreign := w.signIn(t, w.operator).send(t, http.MethodPost, asidePage, formOf("all", "yes"), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	require.Equal(t, http.StatusForbidden, foreign.status, "another site's form")
	b, err := w.bus()
	require.NoError(t, err)
	n, err := b.Aside().Count(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}

func TestWithoutNATSThePageSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *console.Deps) {
		d.Cases.Aside = aside.NewDesk(func() (*bus.Bus, error) { return nil, errors.New("no nats") }, testenv.OpenStore(t).DB, zap.NewNop())
	})
	p := w.signIn(t, w.operator)
	for _, a := range []answer{p.get(t, asidePage), p.post(t, asidePage, "all", "yes")} {
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.Contains(t, a.text, "NATS does not answer")
	}
	require.Equal(t, http.StatusOK, p.get(t, "/console/").status)
}
