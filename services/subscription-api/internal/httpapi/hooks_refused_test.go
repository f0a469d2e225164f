package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

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
		{"is_active as text", whole(`"is_active": "perhaps"`), "/is_active"},
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
		{"retries as text", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": "many"}`), "/retry_countdown_config/max_retries"},
		{"retries 1.5", retry(`{"choice": "fixed", "kwargs": {"seconds": 60}, "max_retries": 1.5}`), "/retry_countdown_config/max_retries"},
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
		"Content-Encoding", "Content-Type", "Accept-Encoding", "Cookie", "Date", "Via", "Forwarded", "X-Forwarded-For", "webhook-id",
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

	w.db.MakeTenant(t, "other")
	w.create(t, `{"event_types": ["order.created", "order.updated"], "target_url": "http://example.com/a"}`, header("X-Whisperer-Tenant", "other"))
}

func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Cases.HookQuota = 2 })
	w.create(t, `{"event_type": "*", "target_url": "http://example.com/1"}`)
	w.create(t, `{"event_type": "*", "target_url": "http://example.com/2"}`)
	a := w.call(t, http.MethodPost, hooks, `{"event_type": "*", "target_url": "http://example.com/3"}`)
	require.Equal(t, http.StatusConflict, a.status)
	require.NotContains(t, a.json, "existing_id")
}

func TestHeadersThatWouldBeSetTwiceAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ fields, pointer, other string }{
		{`"additional_headers":{"Authorization":"x"},"config":{"auth":{"auth_type":"basic","username":"u","password":"p"}}`, "/additional_headers/Authorization", "config.auth"},
		{`"additional_headers":{"x-api-key":"x"},"api_key":"k"`, "/additional_headers/x-api-key", "api_key"},
		{`"api_key":"k","config":{"api_key_header":"Authorization","auth":{"auth_type":"basic","username":"u","password":"p"}}`, "/api_key", "config.auth"},
		{`"config":{"auth":{"auth_type":"basic","username":"u:v","password":"p"}}`, "/config/auth/username", "colon"},
	} {
		answer := w.call(t, "POST", "/whisperer/hooks/", `{"event_type":"package.created","target_url":"https://example.com/",`+c.fields+`}`)
		require.Equal(t, http.StatusUnprocessableEntity, answer.status, answer.text)
		require.Contains(t, answer.text, `"`+c.pointer+`"`)
		require.Contains(t, answer.text, c.other)
	}
}

func TestAHookFromBeforeARuleCanStillBeChangedInOtherParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config, err := webhook.ParseConfig(json.RawMessage(`{"auth":{"auth_type":"basic","username":"u:v","password":"p"}}`))
	require.NoError(t, err, "what is stored can be read, and delivered")
	h, err := w.db.Hooks.Create(t.Context(), "test", webhook.Hook{
		Tenant: webhook.DefaultTenant, EventTypes: []string{"package.created"}, TargetURL: "https://example.com/", NotificationType: webhook.NotificationREST,
		Headers: map[string]string{"Authorization": "x"}, Config: config, Status: webhook.Active,
	}, 10, store.IdempotencyKey{})
	require.NoError(t, err)
	path := "/whisperer/hooks/" + h.ID.String() + "/"
	for _, change := range []string{`{"is_active":false}`, `{"name":"old"}`, `{"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":60}}}`} {
		answer := w.call(t, "PATCH", path, change)
		require.Equal(t, http.StatusOK, answer.status, answer.text)
	}
	answer := w.call(t, "PATCH", path, `{"additional_headers":{"authorization":"y"}}`)
	require.Equal(t, http.StatusUnprocessableEntity, answer.status, answer.text)
	require.Contains(t, answer.text, "/config/auth/username")
	require.Contains(t, answer.text, "/additional_headers/authorization")
	answer = w.call(t, "PATCH", path, `{"additional_headers":{"X-Shop":"berlin \t"},"config":{"auth":{"auth_type":"basic","username":"u","password":"v:p"}}}`)
	require.Equal(t, http.StatusOK, answer.status, answer.text)
	require.Contains(t, answer.text, `"X-Shop":"berlin"`)
}
