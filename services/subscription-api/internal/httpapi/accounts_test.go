package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const tokens = "/whisperer/tokens/"

func TestTokensAreShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.db.MakeToken(t, store.NewToken{Name: "admin", Tenant: "default", Role: store.Admin})
	made := w.call(t, http.MethodPost, tokens, `{"name": "ci", "role": "editor", "expires_date": "2099-01-01T00:00:00Z"}`, token(admin))
	require.Equal(t, http.StatusCreated, made.status, made.text)
	require.Equal(t, "default", made.json["tenant"])
	require.Equal(t, "2099-01-01T00:00:00Z", made.json["expires_date"])
	plain := made.json["token"].(string)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "", token(plain)).status)

	list := w.call(t, http.MethodGet, tokens, "", token(admin))
	require.Equal(t, []string{"ci", "admin"}, names(list), "the operator's is not theirs to see")
	require.NotContains(t, list.text, plain)
	id := made.json["id"].(string)
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, tokens+id+"/", "", token(admin)).status)
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, tokens+id+"/", "", token(admin)).status)
	list = w.call(t, http.MethodGet, tokens, "", token(admin))
	require.NotNil(t, list.json["results"].([]any)[0].(map[string]any)["revoked_date"])
}

func TestOperatorsMakeTokensOfTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "other")
	for _, c := range []struct {
		name, body, want string
		change           []with
	}{
		{"of a tenant that the body names", `{"name": "a", "role": "viewer", "tenant": "other"}`, "other", nil},
		{"of a tenant that the header names", `{"name": "b", "role": "viewer"}`, "other", []with{header("X-Whisperer-Tenant", "other")}},
		{"of an operator", `{"name": "c", "role": "viewer"}`, "", nil},
	} {
		a := w.call(t, http.MethodPost, tokens, c.body, c.change...)
		require.Equal(t, http.StatusCreated, a.status, a.text)
		require.Equal(t, c.want, a.json["tenant"], c.name)
	}
	require.Equal(t, []string{"c", "b", "a", "operator"}, names(w.call(t, http.MethodGet, tokens, "")))
	require.Equal(t, []string{"b", "a"}, names(w.call(t, http.MethodGet, tokens, "", header("X-Whisperer-Tenant", "other"))))

	admin := w.db.MakeToken(t, store.NewToken{Name: "admin", Tenant: "default", Role: store.Admin})
	a := w.call(t, http.MethodPost, tokens, `{"name": "x", "role": "admin", "tenant": "other"}`, token(admin))
	require.Equal(t, http.StatusForbidden, a.status)
}

func TestTokensSayWhetherTheyAreUsedAndGood(t *testing.T) {
	t.Parallel()
	var cases *usecase.Service
	w := newWorld(t, func(d *httpapi.Deps) { cases = d.Cases })
	w.db.MakeToken(t, store.NewToken{Name: "soon", Role: store.Viewer, ExpiresAt: time.Now().Add(13 * 24 * time.Hour)})
	w.db.MakeToken(t, store.NewToken{Name: "late", Role: store.Viewer, ExpiresAt: time.Now().Add(15 * 24 * time.Hour)})
	list := func() map[string]map[string]any {
		byName := map[string]map[string]any{}
		for _, r := range w.call(t, http.MethodGet, tokens, "").json["results"].([]any) {
			token := r.(map[string]any)
			byName[token["name"].(string)] = token
		}
		return byName
	}
	require.Nil(t, list()["operator"]["last_used_date"])
	require.NoError(t, cases.Access.RecordTokenUses(t.Context()))
	found := list()
	used, err := time.Parse(time.RFC3339Nano, found["operator"]["last_used_date"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), used, time.Minute)
	require.Nil(t, found["soon"]["last_used_date"])
	require.Equal(t, "expiring", found["soon"]["state"])
	require.Equal(t, "active", found["late"]["state"])
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, tokens+found["soon"]["id"].(string)+"/", "").status)
	require.Equal(t, "revoked", list()["soon"]["state"])
}

func TestTheAuditLogSaysWho(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	olga := w.db.MakeToken(t, store.NewToken{Name: "Olga", Role: store.Admin, Tenant: "default"})
	made := w.call(t, http.MethodPost, hooks, `{"event_type":"*","target_url":"http://example.com/"}`, token(olga))
	require.Equal(t, http.StatusCreated, made.status, made.text)
	find := func(query string) []any {
		a := w.call(t, http.MethodGet, "/whisperer/audit/?kind=hook&"+query, "", token(olga))
		require.Equal(t, http.StatusOK, a.status, a.text)
		return a.json["results"].([]any)
	}
	found := find("actor=Olga")
	require.Len(t, found, 1)
	entry := found[0].(map[string]any)
	require.Equal(t, "Olga", entry["actor_name"])
	id := strings.TrimPrefix(entry["actor"].(string), "token ")
	require.Len(t, find("actor="+id), 1)
	require.Len(t, find("actor=token+"+id), 1)
	require.Empty(t, find("actor=nobody"))
	a := w.call(t, http.MethodGet, "/whisperer/audit/?actor="+strings.Repeat("a", 256), "")
	require.Equal(t, http.StatusBadRequest, a.status)
}

func TestTokensThatBreakARule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	past := time.Now().Add(-time.Hour).Format(time.RFC3339)
	for _, c := range []struct{ body, pointer string }{
		{`{"role": "viewer"}`, "/name"},
		{`{"name": "a", "role": "root"}`, "/role"},
		{`{"name": "a"}`, "/role"},
		{`{"name": "a", "role": "viewer", "tenant": "does-not-exist"}`, "/tenant"},
		{`{"name": "a", "role": "viewer", "expires_date": "` + past + `"}`, "/expires_date"},
		{`{"name": "a", "role": "viewer", "expires_date": "tomorrow"}`, "/expires_date"},
		{`{"name": "a", "role": "viewer", "hash": "x"}`, "/hash"},
	} {
		a := w.call(t, http.MethodPost, tokens, c.body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, c.body)
		require.Equal(t, []string{c.pointer}, a.pointers(), a.text)
	}
}

func TestTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const tenants = "/whisperer/tenants/"
	require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, tenants, `{"name": "acme"}`).status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, tenants, `{"name": "acme"}`).status)
	require.Equal(t, []string{"acme", "default"}, names(w.call(t, http.MethodGet, tenants, "")))
	for _, name := range []string{`"Acme"`, `""`, `"a.b"`, `"a>"`, `null`, `"_a"`} {
		a := w.call(t, http.MethodPost, tenants, `{"name": `+name+`}`)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, name)
		require.Equal(t, []string{"/name"}, a.pointers())
	}
}
