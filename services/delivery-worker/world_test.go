package deliveryworker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/seal"
	"github.com/whisperer-oms/whisperer/pkg/testenv"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// world is a worker with a real Postgres, a real nats-server and a receiver.
type world struct {
	t        *testing.T
	db       *postgres.DB
	bus      *bus.Bus
	config   deliveryworker.Config
	receiver *receiver
	// health is where the worker that was started last tells of itself.
	health  string
	service *deliveryworker.Service
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key := seal.NewKey()
	ring, err := seal.ParseRing(key)
	require.NoError(t, err)
	w := &world{t: t, receiver: newReceiver(t), config: deliveryworker.Config{
		DatabaseURL: testenv.Postgres(t), NATSURL: testenv.NATS(t), MasterKey: key, HealthListen: "127.0.0.1:0",
		EgressAllow: "127.0.0.0/8", EgressPorts: "443", Slots: 64, BreakerAttempts: 10, BreakerRatio: 0.7, BreakerOpen: 2 * time.Second, Replicas: 1, OMSMaxBytes: 64 << 20,
		EventAge: time.Hour, KeepPayloads: 24 * time.Hour, KeepRecords: 48 * time.Hour, DisableAfter: 120 * time.Hour,
		DisableFailures: 20, DisableSpan: 12 * time.Hour, HousekeepEvery: time.Second, SweepAfter: 5 * time.Minute, ShutdownTimeout: 10 * time.Second,
	}}
	w.db, err = postgres.Open(w.config.DatabaseURL, 4, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.db.Close() })
	w.bus, err = bus.Connect(t.Context(), bus.Options{URL: w.config.NATSURL, Name: "test", Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(w.bus.Close)
	return w
}

// run starts a worker and returns what stops it; it is stopped at the end of the test in any case.
func (w *world) run() (stop func()) {
	w.t.Helper()
	log := zaptest.NewLogger(w.t, zaptest.Level(zap.InfoLevel))
	service, err := deliveryworker.New(w.t.Context(), w.config, "test", log, nil)
	require.NoError(w.t, err)
	w.health, w.service = service.HealthAddr(), service
	end, err := daemon.Start(context.Background(), log, service.Components()...)
	require.NoError(w.t, err)
	stop = sync.OnceFunc(func() { require.NoError(w.t, end()) })
	w.t.Cleanup(stop)
	return stop
}

// hook stores a hook at the receiver's path; edit may change it before.
func (w *world) hook(path string, edit func(h *webhook.Hook)) webhook.Hook {
	w.t.Helper()
	config, err := webhook.ParseConfig(nil)
	require.NoError(w.t, err)
	h := webhook.Hook{
		Tenant: webhook.DefaultTenant, EventTypes: []string{"*"}, TargetURL: w.receiver.URL + path,
		NotificationType: webhook.NotificationREST, Config: config, Status: webhook.Active,
	}
	if edit != nil {
		edit(&h)
	}
	require.NoError(w.t, h.Validate())
	h, err = w.db.CreateHook(w.t.Context(), "test", h, 1000, postgres.IdempotencyKey{})
	require.NoError(w.t, err)
	return h
}

func config(t *testing.T, text string) webhook.Config {
	t.Helper()
	c, err := webhook.ParseConfig(json.RawMessage(text))
	require.NoError(t, err)
	return c
}

// publish publishes bodies as events of the type, without ids.
func (w *world) publish(eventType string, bodies ...string) {
	w.t.Helper()
	for _, body := range bodies {
		require.NoError(w.t, w.bus.PublishEvents(w.t.Context(), []bus.Outgoing{{
			Tenant: webhook.DefaultTenant, Type: eventType, Body: []byte(body),
		}}))
	}
}

// receiver is what is behind the hooks' target URLs.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	requests []request
	answers  map[string][]answer // by path, one after the other, the last for ever
}

type request struct {
	Path   string
	Header http.Header
	Body   string
	At     time.Time
}

type answer struct {
	status int
	header map[string]string
	hold   <-chan struct{}
	after  time.Duration
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{answers: map[string][]answer{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// Answer sets what requests to the path get.
func (r *receiver) Answer(path string, answers ...answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[path] = answers
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	r.requests = append(r.requests, request{Path: q.URL.Path, Header: q.Header.Clone(), Body: string(body), At: time.Now()})
	a := answer{status: http.StatusOK}
	if queue := r.answers[q.URL.Path]; len(queue) > 0 {
		a = queue[0]
		if len(queue) > 1 {
			r.answers[q.URL.Path] = queue[1:]
		}
	}
	r.mu.Unlock()
	if a.hold != nil {
		<-a.hold
	}
	if a.after > 0 {
		<-time.After(a.after)
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	fmt.Fprintf(w, "answer %d", a.status)
}

// Got returns the requests to the path so far.
func (r *receiver) Got(path string) []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []request
	for _, q := range r.requests {
		if q.Path == path {
			got = append(got, q)
		}
	}
	return got
}

// Await returns the requests to the path once there are n.
func (r *receiver) Await(t *testing.T, path string, n int) []request {
	t.Helper()
	var got []request
	require.Eventually(t, func() bool {
		got = r.Got(path)
		return len(got) >= n
	}, time.Minute, 5*time.Millisecond, "requests to %s", path)
	return got
}
