package httpapi_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
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

	stored, err := w.db.Hook(t.Context(), "default", uuid.MustParse(hook["id"].(string)))
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

func TestAHookThatBreaksARuleIsRefusedWithAPointer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	whole := func(fields string) string {
		return `{"event_type": "package.created", "target_url": "http://example.com/", ` + fields + `}`
	}
	header := func(name, value string) string {
		return whole(fmt.Sprintf(`"additional_headers": {%q: %q}`, name, value))
	}
	retry := func(config string) string { return whole(`"retry_countdown_config": ` + config) }
	many := func(n int, format string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = strings.ReplaceAll(format, "#", fmt.Sprint(i))
		}
		return strings.Join(parts, ",")
	}
	cases := []struct{ name, body, pointer string }{
		{"nothing", `{}`, "/event_type"},
		{"no target", `{"event_type": "package.created"}`, "/target_url"},
		{"a null target", `{"event_type": "package.created", "target_url": null}`, "/target_url"},
		{"a field that is not known", whole(`"target_ulr": "x"`), "/target_ulr"},
		{"a field with a slash in its name", whole(`"a/b~": 1`), "/a~1b~0"},
		{"a number for a name", whole(`"name": 1`), "/name"},
		{"a name that is too long", whole(`"name": "` + strings.Repeat("n", 256) + `"`), "/name"},
		{"a name with a line feed", whole(`"name": "a\nlevel=error"`), "/name"},
		{"a name with an escape character", whole(`"name": "\u001b[31m"`), "/name"},
		{"an unknown type", `{"event_type": "package.createt", "target_url": "http://example.com/"}`, "/event_type"},
		{"an unknown type in the list", `{"event_types": ["package.nope"], "target_url": "http://example.com/"}`, "/event_types"},
		{"a malformed pattern", `{"event_types": ["package.>.x"], "target_url": "http://example.com/"}`, "/event_types"},
		{"a type with invisible characters", `{"event_type": "package.\u200bcreated", "target_url": "http://example.com/"}`, "/event_type"},
		{"an empty type", `{"event_type": "", "target_url": "http://example.com/"}`, "/event_type"},
		{"no types", `{"event_types": [], "target_url": "http://example.com/"}`, "/event_types"},
		{"a null among types", `{"event_types": [null], "target_url": "http://example.com/"}`, "/event_types"},
		{"fifty-one types", `{"event_types": [` + many(51, `"a#.>"`) + `], "target_url": "http://example.com/"}`, "/event_types"},
		{"types that do not agree", whole(`"event_types": ["order.created"]`), "/event_type"},
		{"is_active that does not agree", whole(`"is_active": true, "status": "paused"`), "/is_active"},
		{"disabled by hand", whole(`"status": "disabled"`), "/status"},
		{"a made-up status", whole(`"status": "on"`), "/status"},
		{"is_active as text", whole(`"is_active": "yes"`), "/is_active"},
		{"another notification type", whole(`"notification_type": "smtp"`), "/notification_type"},
		{"a secret that is too long", whole(`"secret_key": "` + strings.Repeat("s", 1025) + `"`), "/secret_key"},
		{"a secret with a control character", whole(`"secret_key": "a\u0007"`), "/secret_key"},
		{"an API key with a line feed", whole(`"api_key": "a\r\nX-Evil: 1"`), "/api_key"},
		{"an id", whole(`"id": "018f5b5e-0000-7000-8000-000000000000"`), "/id"},
		{"a version", whole(`"version": 1`), "/version"},
		{"a disabled_reason", whole(`"disabled_reason": "x"`), "/disabled_reason"},
		{"a tenant of the caller's choice", whole(`"tenant_id": "other"`), "/tenant_id"},

		{"loopback", `{"event_type": "package.created", "target_url": "http://127.0.0.1/"}`, "/target_url"},
		{"loopback by number", `{"event_type": "package.created", "target_url": "http://2130706433/"}`, "/target_url"},
		{"metadata", `{"event_type": "package.created", "target_url": "http://169.254.169.254/"}`, "/target_url"},
		{"loopback by IPv6", `{"event_type": "package.created", "target_url": "http://[::1]/"}`, "/target_url"},
		{"userinfo", `{"event_type": "package.created", "target_url": "http://u:p@example.com/"}`, "/target_url"},
		{"another scheme", `{"event_type": "package.created", "target_url": "ftp://example.com/"}`, "/target_url"},
		{"a script", `{"event_type": "package.created", "target_url": "javascript:alert(1)"}`, "/target_url"},
		{"a port of ours", `{"event_type": "package.created", "target_url": "http://example.com:5432/"}`, "/target_url"},
		{"a URL that is too long", `{"event_type": "package.created", "target_url": "http://example.com/` + strings.Repeat("a", 2048) + `"}`, "/target_url"},
		{"an empty URL", `{"event_type": "package.created", "target_url": ""}`, "/target_url"},
		{"a callback to loopback", whole(`"callback": {"url": "http://localhost/"}`), "/callback/url"},
		{"a callback with both", whole(`"callback": {"url": "http://example.com/", "subject": "whisperer.callback.default.x"}`), "/callback"},
		{"a callback to another tenant", whole(`"callback": {"subject": "whisperer.callback.other.x"}`), "/callback/subject"},
		{"a callback on what does not happen", whole(`"callback": {"url": "http://example.com/", "on": ["failed"]}`), "/callback/on"},
		{"a callback with a typo", whole(`"callback": {"ulr": "http://example.com/"}`), "/callback/ulr"},
		{"a callback that is a string", whole(`"callback": "http://example.com/"`), "/callback"},

		{"a header name with a space", header("X A", "1"), "/additional_headers/X A"},
		{"a header name with a colon", header("X:", "1"), "/additional_headers/X:"},
		{"an empty header name", header("", "1"), "/additional_headers/"},
		{"a header name of 257 characters", header(strings.Repeat("x", 257), "1"), "/additional_headers/" + strings.Repeat("x", 257)},
		{"a header value with a line feed", header("X-A", "1\r\nX-B: 2"), "/additional_headers/X-A"},
		{"a header value of over 4 KiB", header("X-A", strings.Repeat("v", 4097)), "/additional_headers/X-A"},
		{"twenty-one headers", whole(`"additional_headers": {` + many(21, `"X-#": "1"`) + `}`), "/additional_headers"},
		{"headers of over 16 KiB", whole(`"additional_headers": {` + many(5, `"X-#": "`+strings.Repeat("v", 4000)+`"`) + `}`), "/additional_headers"},
		{"a header that is a number", whole(`"additional_headers": {"X-A": 1}`), "/additional_headers"},
		{"a header that is null", whole(`"additional_headers": {"X-A": null}`), "/additional_headers"},

		{"retries -1", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": -1}`), "/retry_countdown_config/max_retries"},
		{"retries 0", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 0}`), "/retry_countdown_config/max_retries"},
		{"retries 25", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 25}`), "/retry_countdown_config/max_retries"},
		{"retries 1e9", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 1000000000}`), "/retry_countdown_config/max_retries"},
		{"retries as text", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": "3"}`), "/retry_countdown_config/max_retries"},
		{"retries 1.5", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 1.5}`), "/retry_countdown_config/max_retries"},
		{"a delay of 0", retry(`{"choice": "fixed", "kwargs": {"seconds": 0}}`), "/retry_countdown_config/kwargs/seconds"},
		{"a delay of -1", retry(`{"choice": "fixed", "kwargs": {"seconds": -1}}`), "/retry_countdown_config/kwargs/seconds"},
		{"a delay of 1e18", retry(`{"choice": "fixed", "kwargs": {"seconds": 1000000000000000000}}`), "/retry_countdown_config/kwargs/seconds"},
		{"a delay of 2^63", retry(`{"choice": "fixed", "kwargs": {"seconds": 9223372036854775808}}`), "/retry_countdown_config/kwargs/seconds"},
		{"a delay of 1e400", retry(`{"choice": "fixed", "kwargs": {"seconds": 1e400}}`), "/retry_countdown_config/kwargs/seconds"},
		{"a delay as text", retry(`{"choice": "fixed", "kwargs": {"seconds": "PT0S"}}`), "/retry_countdown_config/kwargs/seconds"},
		{"an empty schedule", retry(`{"choice": "schedule", "kwargs": {"seconds": []}}`), "/retry_countdown_config/kwargs/seconds"},
		{"a schedule of 25", retry(`{"choice": "schedule", "kwargs": {"seconds": [` + many(25, "1") + `]}}`), "/retry_countdown_config/kwargs/seconds"},
		{"a schedule of over 8 days", retry(`{"choice": "schedule", "kwargs": {"seconds": [` + many(9, "86400") + `]}}`), "/retry_countdown_config/kwargs/seconds"},
		{"a jitter of 1.1", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "jitter": 1.1}`), "/retry_countdown_config/jitter"},
		{"a choice that is none", retry(`{"choice": "fibonacci"}`), "/retry_countdown_config/choice"},
		{"a parameter of another choice", retry(`{"choice": "fixed", "kwargs": {"seconds": 60, "base": 2}}`), "/retry_countdown_config/kwargs/base"},
		{"an unknown member", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "x": 1}`), "/retry_countdown_config/x"},
		{"a retry config that is a list", retry(`[]`), "/retry_countdown_config"},

		{"a timeout of 0", whole(`"config": {"timeout": 0}`), "/config/timeout"},
		{"a timeout of 31", whole(`"config": {"timeout": 31}`), "/config/timeout"},
		{"a concurrency of 0", whole(`"config": {"concurrency": 0}`), "/config/concurrency"},
		{"a concurrency of 1e6", whole(`"config": {"concurrency": 1000000}`), "/config/concurrency"},
		{"another format", whole(`"config": {"format": "xml"}`), "/config/format"},
		{"another method", whole(`"config": {"method": "GET"}`), "/config/method"},
		{"a status to stop on that is none", whole(`"config": {"stop_on": [200]}`), "/config/stop_on"},
		{"a forbidden API key header", whole(`"config": {"api_key_header": "Host"}`), "/config/api_key_header"},
		{"auth of another type", whole(`"config": {"auth": {"auth_type": "kerberos", "username": "u"}}`), "/config/auth/auth_type"},
		{"a config that is a list", whole(`"config": []`), "/config"},
		{"a config of over 64 KiB", whole(`"config": {"x": "` + strings.Repeat("x", 64<<10) + `"}`), "/config"},
	}
	for _, c := range cases {
		a := w.call(t, http.MethodPost, hooks, c.body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s: %s", c.name, a.text)
		require.Contains(t, a.pointers(), c.pointer, "%s: %s", c.name, a.text)
	}
	require.Empty(t, w.call(t, http.MethodGet, hooks, "").json["results"], "nothing was stored")
}

func TestForbiddenHeadersAreRefusedInAnySpelling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{
		"Host", "Content-Length", "Transfer-Encoding", "TE", "Trailer", "Connection", "Keep-Alive", "Proxy-Authorization", "Upgrade", "Expect",
		"Content-Encoding", "Content-Type", "User-Agent", "Accept-Encoding", "Cookie", "Date", "Via", "Forwarded", "X-Forwarded-For", "webhook-id",
		"svix-id", "Idempotency-Key", "X-Idempotency-Key", "X-Amz-Date", "X-Aws-Ec2-Metadata-Token", "Metadata-Flavor", "Metadata", "X-Google-Metadata",
	} {
		for _, spelling := range []string{name, strings.ToUpper(name), strings.ReplaceAll(name, "-", "_")} {
			a := w.call(t, http.MethodPost, hooks, fmt.Sprintf(
				`{"event_type": "package.created", "target_url": "http://example.com/", "additional_headers": {%q: "1"}}`, spelling))
			require.Equal(t, http.StatusUnprocessableEntity, a.status, spelling)
			require.Equal(t, []string{"/additional_headers/" + spelling}, a.pointers())
		}
	}
}

func TestAnUnknownTypeIsAnsweredWithTheNearestOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call(t, http.MethodPost, hooks, `{"event_type": "package.creatd", "target_url": "http://example.com/"}`)
	require.Contains(t, a.text, "package.created")

	require.Equal(t, 201, w.call(t, http.MethodPost, hooks+"registry/", `{"name": "kiosk.opened"}`).status)
	a = w.call(t, http.MethodPost, hooks, `{"event_type": "kiosk.openend", "target_url": "http://example.com/"}`)
	require.Contains(t, a.text, "kiosk.opened")
	w.create(t, `{"event_type": "kiosk-opened", "target_url": "http://example.com/"}`)
}

func TestAllProblemsOfARequestComeAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call(t, http.MethodPost, hooks, `{"event_type": "nope", "target_url": "http://10.0.0.1/", "name": "`+strings.Repeat("n", 300)+`", "config": {"timeout": 99}}`)
	require.ElementsMatch(t, []string{"/config/timeout", "/name", "/event_type", "/target_url"}, a.pointers(), a.text)
}

func TestOneTargetAndSetOfTypesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.create(t, `{"event_types": ["order.created", "order.updated"], "target_url": "http://example.com/a"}`)
	again := w.call(t, http.MethodPost, hooks, `{"event_types": ["order-updated", "order.created"], "target_url": "http://EXAMPLE.com/a"}`)
	require.Equal(t, http.StatusConflict, again.status)
	require.Equal(t, first["id"], again.json["existing_id"])

	other := w.create(t, `{"event_types": ["order.created"], "target_url": "http://example.com/a"}`)
	moved := w.call(t, http.MethodPatch, path(other), `{"event_types": ["order.created", "order.updated"]}`)
	require.Equal(t, http.StatusConflict, moved.status)
	require.Equal(t, first["id"], moved.json["existing_id"])

	w.tenant(t, "other")
	w.create(t, `{"event_types": ["order.created", "order.updated"], "target_url": "http://example.com/a"}`, header("X-Whisperer-Tenant", "other"))
}

func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.HookQuota = 2 })
	w.create(t, `{"event_type": "*", "target_url": "http://example.com/1"}`)
	w.create(t, `{"event_type": "*", "target_url": "http://example.com/2"}`)
	a := w.call(t, http.MethodPost, hooks, `{"event_type": "*", "target_url": "http://example.com/3"}`)
	require.Equal(t, http.StatusConflict, a.status)
	require.NotContains(t, a.json, "existing_id")
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

	w.tenant(t, "other")
	w.create(t, oldExample, key, header("X-Whisperer-Tenant", "other"))

	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, path(first), "").status)
	require.Equal(t, http.StatusUnprocessableEntity, w.call(t, http.MethodPost, hooks, oldExample, key).status)
	require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodPost, hooks, oldExample, header("Idempotency-Key", strings.Repeat("k", 256))).status)
}

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
	stored, err := w.db.Hook(t.Context(), "default", uuid.MustParse(hook["id"].(string)))
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

	_, err := w.db.DisableHook(t.Context(), "test", uuid.MustParse(hook["id"].(string)), "the receiver answered 410")
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
	w.call(t, http.MethodPatch, path(hook), `{"name": "n"}`) // refused: no entry
	log, _, err := w.db.AuditLog(t.Context(), "default", postgres.AuditFilter{}, postgres.Page{Limit: 10})
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
