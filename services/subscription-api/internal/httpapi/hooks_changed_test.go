package httpapi_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestPatchChangesWhatItNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, `{"event_type": "order.created", "target_url": "http://example.com/", "secret_key": "s", "api_key": "k",
		"name": "n", "additional_headers": {"X-A": "1"}, "config": {"a": 1}}`)
	changed := w.call(t, http.MethodPatch, path(hook), `{"name": "m"}`)
	require.Equal(t, http.StatusOK, changed.status, changed.text)
	require.Equal(t, `"2"`, changed.header.Get("ETag"))
	want := maps.Clone(hook)
	want["name"], want["version"], want["modified_date"] = "m", 2.0, changed.json["modified_date"]
	require.Equal(t, want, changed.json)

	same := w.call(t, http.MethodPatch, path(hook), `{"name": "m"}`)
	require.InDelta(t, 2, same.json["version"], 0, "nothing changed")
	cleared := w.call(t, http.MethodPatch, path(hook), `{"secret_key": null, "api_key": null, "additional_headers": null, "config": null}`)
	require.Equal(t, false, cleared.json["has_secret"])
	require.Equal(t, false, cleared.json["has_api_key"])
	require.Equal(t, map[string]any{}, cleared.json["additional_headers"])
	require.Equal(t, map[string]any{}, cleared.json["config"])

	paused := w.call(t, http.MethodPatch, path(hook), `{"is_active": false}`)
	require.Equal(t, "paused", paused.json["status"])
	require.Equal(t, "active", w.call(t, http.MethodPatch, path(hook), `{"status": "active"}`).json["status"])
	disagree := w.call(t, http.MethodPatch, path(hook), `{"status": "paused", "is_active": true}`)
	require.Equal(t, []string{"/is_active"}, disagree.pointers())
	require.Equal(t, 200, w.call(t, http.MethodPatch, path(hook), `{"status": "paused", "is_active": false}`).status)
	require.Equal(t, http.StatusUnprocessableEntity, w.call(t, http.MethodPatch, path(hook), `{"event_type": "nope"}`).status)
	require.Equal(t, http.StatusUnprocessableEntity, w.call(t, http.MethodPatch, path(hook), `{"target_url": null}`).status)
}

func TestPutOfWhatWasReadChangesNothingButWhatWasChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, `{"event_types": ["order.created", "order.updated"], "target_url": "http://example.com/", "secret_key": "s", "api_key": "k",
		"name": "n", "additional_headers": {"X-A": "1"}, "retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": 60}},
		"config": {"a": 1, "auth": {"auth_type": "basic", "username": "u", "password": "p"}}}`)
	put := func(change func(map[string]any)) *answer {
		body := maps.Clone(w.call(t, http.MethodGet, path(hook), "").json)
		change(body)
		return w.call(t, http.MethodPut, path(hook), encode(t, body))
	}
	same := put(func(map[string]any) {})
	require.Equal(t, http.StatusOK, same.status, same.text)
	for name, value := range hook {
		if !slices.Contains([]string{"version", "modified_date"}, name) {
			require.Equal(t, value, same.json[name], name)
		}
	}
	stored, err := w.db.Hooks.Get(t.Context(), "default", uuid.MustParse(hook["id"].(string)))
	require.NoError(t, err)
	require.Equal(t, "s", stored.Secrets[0].Value)
	require.Equal(t, "k", stored.APIKey)
	require.Equal(t, "p", stored.Config.Auth.Password)

	require.Equal(t, "paused", put(func(b map[string]any) { b["is_active"] = false }).json["status"])
	require.Equal(t, "active", put(func(b map[string]any) { b["status"] = "active" }).json["status"])
	require.Equal(t, []any{"package.created"}, put(func(b map[string]any) { b["event_type"] = "package-created" }).json["event_types"])
	require.Equal(t, []any{"order.created"}, put(func(b map[string]any) { b["event_types"] = []string{"order.created"} }).json["event_types"])
	for name, value := range map[string]any{
		"id": uuid.NewString(), "version": 99, "created_date": "2001-01-01T00:00:00Z", "has_secret": false, "disabled_reason": "x",
	} {
		refused := put(func(b map[string]any) { b[name] = value })
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, refused.text)
		require.Equal(t, []string{"/" + name}, refused.pointers())
		require.Contains(t, refused.text, "is read-only")
	}
}

func TestWhatWasReadAndIsWrittenBackIsUnchanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const target = `"event_types": ["order.updated", "order-created", "package.>"], "target_url": "`
	for name, fields := range map[string]string{
		"nothing but what is needed": target + `http://example.com/1"`,
		"an equivalent URL":          target + `HTTP://Example.COM:80/2?b=%2f&a="`,
		"a URL without a path":       target + `https://example.com:443"`,
		"an international name":      target + `https://bücher.example/ä"`,
		"empty objects":              target + `http://example.com/3", "retry_countdown_config": {}, "callback": {}, "config": {}, "additional_headers": {}`,
		"nulls":                      target + `http://example.com/4", "retry_countdown_config": null, "callback": null, "config": null, "additional_headers": null, "secret_key": null, "api_key": null`,
		"words in capitals":          target + `http://example.com/5", "notification_type": "REST", "status": "PAUSED", "config": {"format": "Standard", "method": "put", "ordering": "ENTITY"}`,
		"secrets":                    target + `http://example.com/6", "secret_key": "s", "api_key": "k", "config": {"api_key_header": "X-Key"}`,
		"headers":                    target + `http://example.com/7", "additional_headers": {"x-b": " 1 ", "X-A": "2", "soapAction": "3"}`,
		"a schedule": target + `http://example.com/8", "retry_countdown_config": {"choice": "Fixed", "kwargs": {"seconds": "60"}, "max_retries": 5,
			"jitter": 0.10, "deadline": 1000}`,
		"a callback by URL":     target + `http://example.com/9", "callback": {"url": "HTTP://example.com:80/cb", "on": ["Dead", "delivered"]}`,
		"a callback by subject": target + `http://example.com/10", "callback": {"subject": "whisperer.callback.default.x"}`,
		"a callback by path":    target + `http://example.com/11", "callback": "Shop.tasks.answered"`,
		"basic auth":            target + `http://example.com/12", "config": {"b": 1.0, "auth": {"auth_type": "Basic", "username": "u", "password": "p"}, "a": [1e2]}`,
		"a login": target + `https://example.com/13", "config": {"auth": {"auth_type": "token", "url": "https://example.com/login", "username": "u",
			"password": "p", "username_field": "login", "token_key": "/data/token", "header_format": "Token {token}"}}`,
		"oauth2": target + `https://example.com/14", "config": {"auth": {"auth_type": "oauth2", "token_url": "https://example.com/token",
			"client_id": "c", "client_secret": "s", "scopes": ["b", "a"], "params": {"x": "y"}}}`,
		"settings": target + `http://example.com/15", "config": {"filter": "event.data.id > 1", "timeout": 20, "concurrency": 3, "stop_on": [404, 400],
			"rate_limit": {"limit": 5, "period": 60}, "content_fields": ["/b", "/a"], "maintenance": [], "start_from": "PT1H", "own": {"z": 1, "a": null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			hook := w.create(t, "{"+fields+"}")
			read := w.call(t, http.MethodGet, path(hook), "").json
			unchanged := func(what, method, body string) {
				t.Helper()
				a := w.call(t, method, path(hook), body)
				require.Equal(t, http.StatusOK, a.status, "%s: %s", what, a.text)
				require.Equal(t, read, a.json, what)
			}
			unchanged("all of it", http.MethodPut, encode(t, read)) // keys in another order, numbers in another notation
			unchanged("what was sent", http.MethodPut, "{"+fields+"}")
			unchanged("what was sent", http.MethodPatch, "{"+fields+"}")
			for field, value := range read {
				if field == "event_type" { // by itself it means that this is the only type
					continue
				}
				unchanged(field, http.MethodPatch, encode(t, map[string]any{field: value}))
			}
			log := w.call(t, http.MethodGet, "/whisperer/audit/?subject="+hook["id"].(string), "", header("X-Whisperer-Tenant", "default"))
			require.Len(t, log.json["results"], 1, "it was created: %s", log.text)
		})
	}
}

func TestPutResetsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, `{"event_type": "order.created", "target_url": "http://example.com/", "secret_key": "s", "name": "n", "status": "paused",
		"additional_headers": {"X-A": "1"}, "config": {"a": 1}, "callback": {"url": "http://example.com/"}}`)
	a := w.call(t, http.MethodPut, path(hook), `{"event_type": "*", "target_url": "http://example.com/2"}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Empty(t, a.json["name"])
	require.Equal(t, map[string]any{}, a.json["additional_headers"])
	require.Equal(t, map[string]any{}, a.json["config"])
	require.Nil(t, a.json["callback"])
	require.Equal(t, true, a.json["has_secret"], "what a reader never sees stays")
	require.Equal(t, "paused", a.json["status"])
	require.ElementsMatch(t, []string{"/event_type", "/target_url"}, w.call(t, http.MethodPut, path(hook), `{"name": "x"}`).pointers())
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, oldExample)
	match := func(tag string) with { return header("If-Match", tag) }
	for _, tag := range []string{`"7"`, `W/"1"`, `"x"`, `1`, `"7", "8"`} {
		require.Equal(t, http.StatusPreconditionFailed, w.call(t, http.MethodPatch, path(hook), `{"name": "n"}`, match(tag)).status, tag)
		require.Equal(t, http.StatusPreconditionFailed, w.call(t, http.MethodPut, path(hook), oldExample, match(tag)).status, tag)
		require.Equal(t, http.StatusPreconditionFailed, w.call(t, http.MethodDelete, path(hook), "", match(tag)).status, tag)
		require.Equal(t, http.StatusPreconditionFailed, w.call(t, http.MethodPost, path(hook)+"pause/", "", match(tag)).status, tag)
	}
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, path(hook), `{"name": "n"}`, match(`"7", "1"`)).status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, path(hook), `{"name": "m"}`, match(`*`)).status)
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, path(hook), "", match(`"3"`)).status)
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, oldExample)
	require.Equal(t, "paused", w.call(t, http.MethodPost, path(hook)+"pause/", "").json["status"])
	again := w.call(t, http.MethodPost, path(hook)+"pause", "{}")
	require.Equal(t, "paused", again.json["status"])
	require.InDelta(t, 2, again.json["version"], 0)
	require.Equal(t, "active", w.call(t, http.MethodPost, path(hook)+"resume/", "").json["status"])

	_, err := w.db.Hooks.Disable(t.Context(), "test", uuid.MustParse(hook["id"].(string)), nil, "the receiver answered 410")
	require.NoError(t, err)
	disabled := w.call(t, http.MethodGet, path(hook), "")
	require.Equal(t, "disabled", disabled.json["status"])
	require.Equal(t, false, disabled.json["is_active"])
	require.Equal(t, "the receiver answered 410", disabled.json["disabled_reason"])
	resumed := w.call(t, http.MethodPost, path(hook)+"resume/", "")
	require.Equal(t, "active", resumed.json["status"])
	require.Empty(t, resumed.json["disabled_reason"])
	require.Equal(t, http.StatusUnprocessableEntity, w.call(t, http.MethodPost, path(hook)+"pause/", `{"x": 1}`).status)
}

func TestDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, oldExample)
	gone := w.call(t, http.MethodDelete, path(hook), "")
	require.Equal(t, http.StatusNoContent, gone.status)
	require.Empty(t, gone.text)
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodDelete, path(hook), "").status)
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, path(hook), "").status)
}

func TestLabelsAreKeptUnlessTheyAreSentAndCheckedByName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call(t, http.MethodPost, hooks, `{"event_type":"order.created","target_url":"https://example.com/labels","labels":{"partner":"acme"}}`)
	require.Equal(t, http.StatusCreated, a.status, a.text)
	at := a.header.Get("Location")
	for _, step := range []struct{ method, body, want string }{
		{http.MethodPatch, `{"name":"x"}`, `"labels":{"partner":"acme"}`},
		{http.MethodPatch, `{"labels":{"partner":"b","tier":"1"}}`, `"labels":{"partner":"b","tier":"1"}`},
		{http.MethodPatch, `{"labels":{"Partner":"b"}}`, `"pointer":"/labels/Partner"`},
		{http.MethodPatch, `{"labels":{"partner":null}}`, `"pointer":"/labels"`},
		{http.MethodPatch, `{"labels":"acme"}`, `"pointer":"/labels"`},
		{http.MethodGet, ``, `"labels":{"partner":"b","tier":"1"}`},
		{http.MethodPut, `{"event_type":"order.created","target_url":"https://example.com/labels"}`, `"labels":{}`},
		{http.MethodPatch, `{"labels":null}`, `"labels":{}`},
	} {
		require.Contains(t, w.call(t, step.method, at, step.body).text, step.want, step.body)
	}
}

func TestAPauseHasAnEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.call(t, http.MethodPost, hooks, `{"event_type":"*","target_url":"http://example.com/"}`)
	path := hooks + made.json["id"].(string) + "/"
	require.Nil(t, made.json["paused_until"])
	until := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	paused := w.call(t, http.MethodPost, path+"pause/", `{"until":"`+until+`"}`)
	require.Equal(t, http.StatusOK, paused.status, paused.text)
	require.Equal(t, until, paused.json["paused_until"])
	require.Equal(t, "paused", paused.json["status"])
	put := w.call(t, http.MethodPut, path, paused.text)
	require.Equal(t, http.StatusOK, put.status, put.text)
	require.Equal(t, until, put.json["paused_until"], "what was read can be sent back")
	require.Equal(t, http.StatusUnprocessableEntity, w.call(t, http.MethodPatch, path, `{"paused_until":"2099-01-01T00:00:00Z"}`).status)
	require.Nil(t, w.call(t, http.MethodPost, path+"pause/", "").json["paused_until"], "without a time it stays paused")
	require.Equal(t, until, w.call(t, http.MethodPost, path+"pause/", `{"until":"`+until+`"}`).json["paused_until"])
	require.Nil(t, w.call(t, http.MethodPost, path+"resume/", "").json["paused_until"])
	w.call(t, http.MethodPost, path+"pause/", `{"until":"`+until+`"}`)
	active := w.call(t, http.MethodPatch, path, `{"is_active":true}`)
	require.Equal(t, "active", active.json["status"])
	require.Nil(t, active.json["paused_until"])
	for body, pointer := range map[string]string{
		`{"until":"2001-01-01T00:00:00Z"}`: "/until", `{"until":"9999-01-01T00:00:00Z"}`: "/until", `{"until":"soon"}`: "/until",
		`{"until":3600}`: "/until", `{"til":null}`: "/til",
	} {
		a := w.call(t, http.MethodPost, path+"pause/", body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, body)
		require.Equal(t, []string{pointer}, a.pointers(), a.text)
	}
	require.Equal(t, "active", w.call(t, http.MethodGet, path, "").json["status"], "nothing of it was done")
}
