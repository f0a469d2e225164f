package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// asked counts the handshakes that a receiver got.
func asked(r *testenv.Receiver, path string) int {
	n := 0
	for _, q := range r.Got(path) {
		if q.Method == http.MethodOptions {
			n++
		}
	}
	return n
}

func TestReceiversAreAskedBeforeAHookSendsToThem(t *testing.T) {
	t.Parallel()
	const origin = "hooks.example.com"
	s := newSystemOn(t, testenv.Postgres(t), testenv.NATS(t), "WHISPERER_PUBLIC_URL=https://"+origin+"/base")
	other := testenv.NewReceiver(t)
	for _, r := range []*testenv.Receiver{s.receiver, other} {
		r.React(func(q testenv.Received) testenv.Answer {
			if q.Method != http.MethodOptions {
				return testenv.Answer{}
			}
			allowed := map[string]string{"/exact": strings.ToUpper(origin), "/star": "*", "/foreign": "evil.example.com", "/part": origin + ".evil.example.com", "/refuses": origin, "/moved": origin}[q.Path]
			status := map[string]int{"/refuses": http.StatusForbidden, "/moved": http.StatusFound}[q.Path]
			answer := testenv.Answer{Status: status, Header: http.Header{}}
			if allowed != "" {
				answer.Header.Set("WebHook-Allowed-Origin", allowed)
			}
			return answer
		})
	}
	body := func(r *testenv.Receiver, path, more string) string {
		return `{"event_type":"order.*","target_url":"` + r.URL + path + `","secret_key":"` + secret + `","api_key":"key"` + more + `}`
	}
	refused := func(answer map[string]any, pointer, detail string) {
		t.Helper()
		problem := answer["errors"].([]any)[0].(map[string]any)
		require.Equal(t, pointer, problem["pointer"])
		require.Contains(t, problem["detail"], detail)
	}
	policy := func(text string) {
		s.post("/whisperer/tenants/", `{"name":"default","handshake":"`+text+`"}`, http.StatusOK)
	}

	t.Log("off: nobody is asked")
	s.hook(body(s.receiver, "/before", ""))
	require.Zero(t, asked(s.receiver, "/before"))
	refused(s.post("/whisperer/tenants/", `{"name":"default","handshake":"sometimes"}`, http.StatusUnprocessableEntity), "/handshake", "must be off, new_hosts or always")
	s.post("/whisperer/tenants/", `{"name":"default","handshake":7}`, http.StatusUnprocessableEntity)

	t.Log("always: each hook's receiver")
	policy("Always")
	for path, detail := range map[string]string{
		"/silent": "answered 200 without that header", "/foreign": "allows only another origin", "/part": "allows only another origin", "/refuses": "answered 403", "/moved": "answered 302",
	} {
		answer := s.post("/whisperer/hooks/", body(s.receiver, path, ""), http.StatusUnprocessableEntity)
		refused(answer, "/target_url", detail)
		refused(answer, "/target_url", "OPTIONS with WebHook-Request-Origin: "+origin+", 2xx and WebHook-Allowed-Origin: "+origin+" or *")
		require.Equal(t, 1, asked(s.receiver, path))
	}
	refused(s.post("/whisperer/hooks/", `{"event_type":"order.*","target_url":"http://127.0.0.1:1/x"}`, http.StatusUnprocessableEntity), "/target_url", "did not answer")
	refused(s.post("/whisperer/hooks/", body(s.receiver, "/star", `,"callback":{"url":"`+other.URL+`/silent"}`), http.StatusUnprocessableEntity), "/callback/url", "without that header")
	id := s.hook(body(s.receiver, "/exact", ""))
	got := s.receiver.Got("/exact")
	require.Len(t, got, 1)
	require.Equal(t, origin, got[0].Header.Get("WebHook-Request-Origin"))
	require.Empty(t, got[0].Header.Get("X-Api-Key"), "no secret goes to who has not agreed")
	require.Empty(t, got[0].Header.Get("Webhook-Signature"))
	require.Empty(t, got[0].Body)

	t.Log("a change is asked for where it leads to another host")
	path := "/whisperer/hooks/" + id + "/"
	s.call(http.MethodPatch, path, `{"name":"n"}`, http.StatusOK)
	s.call(http.MethodPatch, path, `{"target_url":"`+s.receiver.URL+`/silent/path"}`, http.StatusOK)
	require.Zero(t, asked(s.receiver, "/silent/path"), "the host has agreed")
	version := s.get(path)["version"]
	refused(s.call(http.MethodPatch, path, `{"target_url":"`+other.URL+`/silent","secret_key":"`+secret+`","api_key":"key"}`, http.StatusUnprocessableEntity), "/target_url", "without that header")
	refused(s.call(http.MethodPut, path, body(other, "/refuses", ""), http.StatusUnprocessableEntity), "/target_url", "answered 403")
	refused(s.call(http.MethodPatch, path, `{"callback":{"url":"`+other.URL+`/foreign"}}`, http.StatusUnprocessableEntity), "/callback/url", "another origin")
	refused(s.post(path+"test/", `{"hook":`+body(other, "/silent", "")+`,"event_type":"order.created"}`, http.StatusUnprocessableEntity), "/hook/target_url", "without that header")
	require.Equal(t, version, s.get(path)["version"], "nothing was stored")
	for _, q := range append(other.Got("/silent"), other.Got("/foreign")...) {
		require.Equal(t, http.MethodOptions, q.Method, "nothing was sent")
	}
	s.call(http.MethodPatch, path, `{"target_url":"`+other.URL+`/star","secret_key":"`+secret+`","api_key":"key"}`, http.StatusOK)
	s.hook(body(other, "/exact", ""))
	require.Equal(t, 1, asked(other, "/exact"))

	t.Log("new_hosts: hosts that no hook has")
	policy("new_hosts")
	s.hook(body(other, "/silent/known", ""))
	require.Zero(t, asked(other, "/silent/known"))
	third := testenv.NewReceiver(t)
	refused(s.post("/whisperer/hooks/", body(third, "/x", ""), http.StatusUnprocessableEntity), "/target_url", "without that header")
	refused(s.post("/whisperer/hooks/", body(s.receiver, "/z", `,"callback":{"url":"`+third.URL+`/cb"}`), http.StatusUnprocessableEntity), "/callback/url", "without that header")

	t.Log("it is the operator's to say, and in the audit log")
	plain, _, err := s.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "tenant's", Tenant: "default", Role: store.Admin})
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.api+"/whisperer/tenants/", strings.NewReader(`{"name":"default","handshake":"off"}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Token "+plain)
	req.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	log, _, err := s.db.Access.ListAudit(t.Context(), webhook.DefaultTenant, store.AuditFilter{}, store.Page{Limit: 200})
	require.NoError(t, err)
	counts := map[string]int{}
	for _, e := range log {
		counts[e.Action]++
		if e.Action == "hook.handshake" {
			require.Contains(t, string(e.Detail), "agreed")
		}
	}
	require.Equal(t, 2, counts["tenant.changed"], fmt.Sprint(counts))
	require.Equal(t, 17, counts["hook.handshake"], fmt.Sprint(counts))
}

func TestAHandshakeNeedsThePublicURL(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	answer := s.post("/whisperer/tenants/", `{"name":"default","handshake":"always"}`, http.StatusUnprocessableEntity)
	require.Contains(t, fmt.Sprint(answer["errors"]), "WHISPERER_PUBLIC_URL")
	require.NoError(t, s.db.Access.SetHandshakePolicy(t.Context(), "test", webhook.DefaultTenant, webhook.HandshakeAlways)) // while it was set
	answer = s.post("/whisperer/hooks/", `{"event_type":"order.*","target_url":"`+s.receiver.URL+`/x"}`, http.StatusUnprocessableEntity)
	require.Contains(t, fmt.Sprint(answer["errors"]), "an operator has to set WHISPERER_PUBLIC_URL")
	require.Empty(t, s.receiver.Got("/x"))
}
