package console_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase/usecasetest"
)

func TestMain(m *testing.M) {
	status := testenv.Main(m)
	chrome.stop()
	os.Exit(status)
}

// world is a console on a database of its own.
type world struct {
	url  string
	db   *testenv.Store
	logs *observer.ObservedLogs
	// bus starts a bus of the test's own on first use; set-aside entries are read from it.
	bus func() (*bus.Bus, error)
	// operator is an operator's admin token.
	operator string
}

// someBus is a bus that is slightly behind; if pending is 0 it does not answer.
type someBus struct{ pending uint64 }

func (b someBus) Lag(context.Context, bus.Consumer) (bus.Lag, error) {
	if b.pending == 0 {
		return bus.Lag{}, errors.New("no nats")
	}
	return bus.Lag{Pending: b.pending, InFlight: 2}, nil
}

func (b someBus) Streams(context.Context) ([]bus.StreamState, error) {
	return []bus.StreamState{
		{Name: "OMS", Messages: 12_345, Bytes: 180 << 20, MaxBytes: 2 << 30, Replicas: 1, Oldest: time.Now().Add(-6 * 24 * time.Hour)},
		{Name: "RETRIES", Messages: 17, Bytes: 9_000, Replicas: 1, Oldest: time.Now().Add(-time.Hour)},
		{Name: "LEDGER", Replicas: 1},
	}, nil
}

func (b someBus) ServerVersion() string { return "2.15.3" }

type option func(*console.Deps)

// reaching allows hooks to send to the address, which is on this machine.
func reaching(t *testing.T, address string) option {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	policy, err := egress.ParsePolicy("127.0.0.0/8", "80,443,"+u.Port())
	require.NoError(t, err)
	return func(d *console.Deps) {
		d.Cases.URLs, d.Cases.Sender = policy, usecasetest.Sender(policy)
	}
}

func newWorld(t *testing.T, options ...option) *world {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	w := &world{db: testenv.OpenStore(t), logs: logs, bus: sync.OnceValues(func() (*bus.Bus, error) { return testenv.Bus(t), nil })}
	deps := console.Deps{
		Cases: usecasetest.New(w.db.DB, w.bus), Bus: someBus{pending: 1234}, Ring: w.db.Ring, Version: "test", Log: zap.New(core),
		Settings: []console.Setting{{Name: "WHISPERER_LOG_LEVEL", Value: "info"}, {Name: "WHISPERER_PUBLIC_URL"}},
	}
	deps.Cases.HookQuota = 1000
	for _, o := range options {
		o(&deps)
	}
	handler, err := console.New(deps)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.operator = w.db.MakeToken(t, store.NewToken{Name: "operator", Role: store.Admin})
	return w
}

// hook stores a hook of the default tenant.
func (w *world) hook(t *testing.T, name, target string, types ...string) webhook.Hook {
	t.Helper()
	return testenv.MakeHook(t, w.db.DB, target, func(h *webhook.Hook) {
		h.Name, h.EventTypes, h.Secrets = name, webhook.CanonicalEventTypes(types), []webhook.Secret{{Value: "canary-secret-of-a-hook"}}
	})
}

// event stores an event of the default tenant that was published this long ago.
func (w *world) event(t *testing.T, id string, seq uint64, eventType, entity string, ago time.Duration, problems ...webhook.FieldError) webhook.Event {
	t.Helper()
	at := time.Now().Add(-ago).UTC().Truncate(time.Microsecond)
	e := webhook.Event{
		ID: id, Tenant: webhook.DefaultTenant, Type: eventType, Time: at, PublishedAt: at, Seq: webhook.Sequence(seq), Entity: entity,
		Data: []byte(`{"id":61,"note":"<b>bold</b>"}`), SchemaProblems: problems,
	}
	r := w.db.Ledger.NewRecorder()
	defer r.Close()
	require.NoError(t, r.WriteEvents(t.Context(), []webhook.Event{e}))
	return e
}

// setAside sets events aside that PostgreSQL rejects.
func (w *world) setAside(t *testing.T, n int) {
	t.Helper()
	b, err := w.bus()
	require.NoError(t, err)
	testenv.SetEventsAside(t, b, n)
	_, err = testenv.Plain(t, w.db.URL).ExecContext(t.Context(), `ALTER TABLE events ADD CONSTRAINT events_tenant_check CHECK (id !~ '^e-.$') NOT VALID`)
	require.NoError(t, err)
}

// reject stores a rejected event that was published to the type's subject.
func (w *world) reject(t *testing.T, seq uint64, eventType, reason, detail string, ago time.Duration) {
	t.Helper()
	r := w.db.Ledger.NewRecorder()
	defer r.Close()
	require.NoError(t, r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Worker: "w-1", Rejected: []*whispererv1.RejectedEvent{{
		PublishedAt: time.Now().Add(-ago).UnixNano(), Seq: seq, Subject: "oms.default." + eventType, Tenant: "default", Reason: reason,
		Detail: detail, Raw: []byte("<oops>"), Size: 6,
	}}}}))
}

// replay requests a replay of a hook's dead deliveries of the last day.
func (w *world) replay(t *testing.T, hook uuid.UUID, reason string) store.Job {
	t.Helper()
	job, err := w.db.Jobs.Create(t.Context(), "test", store.NewJob{Reason: reason, Rate: 5, Total: 7, Replay: store.Replay{
		Tenant: webhook.DefaultTenant, HookID: hook, States: []webhook.DeliveryState{webhook.Dead},
		Range: store.TimeRange{From: time.Now().Add(-24 * time.Hour), To: time.Now()},
	}})
	require.NoError(t, err)
	return job
}

// record writes facts to the ledger, as a worker's recorder does.
func (w *world) record(t *testing.T, facts ...*whispererv1.DeliveryFact) {
	t.Helper()
	r := w.db.Ledger.NewRecorder()
	defer r.Close()
	require.NoError(t, r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Worker: "w-1", Facts: facts}}))
}

// fact returns a delivery of the event after one attempt.
func fact(h uuid.UUID, e *webhook.Event, state webhook.DeliveryState, reason webhook.Reason, attempt *whispererv1.AttemptFact) *whispererv1.DeliveryFact {
	id := webhook.DeliveryID(h, e.ID)
	f := &whispererv1.DeliveryFact{
		DeliveryId: id[:], HookId: h[:], Tenant: e.Tenant, EventId: e.ID, EventType: e.Type, Entity: e.Entity, EventSeq: uint64(e.Seq),
		PublishedAt: e.PublishedAt.UnixNano(), State: string(state), Reason: string(reason), At: e.PublishedAt.Add(time.Second).UnixNano(),
	}
	if state == webhook.Waiting {
		f.NextAt = time.Now().Add(time.Hour).UnixNano()
	}
	if attempt != nil {
		f.Attempts, f.RoundAttempts, f.RoundStartedAt = 1, 1, e.PublishedAt.UnixNano()
		attempt.Number, attempt.StartedAt = 1, e.PublishedAt.Add(10*time.Millisecond).UnixNano()
		f.Attempt = attempt
	}
	return f
}

func answered(status uint32, body string) *whispererv1.AttemptFact {
	a := &whispererv1.AttemptFact{
		Duration: int64(84 * time.Millisecond), Outcome: string(webhook.Succeeded), Status: status, Method: "POST",
		Url: "http://example.com/a", RequestSize: 312, Dns: int64(2 * time.Millisecond), Connect: int64(9 * time.Millisecond),
		FirstByte:       int64(80 * time.Millisecond),
		RequestHeaders:  "Content-Type: application/json\nWebhook-Timestamp: 1790000000",
		ResponseHeaders: "Content-Type: text/html", ResponseBody: []byte(body),
	}
	if status >= 300 {
		a.Outcome, a.ErrorClass, a.Error = string(webhook.Failed), string(webhook.ClassStatus), "The receiver responded with an error."
	}
	return a
}

func unanswered(class webhook.ErrorClass, text string) *whispererv1.AttemptFact {
	return &whispererv1.AttemptFact{
		Duration: int64(30 * time.Millisecond), Outcome: string(webhook.Failed), ErrorClass: string(class), Error: text, Method: "POST",
		Url: "http://example.com/a", RequestSize: 312,
	}
}

// person is a user with a browser's cookies.
type person struct {
	w      *world
	cookie *http.Cookie
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	text   string
}

// send sends a same-origin request as a browser does, without following redirects.
func (p *person) send(t *testing.T, method, path string, form url.Values, change ...func(*http.Request)) answer {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(t.Context(), method, p.w.url+path, body)
	require.NoError(t, err)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if p.cookie != nil {
		r.AddCookie(p.cookie)
	}
	for _, c := range change {
		c(r)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	for _, cookie := range response.Cookies() {
		if strings.HasSuffix(cookie.Name, "whisperer") {
			p.cookie = cookie
			if cookie.MaxAge < 0 {
				p.cookie = nil
			}
		}
	}
	return answer{status: response.StatusCode, header: response.Header, text: string(text)}
}

func (p *person) get(t *testing.T, path string) answer {
	t.Helper()
	return p.send(t, http.MethodGet, path, nil)
}

func (p *person) post(t *testing.T, path string, fields ...string) answer {
	t.Helper()
	return p.send(t, http.MethodPost, path, formOf(fields...))
}

// formOf returns a form of names and values.
func formOf(fields ...string) url.Values {
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return form
}

// signIn returns a person who is signed in with the token.
func (w *world) signIn(t *testing.T, token string) *person {
	t.Helper()
	p := &person{w: w}
	a := p.post(t, "/console/sign-in", "token", token)
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	require.NotNil(t, p.cookie)
	return p
}
