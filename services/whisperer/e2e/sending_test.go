package e2e_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// post calls the API and returns the response, which must have the status.
func (s *system) post(path, body string, status int) map[string]any {
	s.t.Helper()
	return s.call(http.MethodPost, path, body, status)
}

func (s *system) get(path string) map[string]any {
	s.t.Helper()
	return s.call(http.MethodGet, path, "", http.StatusOK)
}

func (s *system) call(method, path, body string, status int) map[string]any {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.api+path, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Token "+s.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, status, res.StatusCode, string(text))
	answer := map[string]any{}
	require.NoError(s.t, json.Unmarshal(text, &answer))
	return answer
}

// strict is a receiver that requires a client certificate and a token of its login.
type strict struct {
	*httptest.Server

	mu     sync.Mutex
	logins int
	got    []strictRequest
}

type strictRequest struct {
	http.Header
	client, body string
}

func newStrict(t *testing.T, ca *testenv.Authority) *strict {
	t.Helper()
	r := &strict{}
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		var in struct{ Username, Password string }
		if json.NewDecoder(q.Body).Decode(&in) != nil || in.Username != "oms" || in.Password != "pa$$" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		r.logins++
		fmt.Fprintf(w, `{"result":{"token":"t-%d"}}`, r.logins)
	})
	mux.HandleFunc("/in", func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if q.Header.Get("Authorization") != fmt.Sprintf("Token t-%d", r.logins) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.got = append(r.got, strictRequest{q.Header.Clone(), q.TLS.PeerCertificates[0].Subject.CommonName, string(body)})
		w.WriteHeader(http.StatusCreated)
	})
	r.Server = httptest.NewUnstartedServer(mux)
	r.TLS = &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(t, "127.0.0.1", time.Now().Add(time.Hour))}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool,
	}
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func (r *strict) requests() []strictRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]strictRequest(nil), r.got...)
}

func TestAReceiverBehindALoginAndAClientCertificateGetsTheFieldsItWants(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	ca := testenv.NewAuthority(t)
	r := newStrict(t, ca)
	cert, key := ca.IssuePEM(t, "whisperer", time.Now().Add(time.Hour))
	hook, err := json.Marshal(map[string]any{
		"event_type": "order.*", "target_url": r.URL + "/in", "secret_key": secret, "config": map[string]any{
			"format": "raw", "content_fields": []string{"/id", "/lines/0"},
			"tls": map[string]string{"client_certificate": cert, "client_key": key, "ca": ca.PEM},
			"auth": map[string]string{
				"auth_type": "token", "url": r.URL + "/login", "username": "oms", "password": "pa$$", "token_key": "/result/token", "header_format": "Token {token}",
			},
		},
	})
	require.NoError(t, err)
	tested := s.post("/whisperer/hooks/test/", `{"hook":`+string(hook)+`,"data":{"id":1.0,"secret":2}}`, http.StatusOK)
	require.Equal(t, `{"id":1.0}`, tested["request_body"])
	require.InDelta(t, http.StatusCreated, tested["attempt"].(map[string]any)["status"], 0)
	require.Len(t, r.requests(), 1)
	require.Equal(t, "true", r.requests()[0].Get("X-Whisperer-Test"))

	id := s.hook(string(hook))
	s.start("delivery-worker")
	for i := range 3 {
		require.NoError(t, s.publish(t.Context(), fmt.Sprintf(`{"event_id":"e-%d","data":{"lines":[{"sku":"a"},{"sku":"b"}],"secret":1, "id":%d.50}}`, i, i)))
		s.awaitRecorded(id, map[string]webhook.DeliveryState{fmt.Sprintf("e-%d", i): webhook.Delivered}, 1)
	}
	got := r.requests()
	require.Len(t, got, 4)
	verify, err := signature.ParseVerifyKey(secret)
	require.NoError(t, err)
	for i, q := range got[1:] {
		wanted := fmt.Sprintf(`{"lines":[{"sku":"a"}],"id":%d.50}`, i)
		require.Equal(t, wanted, q.body, "the exact text")
		require.Equal(t, "whisperer", q.client)
		require.NoError(t, signature.Verify(q.Header, []byte(q.body), []signature.VerifyKey{verify}, time.Now(), time.Minute))
	}
	r.mu.Lock()
	require.Equal(t, 2, r.logins, "one by the test, one by the worker")
	r.mu.Unlock()
	stats := s.post("/whisperer/hooks/"+id+"/test/", `{"hook":{"config":{"auth":{"auth_type":"token","url":"`+r.URL+`/login","username":"oms","password":"wrong"}}}}`, http.StatusOK)
	require.NotEqual(t, "succeeded", stats["attempt"].(map[string]any)["outcome"], "without its certificate and password")
}

func TestTheMasterKeyIsChangedWhileEverythingRuns(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	hook := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/a","secret_key":"` + secret + `"}`)
	var old, database string
	for _, v := range s.env {
		if value, ok := strings.CutPrefix(v, "WHISPERER_MASTER_KEY="); ok {
			old = value
		}
		if value, ok := strings.CutPrefix(v, "WHISPERER_DATABASE_URL="); ok {
			database = value
		}
	}
	fresh := seal.NewKey()
	both := "WHISPERER_MASTER_KEY=" + fresh + "," + old
	worker := s.start("delivery-worker", both)
	address := freeAddress(t)
	s.start("subscription-api", both, "WHISPERER_LISTEN="+address)
	s.api = "http://" + address

	published := make(chan map[string]webhook.DeliveryState, 1)
	go func() { published <- s.load(500) }()
	require.Eventually(t, func() bool { return len(s.receiver.All()) > 20 }, 2*time.Minute, time.Millisecond)
	reseal := exec.CommandContext(t.Context(), "go", "run", "./services/whisperer/cmd/whisperer", "secrets", "reseal", "--database-url", database, "--master-key", fresh+","+old, "--json")
	reseal.Dir = root
	var out, complaints bytes.Buffer
	reseal.Stdout, reseal.Stderr = &out, &complaints
	require.NoError(t, reseal.Run(), complaints.String())
	var keys []struct{ Current bool }
	require.NoError(t, json.Unmarshal(out.Bytes(), &keys))
	require.Len(t, keys, 1)
	require.True(t, keys[0].Current)
	s.post("/whisperer/hooks/"+hook+"/secret/rotate/", `{"secret_key":"`+secret+`"}`, http.StatusOK)
	acked := <-published
	require.Len(t, acked, 500)
	s.awaitRecorded(hook, acked, 1)
	worker.stop(t)

	s.start("delivery-worker", "WHISPERER_MASTER_KEY="+fresh)
	require.NoError(t, s.publish(t.Context(), `{"event_id":"last","data":{}}`))
	s.awaitRecorded(hook, map[string]webhook.DeliveryState{"last": webhook.Delivered}, 1)
	for _, q := range s.receiver.All() {
		requireSigned(t, q)
	}
}

func TestAHooksOwnRulesAreKept(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	later := testenv.Answer{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"1"}}}
	s.receiver.Answer("/stop", testenv.Answer{Status: http.StatusTeapot})
	s.receiver.Answer("/late", later)
	s.receiver.Answer("/told", later, testenv.Answer{})
	hook := func(path, more string) string {
		return s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + path + `"` + more + `}`)
	}
	stop := hook("/stop", `,"config":{"stop_on":[418]},"callback":{"url":"`+s.receiver.URL+`/told","on":["dead"]}`)
	late := hook("/late", `,"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":5},"deadline":3}`)
	put := hook("/put", `,"config":{"method":"PUT"}`)
	everything := s.hook(`{"event_type":"*","target_url":"` + s.receiver.URL + `/everything","callback":{"url":"` + s.receiver.URL + `/told-of-everything"}}`)
	s.start("delivery-worker")
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-1","data":{}}`))
	s.awaitRecorded(stop, map[string]webhook.DeliveryState{"e-1": webhook.Dead}, 1)
	s.awaitRecorded(put, map[string]webhook.DeliveryState{"e-1": webhook.Delivered}, 1)
	s.awaitRecorded(late, map[string]webhook.DeliveryState{"e-1": webhook.Dead}, 0)
	s.awaitRecorded(everything, map[string]webhook.DeliveryState{"e-1": webhook.Delivered}, 1)
	require.Eventually(t, func() bool {
		return s.receiver.Count("/told") == 2 && s.receiver.Count("/told-of-everything") == 1
	}, 2*time.Minute, 20*time.Millisecond)

	var reasons []string
	for _, id := range []string{stop, late} {
		list := s.get("/whisperer/hooks/" + id + "/deliveries/")["results"].([]any)
		require.Len(t, list, 1)
		reasons = append(reasons, list[0].(map[string]any)["reason"].(string))
	}
	require.Equal(t, []string{"stop_status", "expired"}, reasons)
	require.LessOrEqual(t, s.receiver.Count("/late"), 3, "none is begun that would come after the deadline")
	require.Equal(t, 1, s.receiver.Count("/everything"), "callbacks are no events of anybody's, and are not called back")
	require.Equal(t, 1, s.receiver.Count("/stop"))
	require.Equal(t, http.MethodPut, s.receiver.Got("/put")[0].Method)
	for _, q := range s.receiver.Got("/told") {
		require.Contains(t, q.Body, `"outcome":"dead","reason":"stop_status"`)
		require.Contains(t, q.Body, `"status":418`)
	}
}
