package webhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func validHook(t *testing.T) webhook.Hook {
	t.Helper()
	return webhook.Hook{
		ID: uuid.New(), Tenant: "acme", Name: "ERP", EventTypes: []string{"package.>"}, TargetURL: "https://erp.example/hooks",
		NotificationType: webhook.NotificationREST, Config: parseConfig(t, `{"channel_id":12}`), Status: webhook.Active,
	}
}

// auth returns an edit that sets config.auth and these headers.
func auth(text string, headers ...string) func(h *webhook.Hook) {
	return withConfig(`{"auth":`+text+`}`, headers)
}

// key returns an edit that sets an API key, keys of the config, and these headers.
func key(keys string, headers ...string) func(h *webhook.Hook) {
	return func(h *webhook.Hook) {
		withConfig(`{`+keys+`}`, headers)(h)
		h.APIKey = "k"
	}
}

func withConfig(text string, headers []string) func(h *webhook.Hook) {
	return func(h *webhook.Hook) {
		c, err := webhook.ParseConfig(json.RawMessage(text))
		if err != nil {
			panic(err)
		}
		h.Config, h.Headers = c, map[string]string{}
		for _, name := range headers {
			h.Headers[name] = "v"
		}
	}
}

func TestBlanksAtTheEndsOfHeaderValuesAreTrimmed(t *testing.T) {
	t.Parallel()
	given := map[string]string{"X-Shop": "berlin ", "X-Tab": "\tv\t ", "X-Inner": "a b", "X-Empty": " "}
	h := validHook(t)
	h.Headers, h.APIKey, h.Labels = given, " k ", map[string]string{"partner": " acme", "region": "north west"}
	h.Trim()
	require.Equal(t, map[string]string{"partner": "acme", "region": "north west"}, h.Labels, "as selectors are read")
	require.Equal(t, map[string]string{"X-Shop": "berlin", "X-Tab": "v", "X-Inner": "a b", "X-Empty": ""}, h.Headers)
	require.Equal(t, "k", h.APIKey)
	require.Equal(t, "berlin ", given["X-Shop"], "another's map is left alone")
}

func TestHooksAreValidated(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := map[string]struct {
		edit func(h *webhook.Hook)
		want []string
	}{
		"a plain one":                  {func(*webhook.Hook) {}, nil},
		"a nameless one":               {func(h *webhook.Hook) { h.Name = "" }, nil},
		"paused":                       {func(h *webhook.Hook) { h.Status = webhook.Paused }, nil},
		"the longest name":             {func(h *webhook.Hook) { h.Name = long(255) }, nil},
		"a name too long":              {func(h *webhook.Hook) { h.Name = long(256) }, []string{"/name"}},
		"a name with a line feed":      {func(h *webhook.Hook) { h.Name = "a\nb" }, []string{"/name"}},
		"a name that is not UTF-8":     {func(h *webhook.Hook) { h.Name = "\xff" }, []string{"/name"}},
		"no event types":               {func(h *webhook.Hook) { h.EventTypes = nil }, []string{"/event_types"}},
		"51 event types":               {func(h *webhook.Hook) { h.EventTypes = many(51) }, []string{"/event_types"}},
		"50 event types":               {func(h *webhook.Hook) { h.EventTypes = many(50) }, nil},
		"an event type that is none":   {func(h *webhook.Hook) { h.EventTypes = []string{"a", "A"} }, []string{"/event_types"}},
		"no target":                    {func(h *webhook.Hook) { h.TargetURL = "" }, []string{"/target_url"}},
		"a target too long":            {func(h *webhook.Hook) { h.TargetURL = long(2049) }, []string{"/target_url"}},
		"another notification type":    {func(h *webhook.Hook) { h.NotificationType = "mail" }, []string{"/notification_type"}},
		"an empty secret":              {func(h *webhook.Hook) { h.Secrets = []webhook.Secret{{}} }, []string{"/secret_key"}},
		"a secret too long":            {func(h *webhook.Hook) { h.Secrets = []webhook.Secret{{Value: long(1025)}} }, []string{"/secret_key"}},
		"a secret with a line feed":    {func(h *webhook.Hook) { h.Secrets = []webhook.Secret{{Value: "a\n"}} }, []string{"/secret_key"}},
		"a secret of any text":         {func(h *webhook.Hook) { h.Secrets = []webhook.Secret{{Value: "pässword 1"}} }, nil},
		"an api key with a line feed":  {func(h *webhook.Hook) { h.APIKey = "a\n" }, []string{"/api_key"}},
		"an api key too long":          {func(h *webhook.Hook) { h.APIKey = long(1025) }, []string{"/api_key"}},
		"basic auth":                   {auth(`{"auth_type":"basic","username":"u","password":"p:q"}`), nil},
		"a user name with a colon":     {auth(`{"auth_type":"basic","username":"u:v","password":"p"}`), []string{"/config/auth/username"}},
		"a log-in with a colon":        {auth(`{"auth_type":"token","url":"https://a.example/","username":"u:v","password":"p"}`), nil},
		"auth beside Authorization":    {auth(`{"auth_type":"basic","username":"u","password":"p"}`, "authorization"), []string{"/additional_headers/authorization"}},
		"oauth2 beside Authorization":  {auth(`{"auth_type":"oauth2","token_url":"https://a.example/","client_id":"c"}`, "AUTHORIZATION"), []string{"/additional_headers/AUTHORIZATION"}},
		"a token beside Authorization": {auth(`{"auth_type":"token","url":"https://a.example/","username":"u"}`, "Authorization"), []string{"/additional_headers/Authorization"}},
		"a token of another header":    {auth(`{"auth_type":"token","url":"https://a.example/","username":"u","header_name":"X-Token"}`, "Authorization"), nil},
		"a token's header, twice":      {auth(`{"auth_type":"token","url":"https://a.example/","username":"u","header_name":"X-Token"}`, "x-token"), []string{"/additional_headers/x-token"}},
		"Authorization alone":          {func(h *webhook.Hook) { h.Headers = map[string]string{"Authorization": "x"} }, nil},
		"an api key, twice":            {key(``, "x-api-key"), []string{"/additional_headers/x-api-key"}},
		"an api key of another header": {key(`"api_key_header":"X-Shop-Key"`, "X-API-Key"), nil},
		"that one, twice":              {key(`"api_key_header":"X-Shop-Key"`, "x-shop-KEY"), []string{"/additional_headers/x-shop-KEY"}},
		"an api key as authorization": {
			key(`"api_key_header":"authorization","auth":{"auth_type":"basic","username":"u","password":"p"}`, "X-A"), []string{"/api_key"},
		},
		"a header that is ours":        {func(h *webhook.Hook) { h.Headers = map[string]string{"Host": "x"} }, []string{"/additional_headers/Host"}},
		"too many headers":             {func(h *webhook.Hook) { h.Headers = headersOf(21) }, []string{"/additional_headers"}},
		"a retry config that is wrong": {retry(`{"choice":"fixed","kwargs":{"seconds":-1}}`), []string{"/retry_countdown_config/kwargs/seconds"}},
		"a retry config of null":       {retry(`null`), nil},
		"labels":                       {labels("partner", "acme", "a-b_1", "Ä 1"), nil},
		"a label without a value":      {labels("partner", ""), []string{"/labels/partner"}},
		"a label's value too long":     {labels("partner", long(64)), []string{"/labels/partner"}},
		"a label that is no word":      {labels("A/b", "x"), []string{"/labels/A~1b"}},
		"an unknown status":            {func(h *webhook.Hook) { h.Status = "enabled" }, []string{"/status"}},
		"a callback by URL":            {callback(webhook.Callback{URL: "https://oms.example/cb", On: []string{"delivered", "dead"}}), nil},
		"a callback by subject":        {callback(webhook.Callback{Subject: "whisperer.callback.acme.erp.done"}), nil},
		"a callback without a way":     {callback(webhook.Callback{}), []string{"/callback"}},
		"a callback by both ways":      {callback(webhook.Callback{URL: "https://oms.example/", Subject: "whisperer.callback.acme.x"}), []string{"/callback"}},
		"a callback to the event log":  {callback(webhook.Callback{Subject: "oms.acme.order.created"}), []string{"/callback/subject"}},
		"another tenant's callback":    {callback(webhook.Callback{Subject: "whisperer.callback.other.x"}), []string{"/callback/subject"}},
		"a callback to a wildcard":     {callback(webhook.Callback{Subject: "whisperer.callback.acme.>"}), []string{"/callback/subject"}},
		"a callback on what is none":   {callback(webhook.Callback{URL: "https://oms.example/", On: []string{"failed"}}), []string{"/callback/on"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := validHook(t)
			test.edit(&h)
			require.Equal(t, test.want, pointers(t, h.Validate()))
		})
	}
}

func labels(pairs ...string) func(*webhook.Hook) {
	return func(h *webhook.Hook) {
		h.Labels = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			h.Labels[pairs[i]] = pairs[i+1]
		}
	}
}

func many(n int) []string {
	types := make([]string, n)
	for i := range types {
		types[i] = fmt.Sprintf("type.n%d", i)
	}
	return types
}

func headersOf(n int) map[string]string {
	headers := map[string]string{}
	for i := range n {
		headers[fmt.Sprintf("X-%d", i)] = "v"
	}
	return headers
}

func retry(text string) func(*webhook.Hook) {
	return func(h *webhook.Hook) { h.RetryConfig = json.RawMessage(text) }
}

func callback(c webhook.Callback) func(*webhook.Hook) {
	return func(h *webhook.Hook) { h.Callback = &c }
}

func TestErrorsRepeatNoSecret(t *testing.T) {
	t.Parallel()
	h := validHook(t)
	h.Secrets = []webhook.Secret{{Value: "canary\n"}}
	h.APIKey = "canary\n"
	h.Headers = map[string]string{"X-Key": "canary\n"}
	err := h.Validate()
	require.Equal(t, []string{"/secret_key", "/api_key", "/additional_headers/X-Key"}, pointers(t, err))
	require.NotContains(t, err.Error(), "canary")
}

func TestLongForeignTextIsClippedInErrors(t *testing.T) {
	t.Parallel()
	h := validHook(t)
	h.EventTypes = []string{strings.Repeat("ü", 5000)}
	err := h.Validate()
	require.Equal(t, []string{"/event_types"}, pointers(t, err))
	require.Less(t, len(err.Error()), 500)
}

func TestAHookMatchesByTenantTypeAndFilter(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		event webhook.Event
		want  bool
	}{
		"its tenant and type":               {webhook.Event{Tenant: "acme", Type: "package.created"}, true},
		"another tenant":                    {webhook.Event{Tenant: "other", Type: "package.created"}, false},
		"another type":                      {webhook.Event{Tenant: "acme", Type: "order.created"}, false},
		"a filter that its config contains": {webhook.Event{Tenant: "acme", Type: "package.created", ConfigFilter: []byte(`{"channel_id":12}`)}, true},
		"a filter that it does not":         {webhook.Event{Tenant: "acme", Type: "package.created", ConfigFilter: []byte(`{"channel_id":1}`)}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := validHook(t)
			require.Equal(t, test.want, h.Matches(&test.event))
			h.Status = webhook.Paused
			require.Equal(t, test.want, h.Matches(&test.event), "the status does not count")
		})
	}
}

func TestAStoredRetryConfigThatCannotBeReadMeansTheDefault(t *testing.T) {
	t.Parallel()
	h := webhook.Hook{RetryConfig: json.RawMessage(`{"choice":"weekly"}`)}
	require.Equal(t, webhook.DefaultCountdown(), h.Countdown())
	h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":60},"max_retries":2}`)
	require.Equal(t, []time.Duration{time.Minute, time.Minute}, delays(h.Countdown()))
}
