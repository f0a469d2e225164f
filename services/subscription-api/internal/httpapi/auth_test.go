package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

func TestEveryReasonNotToKnowACallerIsTheSame401(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revoked, token1, err := w.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "r", Tenant: "default", Role: store.Admin})
	require.NoError(t, err)
	require.NoError(t, w.db.Access.RevokeToken(t.Context(), "test", "default", token1.ID))
	expires := time.Now().Add(2 * time.Second)
	expired := w.db.MakeToken(t, store.NewToken{Name: "e", Role: store.Admin, ExpiresAt: expires})
	require.Eventually(t, func() bool { return time.Now().After(expires) }, time.Minute, 10*time.Millisecond)

	want := ""
	for _, authorization := range []string{
		"", "Token", "Token ", w.token, "Basic dTpw", "Token nope", "Bearer wsp_nope", "Token " + revoked, "Token " + expired, "Token " + w.token + "x",
		"Token " + strings.Repeat("x", 10_000), "Bearer eyJhbGciOiJub25lIn0.e30.", "Token ../../etc/passwd",
	} {
		a := w.call(t, http.MethodGet, hooks, "", header("Authorization", authorization))
		require.Equal(t, http.StatusUnauthorized, a.status, authorization)
		require.NotEmpty(t, a.header.Get("WWW-Authenticate"))
		if want == "" {
			want = a.text
		}
		require.Equal(t, want, a.text)
	}
	require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodGet, hooks+"?token="+w.token, "").status, "a token in the query is none")
	two := func(r *http.Request) { r.Header.Add("Authorization", "Token other") }
	require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodGet, hooks, "", two).status)
	for _, scheme := range []string{"Token", "Bearer", "token", "BEARER"} {
		require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "", header("Authorization", scheme+" "+w.token)).status)
	}
}

func TestARevokedTokenIsRefusedWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain, made, err := w.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "t", Tenant: "default", Role: store.Viewer})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "", token(plain)).status)
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, "/whisperer/tokens/"+made.ID.String()+"/", "").status)
	require.Eventually(t, func() bool {
		return w.call(t, http.MethodGet, hooks, "", token(plain)).status == http.StatusUnauthorized
	}, time.Minute, 50*time.Millisecond)
}

func TestAnotherTenantsThingsAreInNoList(t *testing.T) {
	t.Parallel()
	w, _ := newBus(t)
	w.db.MakeTenant(t, "other")
	theirs := &stock{world: w, tenant: "other"}
	things := []string{theirs.make(t, aHook), theirs.make(t, anEvent), theirs.make(t, aDelivery), theirs.make(t, aJob), theirs.make(t, aToken), "made.by.other"}
	theirs.make(t, anEventType)
	mine := w.db.MakeToken(t, store.NewToken{Name: "t", Tenant: "default", Role: store.Admin})
	for _, l := range w.lines(t) {
		if l.method == http.MethodGet && l.of == none && !l.operator {
			a := w.call(t, l.method, l.path+l.query, "", token(mine))
			require.Equal(t, http.StatusOK, a.status, l.id)
			for _, id := range things {
				require.NotContains(t, a.text, id, l.id)
			}
		}
	}
}

func TestTheTenantHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "other")
	mine := w.db.MakeToken(t, store.NewToken{Name: "t", Tenant: "default", Role: store.Admin})
	tenant := func(name string) with { return header("X-Whisperer-Tenant", name) }
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "", token(mine), tenant("default")).status)
	other := w.call(t, http.MethodGet, hooks, "", token(mine), tenant("other"))
	require.Equal(t, http.StatusForbidden, other.status)
	none := w.call(t, http.MethodGet, hooks, "", token(mine), tenant("does-not-exist"))
	require.Equal(t, other.text, none.text, "whether a tenant exists does not show")
	require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodGet, hooks, "", tenant("does-not-exist")).status)
	require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodGet, hooks, "", tenant("not a name")).status)
}

func TestViewersSeeNoHeaderValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, `{"event_type": "*", "target_url": "http://example.com/", "additional_headers": {"Authorization": "Bearer canary-1"}}`)
	viewer := w.db.MakeToken(t, store.NewToken{Name: "t", Tenant: "default", Role: store.Viewer})
	a := w.call(t, http.MethodGet, path(hook), "", token(viewer))
	require.Equal(t, map[string]any{"Authorization": "***"}, a.json["additional_headers"])
	require.NotContains(t, w.call(t, http.MethodGet, hooks, "", token(viewer)).text, "canary-1")
}

func TestSecretsAreNowhereToBeSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, `{"event_type": "*", "target_url": "http://example.com/?key=canary-url", "secret_key": "canary-secret", "api_key": "canary-apikey",
		"config": {"auth": {"auth_type": "basic", "username": "u", "password": "canary-password"}}}`)
	bad := `{"event_type": "*", "target_url": "http://example.com/2", "secret_key": ["canary-secret"], "api_key": "canary-apikey\n",
		"config": {"auth": {"auth_type": "x", "username": "u", "password": "canary-password"}}}`
	texts := []string{
		encode(t, hook), w.call(t, http.MethodGet, path(hook), "").text, w.call(t, http.MethodGet, hooks, "").text,
		w.call(t, http.MethodPost, hooks, bad).text, w.call(t, http.MethodPatch, path(hook), `{"secret_key": "canary-secret2"}`).text,
		w.call(t, http.MethodGet, hooks+"?search=canary-search", "").text,
	}
	for _, canary := range []string{"canary-secret", "canary-apikey", "canary-password"} {
		require.NotContains(t, strings.Join(texts, ""), canary)
	}
	for _, entry := range w.logs.All() {
		line := entry.Message
		for _, f := range entry.Context {
			line += " " + f.Key + "=" + f.String
		}
		require.NotContains(t, line, "canary")
		require.NotContains(t, line, w.token)
	}
}

func TestGuessingIsSlowedByAddressCountedAndTold(t *testing.T) {
	t.Parallel()
	told := make(chan daemon.Guessed, 100)
	metrics := prometheus.NewRegistry()
	guesses, err := daemon.NewGuesses(5, metrics, func(_ context.Context, about daemon.Guessed) { told <- about })
	require.NoError(t, err)
	w := newWorld(t, func(d *httpapi.Deps) { d.Cases.Guesses = guesses })
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "").status)
	guess := func(n int) *answer { return w.call(t, http.MethodGet, hooks, "", token(fmt.Sprintf("wsp_%d", n))) }
	require.Eventually(t, func() bool { return guess(1).status == http.StatusTooManyRequests }, time.Minute, time.Millisecond)
	a := guess(2)
	require.Equal(t, http.StatusTooManyRequests, a.status)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	about := <-told
	require.GreaterOrEqual(t, about.Wrong, 5)
	require.Equal(t, "127.0.0.1", about.Addr.String())
	require.Empty(t, told, "once for each address")
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "").status, "who was known before can go on")
	unknown := w.db.MakeToken(t, store.NewToken{Name: "unknown", Role: store.Viewer})
	require.Equal(t, http.StatusTooManyRequests, w.call(t, http.MethodGet, hooks, "", token(unknown)).status)
	require.Eventually(t, func() bool {
		return w.call(t, http.MethodGet, hooks, "", token(unknown)).status == http.StatusOK
	}, time.Minute, 50*time.Millisecond, "after a while")
}
