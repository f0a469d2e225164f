package deliveryworker_test

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// world is a worker with a real Postgres, a real nats-server and a receiver.
type world struct {
	t        *testing.T
	db       *store.DB
	bus      *bus.Bus
	config   deliveryworker.Config
	receiver *testenv.Receiver
	// health is where the worker that was started last tells of itself.
	health  string
	service *deliveryworker.Service
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key := seal.NewKey()
	ring, err := seal.ParseRing(key)
	require.NoError(t, err)
	w := &world{t: t, receiver: testenv.NewReceiver(t), config: deliveryworker.Config{
		DatabaseURL: testenv.Postgres(t), NATSURL: testenv.NATS(t), MasterKey: key, HealthListen: "127.0.0.1:0",
		EgressAllow: "127.0.0.0/8", EgressPorts: "443", Slots: 64, BreakerAttempts: 10, BreakerRatio: 0.7, BreakerOpen: 2 * time.Second, Replicas: 1, OMSMaxBytes: 64 << 20,
		EventAge: time.Hour, KeepPayloads: 24 * time.Hour, KeepRecords: 48 * time.Hour, DisableAfter: 120 * time.Hour,
		DisableFailures: 20, DisableSpan: 12 * time.Hour, HousekeepEvery: time.Second, SweepAfter: 5 * time.Minute, ShutdownTimeout: 10 * time.Second,
	}}
	w.db, err = store.Open(w.config.DatabaseURL, 4, ring)
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
	service, err := deliveryworker.New(w.t.Context(), w.config, daemon.Process{Version: "test", Log: log})
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
	h, err = w.db.Hooks.CreateHook(w.t.Context(), "test", h, 1000, store.IdempotencyKey{})
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
