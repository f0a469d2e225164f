package e2e_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Canaries begin with these words. The rest says where they were planted.
const (
	// secretly must appear nowhere: neither in logs, errors, metrics and traces, nor in any response of the API.
	secretly = "canary-secret"
	// partly is shown to those who may change hooks, but not to viewers.
	partly = "canary-header"
	// privately is shown to those who may read the ledger, but must not appear in logs, metrics or traces.
	privately = "canary-private"
)

// birds finds canaries, even if they are encoded.
func birds(text string, words ...string) []string {
	var found []string
	for _, word := range words {
		for _, form := range []string{word, base64.StdEncoding.EncodeToString([]byte(word))[:16], fmt.Sprintf("%x", word)} {
			for rest := text; ; {
				at := strings.Index(rest, form)
				if at < 0 {
					break
				}
				found = append(found, rest[max(0, at-80):min(len(rest), at+80)])
				rest = rest[at+len(form):]
			}
		}
	}
	return found
}

// plant creates hooks full of secrets, to receivers that accept, refuse, break off, or do not exist.
func plant(s *system, receiver, nobody string) (ids []string) {
	for i, target := range []string{receiver + "/ok", receiver + "/fails", receiver + "/breaks", "http://" + nobody + "/away", "https://" + strings.TrimPrefix(receiver, "http://") + "/no-tls"} {
		ids = append(ids, s.hook(fmt.Sprintf(`{"event_type":"*","target_url":"%[2]s?key=%[4]s-query","secret_key":"%[3]s-key-%[1]d","api_key":"%[3]s-api-key","additional_headers":{"X-Shop":"%[5]s"},
			"config":{"timeout":20,"auth":{"auth_type":"basic","username":"u","password":"%[3]s-password"}},"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}}`,
			i, target, secretly, privately, partly)))
	}
	return ids
}

// ask sends a request and returns the whole response as text.
func ask(t *testing.T, method, url, token, body string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Token "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: time.Minute}).Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, fmt.Sprintln(res.StatusCode, res.Header) + string(raw)
}

func TestNoSecretGetsOut(t *testing.T) {
	t.Parallel()
	s, c := newSystem(t), newTraces(t)
	c.traced(s)
	address := freeAddress(t)
	api := s.start("subscription-api", "WHISPERER_LISTEN="+address, "WHISPERER_LOG_LEVEL=debug")
	s.api = "http://" + address
	var served sync.Map
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Store(r.URL.Path, r.Header.Clone())
		w.Header().Set("X-Answer", privately+"-answer-header")
		switch r.URL.Path {
		case "/fails":
			w.WriteHeader(http.StatusInternalServerError)
		case "/breaks":
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, privately+"-answer-body")
	}))
	t.Cleanup(receiver.Close)
	ids := plant(s, receiver.URL, freeAddress(t))
	worker := s.start("delivery-worker", "WHISPERER_LOG_LEVEL=debug")
	for _, body := range []string{`{"event_id":"e-1","data":"` + privately + `-data"}`, `{"event_id":"e-2","data":` + privately + `-broken`} {
		require.NoError(t, s.bus.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: webhook.DefaultTenant, Type: "order.created", Body: []byte(body)}}))
	}
	for i, id := range ids {
		state := webhook.Dead
		if i == 0 {
			state = webhook.Delivered
		}
		s.awaitRecorded(id, map[string]webhook.DeliveryState{"e-1": state}, 0)
	}
	header, ok := served.Load("/ok")
	require.True(t, ok)
	require.Contains(t, fmt.Sprint(header), partly, "the canaries have flown where they belong")

	viewer, _, err := s.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "v", Tenant: webhook.DefaultTenant, Role: store.Viewer})
	require.NoError(t, err)
	toViewers, toAdmins := wander(t, s, viewer, ids)
	require.Empty(t, birds(toViewers, secretly, partly, s.token, viewer), "what viewers are shown")
	require.Empty(t, birds(toAdmins, secretly, s.token, viewer), "what admins are shown")

	var metrics string
	for _, p := range []*program{api, worker} {
		_, text := ask(t, http.MethodGet, "http://"+p.health+"/metrics", "", "")
		require.Contains(t, text, "whisperer_")
		metrics += text
		p.stop(t)
	}
	require.Contains(t, worker.log.String(), "delivery attempted", "there are logs")
	require.Contains(t, api.log.String(), "request served")
	everything := []string{secretly, partly, privately, s.token, viewer, s.masterKey}
	require.Empty(t, birds(metrics, everything...), "metrics")
	require.Empty(t, birds(worker.log.String(), everything...), "the worker's log")
	require.Empty(t, birds(api.log.String(), everything...), "the API's log")
	c.mu.Lock()
	defer c.mu.Unlock()
	require.NotEmpty(t, c.spans)
	require.Empty(t, birds(string(c.raw), everything...), "traces")
}

// wander looks at everything that can be seen, and makes mistakes that quote secrets.
func wander(t *testing.T, s *system, viewer string, ids []string) (toViewers, toAdmins string) {
	t.Helper()
	var viewers, admins strings.Builder
	see := func(method, path, token, body string) {
		status, text := ask(t, method, s.api+path, token, body)
		require.Less(t, status, 500, "%s %s: %s", method, path, text)
		if token == s.token {
			admins.WriteString(text)
		} else {
			viewers.WriteString(text)
		}
	}
	for _, path := range []string{"hooks/", "hooks/?search=key", "hooks/registry/", "events/", "events/e-1/", "events/e-1/explain/", "deliveries/", "hook_events/", "jobs/", "rejected-events/"} {
		for _, token := range []string{viewer, s.token} {
			see(http.MethodGet, "/whisperer/"+path, token, "")
		}
	}
	for _, id := range ids {
		delivery := webhook.DeliveryID(uuid.MustParse(id), "e-1").String()
		for _, path := range []string{"hooks/" + id + "/", "hooks/" + id + "/deliveries/", "hooks/" + id + "/stats/", "deliveries/" + delivery + "/"} {
			see(http.MethodGet, "/whisperer/"+path, viewer, "")
		}
	}
	hook := "/whisperer/hooks/" + ids[0] + "/"
	for _, body := range []string{
		`{"secret_key":["` + secretly + `"]}`, `{"secret_key":"whsec_` + secretly + `"}`, `{"api_key":"` + secretly + `\n"}`, `{"additional_headers":{"Host":"` + secretly + `"}}`,
		`{"config":{"auth":{"auth_type":"basic","username":"","password":"` + secretly + `"}}}`, `{"config":{"auth":"` + secretly + `"}}`, `{"secret_key":"` + secretly,
		`{"secret_key":"` + secretly + `-new","name":"n"}`,
	} {
		see(http.MethodPatch, hook, s.token, body)
		see(http.MethodPost, "/whisperer/hooks/", s.token, body)
	}
	see(http.MethodPost, hook+"secret/rotate/", s.token, `{"secret_key":"whsec_`+secretly+`"}`)
	see(http.MethodGet, "/whisperer/tokens/", s.token, "")
	see(http.MethodGet, "/whisperer/hooks/?token="+secretly, secretly, "")
	see(http.MethodGet, "/whisperer/hooks/"+secretly+"/", viewer, "")
	return viewers.String(), admins.String()
}
