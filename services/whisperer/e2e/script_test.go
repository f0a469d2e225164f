package e2e_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// script is an integrator's script that was written for the predecessor.
type script struct {
	t          *testing.T
	api, token string
	client     *http.Client
}

// do sends a request as the script does and decodes the response.
func (s *script) do(method, path string, body any) (status int, answer map[string]any) {
	s.t.Helper()
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(s.t, err)
		sent = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.api+path, sent)
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Token "+s.token)
	r.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(r)
	require.NoError(s.t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	if len(raw) > 0 {
		require.NoError(s.t, json.Unmarshal(raw, &answer), string(raw))
	}
	return res.StatusCode, answer
}

// shop is the script's receiver: it checks what it always checked, and answers according to the path.
type shop struct {
	*httptest.Server

	mu    sync.Mutex
	seen  map[string][]*http.Request // by path
	wrong []string
}

const shopSecret = "any pässword"

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{seen: map[string][]*http.Request{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler. Paths that begin with /flaky fail the first time, those with /dead always.
func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/login" {
		var sent struct{ Username, Password string }
		if json.Unmarshal(body, &sent) != nil || sent.Username != "erp" || sent.Password != "pässword" {
			w.WriteHeader(http.StatusForbidden)
		}
		fmt.Fprint(w, `{"key":"t-1"}`)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check(r, body)
	s.seen[r.URL.Path] = append(s.seen[r.URL.Path], r)
	if strings.HasPrefix(r.URL.Path, "/flaky") && len(s.seen[r.URL.Path]) == 1 || strings.HasPrefix(r.URL.Path, "/dead") && r.Header.Get("X-Whisperer-Replay") == "" {
		w.WriteHeader(http.StatusBadGateway)
	}
}

// check does what such receivers do: it verifies the signature over the exact bytes, and the four keys of the body.
func (s *shop) check(r *http.Request, body []byte) {
	mac := hmac.New(sha256.New, []byte(shopSecret))
	mac.Write(body)
	if r.Header.Get("X-Whisperer-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
		s.wrong = append(s.wrong, r.URL.Path+": the signature is not that of the body")
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		s.wrong = append(s.wrong, r.URL.Path+": it is no POST of JSON")
	}
	want := `,"event_type":"order.created","current_context":{"user":7},"data":{"id": 61, "total": 1.50}}`
	if !strings.HasPrefix(string(body), `{"event_time":"`) || !strings.HasSuffix(string(body), want) {
		s.wrong = append(s.wrong, r.URL.Path+": the body is "+string(body))
	}
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "X-Whisperer-Event", "X-Whisperer-Delivery", "X-Whisperer-Event-Id", "X-Whisperer-Attempt", "Traceparent", "User-Agent"} {
		if r.Header.Get(name) == "" {
			s.wrong = append(s.wrong, r.URL.Path+": there is no header "+name)
		}
	}
}

// at returns the requests to a path so far.
func (s *shop) at(path string) []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen[path])
}

// await waits until a path has got n requests.
func (s *shop) await(t *testing.T, path string, n int) []*http.Request {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.at(path)) >= n }, 2*time.Minute, 20*time.Millisecond, "%s: %d requests", path, len(s.at(path)))
	return s.at(path)
}

func TestAnOldIntegratorsScriptAndReceiverWorkUnchanged(t *testing.T) {
	t.Parallel()
	sys, shop := newSystem(t), newShop(t)
	s := &script{t: t, api: sys.api, token: sys.token, client: &http.Client{Timeout: time.Minute}}
	sys.start("delivery-worker")

	status, list := s.do(http.MethodGet, "/whisperer/hooks", nil) // no slash
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{"next": nil, "previous": nil, "results": []any{}}, list)

	hooks := s.createHooks(shop.URL)
	s.readAndChange(hooks["/plain"])
	before := time.Now().Add(-time.Minute)
	require.NoError(t, sys.bus.PublishEvents(t.Context(), []bus.Outgoing{{
		Tenant: webhook.DefaultTenant, Type: "order.created",
		Body: []byte(`{"event_id":"o-61","entity":"order:61","current_context":{"user":7},"config_filter":{"channel_id":12},"data":{"id": 61, "total": 1.50}}`),
	}}))

	for path := range hooks {
		switch {
		case strings.HasPrefix(path, "/flaky"):
			got := shop.await(t, path, 2)
			require.Equal(t, got[0].Header.Get("Webhook-Id"), got[1].Header.Get("Webhook-Id"), path)
		case path != "/otherchannel" && path != "/off":
			shop.await(t, path, 1)
		}
	}
	basic := shop.await(t, "/basic", 1)[0]
	user, password, _ := basic.BasicAuth()
	require.Equal(t, "erp pässword", user+" "+password)
	require.Equal(t, "JWT t-1", shop.await(t, "/token", 1)[0].Header.Get("Authorization"))
	require.Equal(t, "12", basic.Header.Get("X-Shop"))
	s.lookUp(hooks, before)
	s.retry(hooks["/dead"], shop)
	require.Empty(t, shop.at("/otherchannel"), "config_filter keeps the event from another channel's hook")
	require.Empty(t, shop.at("/off"), "an inactive hook gets nothing")

	for path, id := range hooks {
		status, _ := s.do(http.MethodDelete, "/whisperer/hooks/"+id, nil)
		require.Equal(t, http.StatusNoContent, status, path)
	}
	shop.mu.Lock()
	defer shop.mu.Unlock()
	require.Empty(t, shop.wrong)
}

type fields = map[string]any

// createHooks creates one hook for each retry choice, and for each kind of config, and returns their ids by path.
func (s *script) createHooks(receiver string) map[string]string {
	s.t.Helper()
	countdown := func(choice string, kwargs fields) fields { return fields{"choice": choice, "kwargs": kwargs} }
	once := countdown("fixed", fields{"seconds": 1})
	once["max_retries"] = 1
	ids := map[string]string{}
	for path, more := range map[string]fields{
		"/plain":             {"name": "ERP"},
		"/flaky/fixed":       {"retry_countdown_config": countdown("fixed", fields{"seconds": 1})},
		"/flaky/linear":      {"retry_countdown_config": countdown("linear", fields{"base": 1, "limit": 600})},
		"/flaky/exponential": {"retry_countdown_config": countdown("exponential", fields{"base": 1, "factor": 1, "limit": 3600})},
		"/flaky/random":      {"retry_countdown_config": countdown("random", fields{"min_value": 1, "max_value": 2})},
		"/flaky/schedule":    {"retry_countdown_config": countdown("schedule", fields{"seconds": []int{1, 5}})},
		"/dead":              {"retry_countdown_config": once},
		"/basic": {
			"config":             fields{"channel_id": 12, "auth": fields{"auth_type": "basic", "username": "erp", "password": "pässword"}},
			"additional_headers": fields{"X-Shop": "12"},
		},
		"/token": {"config": fields{"channel_id": 12, "auth": fields{
			"auth_type": "token", "url": receiver + "/login", "username": "erp", "password": "pässword", "token_key": "key", "header_format": "JWT {}",
		}}},
		"/otherchannel": {"config": fields{"channel_id": 13}},
		"/off":          {"is_active": false},
	} {
		body := fields{
			"event_type": "order-created", "target_url": receiver + path, "secret_key": shopSecret, "additional_headers": nil, "callback": nil,
			"retry_countdown_config": nil, "config": fields{"channel_id": 12}, "is_active": true, "notification_type": "rest",
		}
		maps.Copy(body, more)
		status, hook := s.do(http.MethodPost, "/whisperer/hooks/", body)
		require.Equal(s.t, http.StatusCreated, status, hook)
		require.Equal(s.t, body["target_url"], hook["target_url"])
		require.Equal(s.t, body["is_active"], hook["is_active"])
		require.Contains(s.t, hook["config"], "channel_id")
		require.NotContains(s.t, hook, "secret_key")
		if body["retry_countdown_config"] != nil {
			sent, err := json.Marshal(body["retry_countdown_config"])
			require.NoError(s.t, err)
			back, err := json.Marshal(hook["retry_countdown_config"])
			require.NoError(s.t, err)
			require.JSONEq(s.t, string(sent), string(back))
		}
		ids[path] = hook["id"].(string)
	}
	return ids
}

// readAndChange reads, filters, writes back and patches a hook, with and without the slash.
func (s *script) readAndChange(id string) {
	s.t.Helper()
	for _, path := range []string{"/whisperer/hooks/" + id, "/whisperer/hooks/" + id + "/"} {
		status, hook := s.do(http.MethodGet, path, nil)
		require.Equal(s.t, http.StatusOK, status)
		status, again := s.do(http.MethodPut, path, hook) // writes back what was read
		require.Equal(s.t, http.StatusOK, status, again)
		status, hook = s.do(http.MethodPatch, path, fields{"name": "SAP", "is_active": true})
		require.Equal(s.t, http.StatusOK, status)
		require.Equal(s.t, "SAP", hook["name"])
		require.Equal(s.t, true, hook["has_secret"], "what is not sent stays")
		for _, query := range []string{"target_url=" + url.QueryEscape(hook["target_url"].(string)), "search=SAP"} {
			status, list := s.do(http.MethodGet, "/whisperer/hooks?"+query, nil)
			require.Equal(s.t, http.StatusOK, status)
			require.Len(s.t, list["results"], 1, query)
		}
	}
	status, list := s.do(http.MethodGet, "/whisperer/hooks/?is_active=false&event_type=order-created", nil)
	require.Equal(s.t, http.StatusOK, status)
	require.Len(s.t, list["results"], 1)
	status, types := s.do(http.MethodGet, "/whisperer/hooks/registry", nil)
	require.Equal(s.t, http.StatusOK, status)
	require.NotEmpty(s.t, types["results"])
}

// found returns how many hook events a query finds.
func (s *script) found(query string) int {
	s.t.Helper()
	status, list := s.do(http.MethodGet, "/whisperer/hook_events"+query, nil)
	require.Equal(s.t, http.StatusOK, status, "%s: %v", query, list)
	return len(list["results"].([]any))
}

// lookUp filters hook events by every filter of the predecessor: once with a value that matches, and once with one
// that does not.
func (s *script) lookUp(hooks map[string]string, before time.Time) {
	s.t.Helper()
	fixed := hooks["/flaky/fixed"]
	require.Eventually(s.t, func() bool {
		return s.found("?webhook="+fixed+"&delivered=true") == 1 && s.found("?webhook="+hooks["/dead"]+"&delivered=false&response_http_status=502") == 1
	}, 2*time.Minute, 100*time.Millisecond)
	status, list := s.do(http.MethodGet, "/whisperer/hook_events/?webhook="+fixed, nil)
	require.Equal(s.t, http.StatusOK, status)
	event := list["results"].([]any)[0].(map[string]any)
	require.Equal(s.t, "order.created", event["event_type"])
	require.Equal(s.t, true, event["delivered"])
	require.Equal(s.t, "o-61", event["uuid"])
	require.Equal(s.t, "61", event["object_id"])
	require.InDelta(s.t, 200, event["response_http_status"], 0)
	require.Equal(s.t, fixed, event["webhook"].(map[string]any)["id"])
	at := func(t time.Time) string { return url.QueryEscape(t.Format(time.RFC3339)) }
	after := time.Now().Add(time.Minute)
	for query, want := range map[string]bool{
		"webhook=" + fixed: true, "webhook=" + hooks["/otherchannel"]: false, "event_type=order-created": true, "event_type=order.created": true,
		"event_type=order-cancelled": false, "delivered=True": true, "delivered=1": true, "uuid=o-61": true, "uuid=o-62": false,
		"response_http_status=200": true, "response_http_status=418": false, "object_id=61": true, "object_id=6": false,
		"created_date=" + url.QueryEscape(event["created_date"].(string)): true, "created_date__gt=" + at(before): true, "created_date__gt=" + at(after): false,
		"created_date__gte=" + at(before): true, "created_date__lt=" + at(after): true, "created_date__lt=" + at(before): false, "created_date__lte=" + at(after): true,
		"created_date__gte=" + before.Format(time.DateOnly) + "&delivered=true&object_id=61": true,
	} {
		require.Equal(s.t, want, s.found("?"+query) > 0, query)
	}
}

// retry retries a failed hook event, and waits for it.
func (s *script) retry(hook string, shop *shop) {
	s.t.Helper()
	var event map[string]any
	require.Eventually(s.t, func() bool {
		_, list := s.do(http.MethodGet, "/whisperer/hook_events/?webhook="+hook, nil)
		event = list["results"].([]any)[0].(map[string]any)
		return event["state"] == "dead"
	}, 2*time.Minute, 100*time.Millisecond)
	tried := len(shop.at("/dead"))
	status, answer := s.do(http.MethodPost, fmt.Sprintf("/whisperer/hook_events/%s/retry", event["id"]), nil)
	require.Equal(s.t, http.StatusOK, status, answer)
	require.Equal(s.t, true, answer["delivered"], answer)
	require.InDelta(s.t, 200, answer["response_status"], 0)
	got := shop.await(s.t, "/dead", tried+1)
	require.Equal(s.t, "true", got[tried].Header.Get("X-Whisperer-Replay"))
	require.Equal(s.t, got[0].Header.Get("Webhook-Id"), got[tried].Header.Get("Webhook-Id"))
	require.Eventually(s.t, func() bool { return s.found("?webhook="+hook+"&delivered=true") == 1 }, 2*time.Minute, 100*time.Millisecond)
}
