package deliveryworker_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/settings"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil { // the tests mostly wait; the command line may override this
		panic(err)
	}
	os.Exit(testenv.Main(m))
}

// world is a worker with a real PostgreSQL, a real nats-server and a receiver.
type world struct {
	t        *testing.T
	db       *store.DB
	bus      *bus.Bus
	config   deliveryworker.Config
	receiver *testenv.Receiver
	// health is the health address of the worker that was started last.
	health  string
	service *deliveryworker.Service
	// logs holds the log entries, from info on, of the workers that were started with run.
	logs *observer.ObservedLogs
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, testenv.NATS(t))
}

func newWorldOn(t *testing.T, natsURL string) *world {
	t.Helper()
	key := seal.NewKey()
	ring, err := seal.ParseRing(key)
	require.NoError(t, err)
	w := &world{t: t, receiver: testenv.NewReceiver(t), config: deliveryworker.Config{
		Shared: settings.Shared{
			DatabaseURL: testenv.Postgres(t), NATSURL: natsURL, MasterKey: key, PublicURL: "https://hooks.example.com", EgressAllow: "127.0.0.0/8", EgressPorts: "443", Replicas: 1, OMSMaxBytes: 64 << 20,
		},
		HealthListen: "127.0.0.1:0",
		Slots:        64, BreakerAttempts: 10, BreakerRatio: 0.7, BreakerOpen: 2 * time.Second,
		EventAge: time.Hour, KeepPayloads: 24 * time.Hour, KeepRecords: 48 * time.Hour, DisableAfter: 120 * time.Hour,
		DisableFailures: 20, DisableSpan: 12 * time.Hour, HousekeepEvery: time.Second, MetricsTop: 2, SweepAfter: 5 * time.Minute, ShutdownTimeout: 10 * time.Second,
	}}
	w.db, err = store.Open(w.config.DatabaseURL, 4, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.db.Close() })
	w.bus = testenv.Connect(t, w.config.NATSURL)
	return w
}

// run starts a worker and returns a function that stops it. The worker is stopped at the end of the test in any case.
func (w *world) run() (stop func()) {
	w.t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	log := zaptest.NewLogger(w.t, zaptest.Level(zap.InfoLevel), zaptest.WrapOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewTee(c, core)
	})))
	w.logs = logs
	service, err := deliveryworker.New(w.t.Context(), w.config, daemon.Process{Version: "test", Log: log})
	require.NoError(w.t, err)
	w.health, w.service = service.HealthAddr(), service
	end, err := daemon.Start(context.Background(), log, service.Components()...)
	require.NoError(w.t, err)
	stop = sync.OnceFunc(func() { require.NoError(w.t, end()) })
	w.t.Cleanup(stop)
	return stop
}

// hook stores a hook with the receiver's path as its target. edit, if not nil, may change it before.
func (w *world) hook(path string, edit func(h *webhook.Hook)) webhook.Hook {
	w.t.Helper()
	return testenv.MakeHook(w.t, w.db, w.receiver.URL+path, func(h *webhook.Hook) {
		if edit != nil {
			edit(h)
		}
		require.NoError(w.t, h.Validate())
	})
}

func config(t *testing.T, text string) webhook.Config {
	t.Helper()
	c, err := webhook.ParseConfig(json.RawMessage(text))
	require.NoError(t, err)
	return c
}

// publish publishes events of the type with these bodies, and without ids.
func (w *world) publish(eventType string, bodies ...string) {
	w.t.Helper()
	for _, body := range bodies {
		require.NoError(w.t, w.bus.PublishEvents(w.t.Context(), []bus.Outgoing{{
			Tenant: webhook.DefaultTenant, Type: eventType, Body: []byte(body),
		}}))
	}
}
