package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// shownRequest is the output of whisperer listen --relay --json about a request.
type shownRequest struct {
	DeliveryID string      `json:"delivery_id"`
	EventID    string      `json:"event_id"`
	EventType  string      `json:"event_type"`
	Signature  string      `json:"signature"`
	Why        string      `json:"signature_error"`
	Status     int         `json:"status"`
	Headers    http.Header `json:"headers"`
	Body       string      `json:"body"`
	Hook       string      `json:"hook"`
}

// laptop is whisperer listen --relay on a developer's machine.
type laptop struct {
	t   *testing.T
	cmd *exec.Cmd

	mu   sync.Mutex
	got  []shownRequest
	said []string
}

// listen starts it, and returns when the given number of workers send copies.
func (s *system) listen(token string, workers int, args ...string) *laptop {
	s.t.Helper()
	l := &laptop{t: s.t, cmd: exec.CommandContext(context.WithoutCancel(s.t.Context()), filepath.Join(binaries, "whisperer"), append([]string{"listen", "--relay", "--json"}, args...)...)}
	l.cmd.Env = []string{"WHISPERER_URL=" + s.api, "WHISPERER_TOKEN=" + token}
	l.cmd.Dir = s.t.TempDir()
	out, err := l.cmd.StdoutPipe()
	require.NoError(s.t, err)
	said, err := l.cmd.StderrPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, l.cmd.Start())
	var readers sync.WaitGroup
	readers.Go(func() {
		for d := json.NewDecoder(out); ; {
			var r shownRequest
			if d.Decode(&r) != nil {
				return
			}
			l.mu.Lock()
			l.got = append(l.got, r)
			l.mu.Unlock()
		}
	})
	readers.Go(func() {
		for lines := bufio.NewScanner(said); lines.Scan(); {
			l.mu.Lock()
			l.said = append(l.said, lines.Text())
			l.mu.Unlock()
		}
	})
	s.t.Cleanup(func() {
		_ = l.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		readers.Wait()
		_ = l.cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("listen %v said:\n%s", args, strings.Join(l.said, "\n"))
		}
	})
	l.hears(" copies", workers)
	return l
}

func (l *laptop) all() []shownRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

// hears waits until the text was printed this many times.
func (l *laptop) hears(text string, times int) {
	l.t.Helper()
	require.Eventually(l.t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return strings.Count(strings.Join(l.said, "\n")+"\n", text+"\n") >= times
	}, 2*time.Minute, 10*time.Millisecond, "listen does not say %q", text)
}

// events returns the ids of the events that were shown, sorted.
func (l *laptop) events() []string {
	var ids []string
	for _, r := range l.all() {
		ids = append(ids, r.EventID)
	}
	slices.Sort(ids)
	return ids
}

// requests returns the requests to the path of the receiver, by webhook-id.
func requests(r *testenv.Receiver, path string) map[string]testenv.Received {
	at := map[string]testenv.Received{}
	for _, q := range r.All() {
		if q.Path == path {
			at[q.Header.Get("webhook-id")] = q
		}
	}
	return at
}

func TestALaptopGetsCopiesOfWhatIsSentToReceivers(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.start("delivery-worker", "WHISPERER_WORKER=a")
	s.start("delivery-worker", "WHISPERER_WORKER=b")
	s.post("/whisperer/tenants/", `{"name":"other"}`, http.StatusCreated)
	others, _, err := s.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "other", Tenant: "other", Role: store.Editor})
	require.NoError(t, err)
	viewer, _, err := s.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "viewer", Tenant: "other", Role: store.Viewer})
	require.NoError(t, err)
	mine := s.hook(`{"name":"mine","event_type":"order.*","target_url":"` + s.receiver.URL + `/mine","secret_key":"` + secret + `","api_key":"hush"}`)
	s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/second"}`)
	key := "Token " + s.token
	s.token = others
	theirs := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/theirs","config":{"signature":{"preset":"rfc9421"}}}`)
	s.token = strings.TrimPrefix(key, "Token ")

	local := testenv.NewReceiver(t)
	filtered := s.listen(s.token, 2, "--hook", "mine", "--event-type", "order.created", "--secret", secret, "--forward", local.URL+"/webhooks")
	foreign := s.listen(others, 2)
	refused := exec.CommandContext(t.Context(), filepath.Join(binaries, "whisperer"), "listen", "--relay")
	refused.Env = []string{"WHISPERER_URL=" + s.api, "WHISPERER_TOKEN=" + viewer}
	out, err := refused.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 4, refused.ProcessState.ExitCode(), string(out))
	require.Contains(t, string(out), "This needs a token of the role editor")

	var created, elsewhere []string
	publish := func(tenant, eventType, id string) {
		require.NoError(t, s.bus.PublishEvents(t.Context(), []bus.Outgoing{{
			Tenant: tenant, Type: eventType, Body: fmt.Appendf(nil, `{"event_id":%q,"data":{"number": 1.50,"text":"ä"}}`, id),
		}}))
	}
	for i := range 30 {
		created = append(created, fmt.Sprintf("created-%02d", i))
		publish(webhook.DefaultTenant, "order.created", created[i])
		publish(webhook.DefaultTenant, "order.updated", fmt.Sprintf("updated-%02d", i))
		if i%3 == 0 {
			elsewhere = append(elsewhere, fmt.Sprintf("theirs-%02d", i))
			publish("other", "order.created", elsewhere[i/3])
		}
	}
	require.Eventually(t, func() bool { return len(local.All()) >= len(created) && len(foreign.all()) >= len(elsewhere) }, 2*time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool { return len(filtered.all()) >= len(created) }, 2*time.Minute, 10*time.Millisecond)
	require.Equal(t, created, filtered.events())
	require.Equal(t, elsewhere, foreign.events(), "the other tenant's, and nothing else")
	for _, r := range foreign.all() {
		require.Equal(t, theirs, r.Hook)
		require.Equal(t, "verified", r.Signature, r.Why)
	}
	sent := requests(s.receiver, "/mine")
	forwarded := requests(local, "/webhooks")
	require.Len(t, forwarded, len(created))
	for id, q := range forwarded {
		require.Equal(t, sent[id].Body, q.Body)
		requireSigned(t, q)
		for _, name := range []string{"webhook-signature", "webhook-timestamp", "X-Whisperer-Event", "X-Whisperer-Sequence", "traceparent", "Content-Type"} {
			require.Equal(t, sent[id].Header.Get(name), q.Header.Get(name), name)
		}
		require.Equal(t, "hush", sent[id].Header.Get("X-API-Key"))
		require.Empty(t, q.Header.Get("X-API-Key"), "the integrator's own value stays where it is")
	}
	for _, r := range filtered.all() {
		require.Equal(t, []string{mine, "verified", "200"}, []string{r.Hook, r.Signature, fmt.Sprint(r.Status)})
		require.Equal(t, "[hidden]", r.Headers.Get("X-Api-Key"))
	}
	for _, tenant := range []string{webhook.DefaultTenant, "other"} {
		entries, _, err := s.db.Access.ListAudit(t.Context(), tenant, store.AuditFilter{Kind: "hook"}, store.Page{Limit: 100})
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(entries, func(e store.AuditEntry) bool { return e.Action == "hook.relayed" }))
	}
}

func TestALaptopThatReadsNothingOrFindsTheAPIRestartedCostsNobodyAnything(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.start("delivery-worker")
	hook := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/","secret_key":"` + secret + `"}`)
	reader := s.listen(s.token, 1, "--secret", secret)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.api, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /whisperer/relay/ HTTP/1.1\r\nHost: %s\r\nAuthorization: Token %s\r\n\r\n", conn.RemoteAddr(), s.token)
	require.NoError(t, err)
	head := bufio.NewReaderSize(conn, 1<<10)
	for line := ""; !strings.Contains(line, `"worker"`); { // and then it stops reading
		line, err = head.ReadString('\n')
		require.NoError(t, err)
	}

	want := map[string]webhook.DeliveryState{}
	text := strings.Repeat("x", 100<<10)
	for i := range 200 {
		id := fmt.Sprintf("large-%03d", i)
		require.NoError(t, s.publish(t.Context(), fmt.Sprintf(`{"event_id":%q,"data":%q}`, id, text)))
		want[id] = webhook.Delivered
	}
	s.awaitRecorded(hook, want, 1)
	require.Len(t, distinct(s.receiver.All()), len(want), "each was sent, whoever reads")
	// the connection that is not read is closed
	require.Eventually(t, func() bool {
		_, err := conn.Write([]byte("\r\n"))
		return err != nil
	}, 2*time.Minute, 100*time.Millisecond)
	// and the other one continues
	require.NoError(t, s.publish(t.Context(), `{"event_id":"last","data":1}`))
	require.Eventually(t, func() bool { return slices.Contains(reader.events(), "last") }, 2*time.Minute, 10*time.Millisecond)

	before := len(reader.all())
	s.server.stop(t)
	reader.hears("The relay ends: the server is stopping.", 1)
	s.server = s.start("subscription-api", "WHISPERER_LISTEN="+strings.TrimPrefix(s.api, "http://"))
	reader.hears("connected again", 1)
	require.NoError(t, s.publish(t.Context(), `{"event_id":"after","data":1}`))
	require.Eventually(t, func() bool { return slices.Contains(reader.events(), "after") }, 2*time.Minute, 10*time.Millisecond)
	require.Len(t, reader.all(), before+1)
	for _, r := range reader.all() {
		require.Equal(t, "verified", r.Signature, r.Why)
	}
}
