package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// system is a complete Whisperer with an empty database and empty streams.
type system struct {
	dir      string
	postgres *localpg.Server
	nats     *part
	workers  []*part
	// api is nil for scenarios without it; url and token give access to it.
	api        *part
	url, token string
	// health are the workers' health addresses.
	health []string
	// startTook is how long the last worker took until it was ready.
	startTook time.Duration
	bus       *bus.Bus
	// key is the master key.
	key string
}

// actor is the actor in the audit log for the bench's hooks.
const actor store.Actor = "bench"

// startSystem starts everything for a scenario, including its hooks. Call stop to end it.
func (b *bench) startSystem(ctx context.Context, s Scenario) (_ *system, err error) {
	y := &system{}
	defer func() {
		if err != nil {
			err = errors.Join(err, y.stop())
		}
	}()
	if y.dir, err = os.MkdirTemp(b.dir, "run-"); err != nil {
		return nil, fmt.Errorf("make folder of run: %w", err)
	}
	if err := os.Chmod(y.dir, 0o711); err != nil { //nolint:gosec // PostgreSQL's user passes through
		return nil, fmt.Errorf("open folder of run: %w", err)
	}
	y.postgres, err = localpg.Start(ctx, localpg.Options{
		DataDir: filepath.Join(y.dir, "postgres"), FallbackDir: filepath.Join(y.dir, "elsewhere"), TCP: true,
	})
	if err != nil {
		return nil, err
	}
	y.key = seal.NewKey()
	databaseURL, key := y.postgres.URL("postgres"), y.key
	if _, err := store.Migrate(ctx, databaseURL); err != nil {
		return nil, err
	}
	if err := b.makeHooks(ctx, s, databaseURL, key); err != nil {
		return nil, err
	}
	var natsURL string
	if y.nats, err = b.startPart(ctx, roleNATS, y.dir); err != nil {
		return nil, err
	}
	if err := y.nats.do(ctx, verbStart, natsOptions{Dir: filepath.Join(y.dir, "nats"), Nodes: s.Nodes, Strict: s.Strict}, &natsURL); err != nil {
		return nil, err
	}
	if err := b.startAPI(ctx, y, s, databaseURL, natsURL); err != nil {
		return nil, err
	}
	for n := range s.Workers {
		worker, err := b.startPart(ctx, roleWorker, y.dir)
		if err != nil {
			return nil, err
		}
		y.workers = append(y.workers, worker)
		var health string
		began := time.Now()
		if err := worker.do(ctx, verbStart, append(environment(databaseURL, natsURL, key, n), s.settings()...), &health); err != nil {
			return nil, err
		}
		y.health, y.startTook = append(y.health, health), time.Since(began)
	}
	y.bus, err = bus.Connect(ctx, bus.Options{URL: natsURL, Name: "bench", Log: zap.NewNop()})
	return y, err
}

// environment configures worker n. It allows the ports that the receiver may use.
func environment(databaseURL, natsURL, key string, n int) []string {
	return []string{
		daemon.Prefix + "DATABASE_URL=" + databaseURL,
		daemon.Prefix + "NATS_URL=" + natsURL,
		daemon.Prefix + "MASTER_KEY=" + key,
		daemon.Prefix + "EGRESS_ALLOW=127.0.0.0/8",
		daemon.Prefix + "HEALTH_LISTEN=127.0.0.1:0",
		daemon.Prefix + "WORKER=bench-" + strconv.Itoa(n+1),
	}
}

// parts returns the system's processes of this program.
func (y *system) parts() []*part {
	parts := slices.Clone(y.workers)
	for _, p := range []*part{y.api, y.nats} {
		if p != nil {
			parts = append(parts, p)
		}
	}
	return parts
}

// stop ends everything and removes its data.
func (y *system) stop() error {
	if y.bus != nil {
		y.bus.Close()
	}
	for _, p := range y.parts() { // workers before the servers that they use
		p.stop()
	}
	var problems []error
	if y.postgres != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		problems = append(problems, y.postgres.Stop(ctx))
	}
	return errors.Join(append(problems, os.RemoveAll(y.dir))...)
}

// hooksAtOnce is how many hooks are stored in one transaction.
const hooksAtOnce = 5000

func openDatabase(url, key string) (*store.DB, error) {
	ring, err := seal.ParseRing(key)
	if err != nil {
		return nil, err
	}
	return store.Open(url, 2, ring)
}

// makeHooks stores the hooks of a scenario before there is a worker.
func (b *bench) makeHooks(ctx context.Context, s Scenario, url, key string) error {
	db, err := openDatabase(url, key)
	if err != nil {
		return err
	}
	defer db.Close()
	var hooks []webhook.Hook
	for n := range s.Hooks {
		h, err := newHook(b.target(s)+strconv.Itoa(n), eventType)
		if err != nil {
			return err
		}
		if h.Config, err = s.config(); err != nil {
			return err
		}
		h.RetryConfig = s.retries()
		hooks = append(hooks, h)
	}
	for n := range s.Registered {
		h, err := newHook(b.targets.Plain+"other/"+strconv.Itoa(n), otherType)
		if err != nil {
			return err
		}
		hooks = append(hooks, h)
	}
	for len(hooks) > 0 {
		n := min(len(hooks), hooksAtOnce)
		if _, err := db.Hooks.CreateMany(ctx, actor, webhook.DefaultTenant, hooks[:n], s.Hooks+s.Registered); err != nil {
			return err
		}
		hooks = hooks[n:]
	}
	return nil
}

func newHook(target, wants string) (webhook.Hook, error) {
	config, err := webhook.ParseConfig(nil)
	if err != nil {
		return webhook.Hook{}, err
	}
	return webhook.Hook{
		Tenant: webhook.DefaultTenant, EventTypes: []string{wants}, TargetURL: target, NotificationType: webhook.NotificationREST,
		Secrets: []webhook.Secret{{Value: signature.GenerateSecret()}}, Config: config, Status: webhook.Active,
	}, nil
}
