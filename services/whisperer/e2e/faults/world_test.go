//go:build faults

package faults_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	// canary is in every payload, and must not be in any log.
	canary = "canary-4711-payload"
	// concurrency is the concurrency of each hook in each worker, and hooks the number of hooks. Their product underWay is the
	// maximum number of deliveries in flight at a worker, and so the bound for repetitions when it dies.
	concurrency = 16
	hooks       = 4
	underWay    = hooks * concurrency
	// again is the time after a worker's death within which another worker must send what it had in flight.
	again = 20 * time.Second
	// patience is the time limit for everything without a limit of its own.
	patience = 2 * time.Minute
)

// world is the set of services that a scenario disturbs.
type world struct {
	t        *testing.T
	dir      string
	chance   *rand.Rand
	key      string
	pg       *localpg.Server
	pgOpts   localpg.Options
	nats     *process
	natsAt   int
	natsDir  string
	strict   bool // nats-server syncs before it acknowledges
	db       *store.DB
	bus      *bus.Bus
	receiver *receiver
	events   *ledger[publication]
	hooks    []webhook.Hook // they get every event of load
	workers  []*process
}

// newWorld starts PostgreSQL and nats-server, after applying the changes in different. A durable PostgreSQL survives a kill.
func newWorld(t *testing.T, durable bool, different ...func(w *world)) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "whisperer-faults-") //nolint:usetesting // stays after a failure, and others may enter it
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) // PostgreSQL's user needs access
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
			return
		}
		t.Logf("run it again: go test -tags faults -count 1 ./services/whisperer/e2e/faults -run '^%s$' -args -seed %d; ledgers and logs are in %s", t.Name(), *seed, dir)
	})
	w := &world{
		t: t, dir: dir, chance: rand.New(rand.NewPCG(*seed, 0)), key: seal.NewKey(), pgOpts: localpg.Options{TCP: true},
		natsAt: freePort(t), natsDir: filepath.Join(dir, "nats"), events: newLedger[publication](t, filepath.Join(dir, "published.jsonl"), true),
	}
	if durable {
		w.pgOpts.DataDir, w.pgOpts.Port = filepath.Join(dir, "postgres"), freePort(t)
	}
	for _, set := range different {
		set(w)
	}
	w.receiver = newReceiver(t, dir)
	w.startPostgres()
	t.Cleanup(func() { _ = w.pg.Stop(context.Background()) })
	_, err = store.Migrate(t.Context(), w.pg.URL("postgres"))
	require.NoError(t, err)
	ring, err := seal.ParseRing(w.key)
	require.NoError(t, err)
	w.db, err = store.Open(w.pg.URL("postgres"), 4, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.db.Close() })
	w.startNATS()
	w.bus = testenv.Connect(t, w.natsURL())
	return w
}

// startPostgres starts PostgreSQL, possibly on the data of a killed one.
func (w *world) startPostgres() {
	w.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); { // its processes take a moment to notice that the postmaster is dead
		if w.pg, err = localpg.Start(w.t.Context(), w.pgOpts); err == nil {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	require.NoError(w.t, err)
}

// postmaster returns the main process of PostgreSQL.
func (w *world) postmaster() int {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.pg.Dir(), "postmaster.pid"))
	require.NoError(w.t, err)
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(w.t, err)
	return pid
}

// killPostgres kills the postmaster, as a crash does.
func (w *world) killPostgres() {
	w.t.Helper()
	require.NoError(w.t, syscall.Kill(w.postmaster(), syscall.SIGKILL))
	<-w.pg.Done()
	_ = w.pg.Stop(w.t.Context()) // releases the folder
}

func (w *world) natsURL() string { return fmt.Sprintf("nats://127.0.0.1:%d", w.natsAt) }

func (w *world) startNATS() {
	w.t.Helper()
	w.nats = start(w.t, w.dir, "nats-server", os.Args[0], natsStore+"="+w.natsDir, fmt.Sprintf("%s=%d", natsPort, w.natsAt),
		fmt.Sprintf("%s=%t", natsStrict, w.strict))
	require.Eventually(w.t, w.listens, patience, 10*time.Millisecond, "nats-server is not ready")
}

// listens reports whether nats-server accepts connections.
func (w *world) listens() bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(w.t.Context(), "tcp", w.natsURL()[len("nats://"):])
	if err != nil {
		return false
	}
	defer conn.Close()
	hello := make([]byte, 4)
	_, err = io.ReadFull(conn, hello)
	return err == nil && string(hello) == "INFO"
}

// start starts a worker without waiting for it. env overrides other settings.
func (w *world) start(env ...string) *process {
	w.t.Helper()
	health := fmt.Sprintf("127.0.0.1:%d", freePort(w.t))
	p := start(w.t, w.dir, "worker", worker, append([]string{
		"WHISPERER_DATABASE_URL=" + w.pg.URL("postgres"), "WHISPERER_NATS_URL=" + w.natsURL(), "WHISPERER_MASTER_KEY=" + w.key,
		"WHISPERER_HEALTH_LISTEN=" + health, "WHISPERER_EGRESS_ALLOW=127.0.0.0/8", fmt.Sprintf("WHISPERER_SLOTS=%d", underWay),
		"WHISPERER_SHUTDOWN_TIMEOUT=15s",
	}, env...)...)
	p.health = health
	w.workers = append(w.workers, p)
	return p
}

// run starts a worker and waits until it is ready.
func (w *world) run(env ...string) *process {
	w.t.Helper()
	p := w.start(env...)
	p.awaitReady(w.t, patience)
	return p
}

// alive returns the workers that are running.
func (w *world) alive() []*process {
	var list []*process
	for _, p := range w.workers {
		if p.alive() {
			list = append(list, p)
		}
	}
	return list
}

// hook stores a hook for the target. edit, if not nil, may change it before.
func (w *world) hook(target string, edit func(h *webhook.Hook)) webhook.Hook {
	w.t.Helper()
	h := webhook.Hook{
		Tenant: webhook.DefaultTenant, EventTypes: []string{"order.>"}, TargetURL: target, Secrets: []webhook.Secret{{Value: secret}},
		NotificationType: webhook.NotificationREST, Config: config(w.t, fmt.Sprintf(`{"concurrency":%d}`, concurrency)), Status: webhook.Active,
		RetryConfig: json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`),
	}
	if edit != nil {
		edit(&h)
	}
	h, err := w.db.Hooks.Create(w.t.Context(), "faults", h, 1000, store.IdempotencyKey{})
	require.NoError(w.t, err)
	return h
}

// goodHooks creates the hooks that get all events of load.
func (w *world) goodHooks(n int) {
	w.t.Helper()
	for i := range n {
		w.hooks = append(w.hooks, w.hook(fmt.Sprintf("%s/good/%d", w.receiver.URL, i), nil))
	}
}

func config(t *testing.T, text string) webhook.Config {
	t.Helper()
	c, err := webhook.ParseConfig(json.RawMessage(text))
	require.NoError(t, err)
	return c
}

// publish publishes events until JetStream has acknowledged them, and writes them to the ledger.
func (w *world) publish(ctx context.Context, events ...bus.Outgoing) error {
	for {
		sent := time.Now()
		err := w.bus.PublishEvents(ctx, events)
		if err == nil {
			acked := time.Now()
			for _, e := range events {
				w.events.write(publication{Event: e.ID, Sent: sent, Acked: acked})
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// event returns an event that all good hooks want.
func event(id, entity, data string) bus.Outgoing {
	return bus.Outgoing{
		Tenant: webhook.DefaultTenant, Type: "order.created", ID: id,
		Body: fmt.Appendf(nil, `{"event_id":"%s","entity":"%s","data":%s}`, id, entity, data),
	}
}

// load publishes rate events per second in groups, whether or not they are delivered, until stop is called. stop returns when
// the last one is acknowledged.
func (w *world) load(rate, group int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	due := make(chan []bus.Outgoing, 8192/group)
	enough := make(chan struct{})
	prefix := uuid.NewString()[:8]
	sizes := rand.New(rand.NewPCG(*seed, 1))
	var open sync.WaitGroup
	open.Go(func() {
		defer close(due)
		began := time.Now()
		for n := 0; ; n += group {
			select {
			case <-enough:
				return
			case <-time.After(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate)))):
			}
			events := make([]bus.Outgoing, group)
			for i := range events {
				data := fmt.Sprintf(`{"n":%d,"note":"%s%s"}`, n+i, canary, strings.Repeat("x", 100+sizes.IntN(1500)))
				events[i] = event(fmt.Sprintf("%s-%d", prefix, n+i), fmt.Sprintf("order:%d", (n+i)%50), data)
			}
			due <- events
		}
	})
	for range 32 {
		open.Go(func() {
			for events := range due {
				_ = w.publish(ctx, events...) // there is no guarantee for what is not acknowledged
			}
		})
	}
	return sync.OnceFunc(func() {
		close(enough)
		giveUp := time.AfterFunc(time.Minute, cancel)
		defer giveUp.Stop()
		open.Wait()
	})
}

// lasts waits for a time, or until the test ends.
func (w *world) lasts(d time.Duration) {
	w.t.Helper()
	select {
	case <-time.After(d):
	case <-w.t.Context().Done():
		w.t.FailNow()
	}
}

// catchesUp waits until nothing is parked. On a busy machine something may be: a worker that drains a backlog makes attempts
// beyond its slots, and they leave no trace if it dies.
func (w *world) catchesUp() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		parked, err := w.db.Queue.Count(w.t.Context(), 1)
		require.NoError(w.t, err)
		return parked.N == 0
	}, 2*time.Minute, 20*time.Millisecond, "the workers do not keep up with the load")
}

// known waits until all workers know all changes of hooks.
func (w *world) known() {
	w.t.Helper()
	plain := testenv.Plain(w.t, w.pg.URL("postgres"))
	require.Eventually(w.t, func() bool {
		var unknown int
		require.NoError(w.t, plain.QueryRowContext(w.t.Context(), `
			SELECT count(*) FROM changes c, workers w
			WHERE w.expires_at > clock_timestamp() AND NOT pg_visible_in_snapshot(c.xid, w.snapshot)`).Scan(&unknown))
		return unknown == 0
	}, patience, 20*time.Millisecond, "workers do not hear of a change")
}

// ceases waits until a number has not changed for the given time. Its growth must end within a second, plus the slack for a
// busy machine.
func (w *world) ceases(what string, still time.Duration, number func() int) {
	w.t.Helper()
	began := time.Now()
	last, grown := number(), began.Add(time.Second)
	for time.Since(grown) < still {
		w.lasts(20 * time.Millisecond)
		if n := number(); n != last {
			last, grown = n, later(grown, time.Now())
		}
		require.Less(w.t, grown.Sub(began), time.Second+slack(), what)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// between returns a random duration, which is the same for the same seed.
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.chance.Int64N(int64(high-low)))
}
