package console_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestAnAdminSendsADeliveryElsewhere(t *testing.T) {
	t.Parallel()
	far := testenv.NewReceiver(t)
	far.React(echo(http.StatusOK))
	w := newWorld(t, reaching(t, far.URL))
	h := w.hook(t, "north", "http://example.com/", "package.created")
	e := w.event(t, "e-1", 1, "package.created", "package:61", time.Minute)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "no")))
	page := "/console/deliveries/" + webhook.DeliveryID(h.ID, e.ID).String() + "/"
	editor := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "editor", Role: store.Editor, Tenant: "default"}))
	require.NotContains(t, editor.get(t, page).text, "Send elsewhere")
	require.Equal(t, http.StatusForbidden, editor.post(t, page+"replay", "target_url", far.URL).status)
	p := w.signIn(t, w.operator)
	require.Contains(t, p.get(t, page).text, `href="`+page+`replay"`)
	require.Contains(t, p.get(t, page+"replay").text, "Send this delivery elsewhere")

	for _, wrong := range [][3]string{
		{"", "", "This is required."}, {"http://10.0.0.1/", "", "aria-invalid"}, {far.URL, "own", "This is required."},
	} {
		a := p.post(t, page+"replay", "target_url", wrong[0], "sign", wrong[1])
		require.Equal(t, http.StatusUnprocessableEntity, a.status, wrong)
		require.Contains(t, a.text, wrong[2])
	}
	require.Empty(t, far.Got("/staging"))
	for _, sign := range []string{"", "own", "hook"} {
		a := p.post(t, page+"replay", "target_url", far.URL+"/staging", "sign", sign, "secret_key", "canary-secret-of-mine")
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.Contains(t, a.text, "<strong>Delivered</strong>: 200 OK")
		require.NotContains(t, a.text, "canary")
		got := far.Got("/staging")
		require.Equal(t, sign != "", got[len(got)-1].Header.Get("Webhook-Signature") != "")
	}
	d, attempts, err := w.db.History.GetDelivery(t.Context(), "default", webhook.DeliveryID(h.ID, e.ID))
	require.NoError(t, err)
	require.Equal(t, webhook.Dead, d.State)
	require.Len(t, attempts, 1)
	require.Contains(t, p.get(t, "/console/audit/").text, "delivery sent elsewhere")
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", "default", h.ID, nil))
	require.Contains(t, p.post(t, page+"replay", "target_url", far.URL).text, "The webhook was deleted.")
}
