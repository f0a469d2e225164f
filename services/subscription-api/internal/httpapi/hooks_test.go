package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

const (
	hooks      = "/whisperer/hooks/"
	oldExample = `{"event_type":"package-created","target_url":"http://example.com/","secret_key":"secret"}`
)

func path(hook map[string]any) string { return hooks + hook["id"].(string) + "/" }

func TestTheOldExampleStillWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call(t, http.MethodPost, hooks, oldExample)
	require.Equal(t, http.StatusCreated, a.status, a.text)
	require.Equal(t, `"1"`, a.header.Get("ETag"))
	require.Equal(t, path(a.json), a.header.Get("Location"))
	require.Equal(t, "package.created", a.json["event_type"])
	require.Equal(t, []any{"package.created"}, a.json["event_types"])
	require.Equal(t, true, a.json["has_secret"])
	require.Equal(t, true, a.json["is_active"])
	require.Equal(t, "active", a.json["status"])
	require.NotContains(t, a.json, "secret_key")
	require.Equal(t, map[string]any{}, a.json["config"])
	require.Nil(t, a.json["callback"])
	require.Nil(t, a.json["retry_countdown_config"])

	got := w.call(t, http.MethodGet, a.header.Get("Location"), "")
	require.Equal(t, a.json, got.json)
	require.Equal(t, `"1"`, got.header.Get("ETag"))
}

func TestAHookKeepsEveryFieldThatWasSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, `{
		"name": "Ünïcode <b>& co</b> '; drop table hooks; -- {{7*7}} ${jndi:x} %n", "event_types": ["package.>", "package-created", "*.status.*"],
		"target_url": "HTTPS://Example.com/Path?q=1", "notification_type": "rest", "secret_key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"api_key": "k-123", "additional_headers": {"X-Team": "warehouse"},
		"callback": {"url": "https://oms.example.com/done", "on": ["delivered", "dead"]},
		"retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 3},
		"config": {"channel_id": 12, "format": "standard", "auth": {"auth_type": "basic", "username": "u", "password": "p-secret"}},
		"is_active": false}`)
	require.Equal(t, "Ünïcode <b>& co</b> '; drop table hooks; -- {{7*7}} ${jndi:x} %n", hook["name"])
	require.Equal(t, []any{"*.status.*", "package.>", "package.created"}, hook["event_types"])
	require.Equal(t, "https://example.com/Path?q=1", hook["target_url"], "scheme and host are stored in lower case")
	require.Equal(t, true, hook["has_api_key"])
	require.Equal(t, map[string]any{"X-Team": "warehouse"}, hook["additional_headers"])
	require.Equal(t, map[string]any{"url": "https://oms.example.com/done", "on": []any{"delivered", "dead"}}, hook["callback"])
	require.Equal(t, map[string]any{"choice": "fixed", "kwargs": map[string]any{"seconds": 60.0}, "max_retries": 3.0}, hook["retry_countdown_config"])
	require.Equal(t, map[string]any{
		"channel_id": 12.0, "format": "standard", "auth": map[string]any{"auth_type": "basic", "username": "u"},
	}, hook["config"])
	require.Equal(t, "paused", hook["status"])

	stored, err := w.db.Hooks.Get(t.Context(), "default", uuid.MustParse(hook["id"].(string)))
	require.NoError(t, err)
	require.Equal(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", stored.Secrets[0].Value)
	require.Equal(t, "k-123", stored.APIKey)
	require.Equal(t, "p-secret", stored.Config.Auth.Password)
}

func TestBothSpellingsOfEventTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cases := []struct {
		name, fields string
		want         []any
	}{
		{"a string", `"event_type": "package-status-packed"`, []any{"package.status.packed"}},
		{"a list in event_type", `"event_type": ["order.created", "package-created"]`, []any{"order.created", "package.created"}},
		{"event_types", `"event_types": ["package.created", "package-created"]`, []any{"package.created"}},
		{"both, which agree", `"event_type": "order.updated", "event_types": ["order-updated"]`, []any{"order.updated"}},
		{"both, event_type being the first", `"event_type": "order.created", "event_types": ["order.updated", "order.created"]`, []any{"order.created", "order.updated"}},
		{"null beside the other", `"event_type": null, "event_types": ["*"]`, []any{"*"}},
		{"a pattern that covers no known type", `"event_type": "something.else.>"`, []any{"something.else.>"}},
	}
	for i, c := range cases {
		hook := w.create(t, fmt.Sprintf(`{%s, "target_url": "http://example.com/%d"}`, c.fields, i))
		require.Equal(t, c.want, hook["event_types"], c.name)
		require.Equal(t, c.want[0], hook["event_type"], c.name)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := header("Idempotency-Key", "create-1")
	first := w.create(t, oldExample, key)
	again := w.create(t, `{ "event_type": "package-created", "target_url": "http://example.com/",  "secret_key":"secret" }`, key)
	require.Equal(t, first, again, "white space is no difference")

	other := w.call(t, http.MethodPost, hooks, `{"event_type": "*", "target_url": "http://example.com/2"}`, key)
	require.Equal(t, http.StatusUnprocessableEntity, other.status)
	require.Equal(t, []string{"Idempotency-Key"}, other.pointers())

	w.db.MakeTenant(t, "other")
	w.create(t, oldExample, key, header("X-Whisperer-Tenant", "other"))

	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, path(first), "").status)
	require.Equal(t, http.StatusUnprocessableEntity, w.call(t, http.MethodPost, hooks, oldExample, key).status)
	require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodPost, hooks, oldExample, header("Idempotency-Key", strings.Repeat("k", 256))).status)
}

func TestPathsWorkWithAndWithoutTheSlash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call(t, http.MethodPost, "/whisperer/hooks", oldExample)
	require.Equal(t, http.StatusCreated, a.status)
	bare := strings.TrimSuffix(path(a.json), "/")
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, bare, "").status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, bare, `{}`).status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPut, bare, oldExample).status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, bare+"/pause", "").status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, "/whisperer/hooks/registry", "").status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, "/whisperer/hooks?limit=1", "").status)
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, bare, "").status)
}

func TestEveryChangeIsInTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, oldExample)
	w.call(t, http.MethodPatch, path(hook), `{"name": "n", "secret_key": "very secret"}`)
	w.call(t, http.MethodPost, path(hook)+"pause/", "")
	w.call(t, http.MethodPost, path(hook)+"resume/", "")
	w.call(t, http.MethodDelete, path(hook), "")
	w.call(t, http.MethodPatch, path(hook), `{"name": "n"}`) // refused, so there is no entry
	log, _, err := w.db.Access.ListAudit(t.Context(), "default", store.AuditFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	var actions []string
	for _, e := range log {
		actions = append(actions, e.Action)
		require.Contains(t, string(e.Actor), "token ")
		require.Equal(t, hook["id"], e.Subject)
		require.NotContains(t, string(e.Detail), "very secret")
	}
	require.Equal(t, []string{"hook.deleted", "hook.resumed", "hook.paused", "hook.updated", "hook.created"}, actions)
}

func TestViewersDoNotSeeKeysInTargetURLs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Cases.Mask = webhook.ParseMask("key") })
	hook := w.create(t, `{"event_type":"order.created","target_url":"https://example.com/in?api_key=canary&a=1"}`)
	viewer := token(w.db.MakeToken(t, store.NewToken{Name: "viewer", Role: store.Viewer}))
	for _, target := range []string{hooks, path(hook)} {
		require.Contains(t, w.call(t, http.MethodGet, target, "").text, "canary")
		a := w.call(t, http.MethodGet, target, "", viewer)
		require.NotContains(t, a.text, "canary")
		require.Contains(t, a.text, "api_key=***")
	}
}
