package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

func TestEveryReasonNotToKnowACallerIsTheSame401(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	revoked, token1, err := w.db.CreateToken(t.Context(), "test", postgres.NewToken{Name: "r", Tenant: "default", Role: postgres.Admin})
	require.NoError(t, err)
	require.NoError(t, w.db.RevokeToken(t.Context(), "test", "default", token1.ID))
	expires := time.Now().Add(150 * time.Millisecond)
	expired := w.newToken(t, postgres.NewToken{Name: "e", Role: postgres.Admin, ExpiresAt: expires})
	require.Eventually(t, func() bool { return time.Now().After(expires) }, time.Second, 10*time.Millisecond)

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
	plain, made, err := w.db.CreateToken(t.Context(), "test", postgres.NewToken{Name: "t", Tenant: "default", Role: postgres.Viewer})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "", token(plain)).status)
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, "/whisperer/tokens/"+made.ID.String()+"/", "").status)
	require.Eventually(t, func() bool {
		return w.call(t, http.MethodGet, hooks, "", token(plain)).status == http.StatusUnauthorized
	}, 5*time.Second, 50*time.Millisecond)
}

// operation is one line of the matrix: an operation and who may use it.
type operation struct {
	method, path, body string
	role               postgres.Role
	operator           bool
}

func operations(id string) []operation {
	hook := hooks + id + "/"
	return append(historyOperations(id), []operation{
		{http.MethodGet, hooks, "", postgres.Viewer, false},
		{http.MethodPost, hooks, `{}`, postgres.Editor, false},
		{http.MethodGet, hook, "", postgres.Viewer, false},
		{http.MethodPut, hook, `{}`, postgres.Editor, false},
		{http.MethodPatch, hook, `{}`, postgres.Editor, false},
		{http.MethodPost, hook + "pause/", "", postgres.Editor, false},
		{http.MethodPost, hook + "resume/", "", postgres.Editor, false},
		{http.MethodDelete, hook, "", postgres.Editor, false},
		{http.MethodGet, hooks + "registry/", "", postgres.Viewer, false},
		{http.MethodPost, hooks + "registry/", `{}`, postgres.Editor, false},
		{http.MethodDelete, hooks + "registry/kiosk.opened/", "", postgres.Editor, false},
		{http.MethodPost, hooks + "preview-retries/", `{}`, postgres.Viewer, false},
		{http.MethodPost, "/whisperer/events/", `{}`, postgres.Editor, false},
		{http.MethodGet, "/whisperer/tokens/", "", postgres.Admin, false},
		{http.MethodPost, "/whisperer/tokens/", `{}`, postgres.Admin, false},
		{http.MethodDelete, "/whisperer/tokens/" + id + "/", "", postgres.Admin, false},
		{http.MethodGet, "/whisperer/tenants/", "", postgres.Viewer, true},
		{http.MethodPost, "/whisperer/tenants/", `{}`, postgres.Admin, true},
	}...)
}

func TestTheMatrixHoldsEveryOperationOfTheDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := 0
	for _, item := range w.document.Paths.Map() {
		n += len(item.Operations())
	}
	require.Len(t, operations(""), n, "a new operation needs its line")
}

func TestRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, role := range []postgres.Role{postgres.Viewer, postgres.Editor, postgres.Admin} {
		for _, tenant := range []string{"default", ""} {
			plain := w.newToken(t, postgres.NewToken{Name: "t", Tenant: tenant, Role: role})
			for _, op := range operations(uuid.NewString()) {
				a := w.call(t, op.method, op.path, op.body, token(plain))
				allowed := role.Covers(op.role) && (!op.operator || tenant == "")
				require.Equal(t, !allowed, a.status == http.StatusForbidden, "%s of %q: %s %s: %s", role, tenant, op.method, op.path, a.text)
			}
		}
	}
}

func TestAnotherTenantsThingsAreAbsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant(t, "other")
	theirs := w.create(t, oldExample, header("X-Whisperer-Tenant", "other"))
	_, theirToken, err := w.db.CreateToken(t.Context(), "test", postgres.NewToken{Name: "t", Tenant: "other", Role: postgres.Viewer})
	require.NoError(t, err)
	a := w.call(t, http.MethodPost, hooks+"registry/", `{"name": "kiosk.opened"}`, header("X-Whisperer-Tenant", "other"))
	require.Equal(t, http.StatusCreated, a.status)

	mine := w.newToken(t, postgres.NewToken{Name: "t", Tenant: "default", Role: postgres.Admin})
	absent := operations(uuid.NewString())
	for i, op := range operations(theirs["id"].(string)) {
		if !strings.Contains(op.path, theirs["id"].(string)) {
			continue
		}
		body := op.body
		if op.method == http.MethodPut {
			body = oldExample
		}
		target := op.path
		if strings.HasPrefix(target, "/whisperer/tokens/") {
			target = "/whisperer/tokens/" + theirToken.ID.String() + "/"
		}
		got := w.call(t, op.method, target, body, token(mine))
		want := w.call(t, op.method, absent[i].path, body, token(mine))
		require.Equal(t, http.StatusNotFound, got.status, "%s %s", op.method, op.path)
		require.Equal(t, want.text, got.text)
	}
	require.Empty(t, w.call(t, http.MethodGet, hooks, "", token(mine)).json["results"])
	require.NotContains(t, w.call(t, http.MethodGet, hooks+"registry/", "", token(mine)).text, "kiosk.opened")
	require.NotContains(t, w.call(t, http.MethodGet, "/whisperer/tokens/", "", token(mine)).text, theirToken.ID.String())
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodDelete, hooks+"registry/kiosk.opened/", "", token(mine)).status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, path(theirs), "", header("X-Whisperer-Tenant", "other")).status)
}

func TestTheTenantHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant(t, "other")
	mine := w.newToken(t, postgres.NewToken{Name: "t", Tenant: "default", Role: postgres.Admin})
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
	viewer := w.newToken(t, postgres.NewToken{Name: "t", Tenant: "default", Role: postgres.Viewer})
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
