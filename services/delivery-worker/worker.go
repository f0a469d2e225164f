// Package deliveryworker takes events from NATS JetStream, fans each out to the hooks that match, sends it signed by HTTP, and
// retries on the hook's own schedule. Any number of workers may run in parallel.
package deliveryworker

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/deliver"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/drainer"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/fanout"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/limiter"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/missed"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/recorder"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/relay"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/retries"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

const (
	// databaseConns is enough for the recorders, for loading changed hooks, and for queries to the ledger.
	databaseConns = 9
	// The unsettled messages taken from the bus are bounded by bytes, so that large events do not exceed the memory target. An
	// event is in memory about three times: as received, as sent and as recorded.
	fanoutBytes   = 24 << 20 // half of it for one partition, and what all others may have asked for by then
	retryBytes    = 16 << 20
	recorderBytes = 16 << 20
	// ownBytes is small, because callbacks and operational events are few and small.
	ownBytes = 4 << 20
	// lastWords is how long facts may take to be written at shutdown, after deliveries were abandoned.
	lastWords = 3 * time.Second
)

// Service is a delivery worker. Create it with New, and run its Components once.
type Service struct {
	config   Config
	log      *zap.Logger
	health   *daemon.Health
	registry *prometheus.Registry
	metrics  *metrics
	db       *store.DB
	policy   egress.Policy
	version  string
	traces   *trace.Tracer
	// mask hides the parts of URLs that viewers must not see.
	mask webhook.Mask

	bus   *bus.Bus
	own   *own
	index *index.Index
	// known keeps the index, the schema checks, the signing keys and the erased set up to date with the database.
	known   *store.Watch
	types   *schema.Checks
	erased  erasedSet
	limiter *limiter.Limiter
	send    *attempt.Sender
	relay   *relay.Relay
	facts   *ledger.Writer
	history *ledger.Reader
	// deliverer makes attempts. Attempts in progress are abandoned when the worker ends.
	deliverer *deliver.Deliverer
	// filters and evaluator are shared by everything that fans out events.
	filters   *filters
	evaluator *fanout.Evaluator
	drain     *drainer.Drainer
	guard     *guard
	// missed delivers the events that were fanned out before all workers knew of a hook.
	missed *missed.Closer
}

// New returns a worker and opens its health address. It does not connect to anything yet.
func New(ctx context.Context, c Config, p daemon.Process) (*Service, error) {
	ring, policy, err := c.Read()
	if err != nil {
		return nil, err
	}
	traces, err := trace.New(ctx, trace.Options{Service: "whisperer-delivery-worker", Version: p.Version, Environ: p.Environ, Log: p.Log})
	if err != nil {
		return nil, err
	}
	db, err := store.Open(c.DatabaseURL, databaseConns, ring)
	if err != nil {
		return nil, err
	}
	c.MemoryTarget = memoryTarget(c.MemoryTarget)
	registry := daemon.NewRegistry(p.Version)
	health, err := daemon.NewHealth(ctx, c.HealthListen, registry)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	if c.Worker == "" {
		host, _ := os.Hostname() // the process id alone is a name, too
		c.Worker = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	return &Service{
		config: c, log: p.Log, version: p.Version, traces: traces, health: health, registry: registry, metrics: newMetrics(registry, c.MetricsTop, c.MetricsLabel),
		db: db, policy: policy, mask: webhook.ParseMask(c.MaskedParams),
	}, nil
}

// HealthAddr returns the address of /healthz, /readyz and /metrics.
func (s *Service) HealthAddr() string { return s.health.Addr() }

// Components returns the worker's parts in the order in which they start.
func (s *Service) Components() []daemon.Component {
	return []daemon.Component{
		s.health.Server(),
		{Name: "traces", Run: s.traces.Run},
		{Name: "delivery-worker", Run: s.run, StopTimeout: s.config.ShutdownTimeout + 3*lastWords},
		s.health.Gate(),
		s.health.Watch(s.log),
	}
}

func (s *Service) run(ctx context.Context, ready func()) error {
	defer s.db.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.guard.taken = stop
	defer s.bus.Close()

	// There are three contexts, each of which outlives the one before: for taking messages (ctx), for attempts in progress, and
	// for recording their outcomes.
	attempts, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTelling()

	s.build(attempts)
	var background sync.WaitGroup
	background.Go(func() { s.known.Run(telling) })
	background.Go(func() { s.limiter.Run(telling) })
	background.Go(func() { s.facts.Run(telling) })
	s.watch(telling, &background)
	select {
	case <-s.known.Loaded():
	case <-ctx.Done():
		stopTelling()
		background.Wait()
		return nil
	}
	recorders, err := s.startRecorders(telling)
	if err != nil {
		return err
	}
	takers, err := s.startTakers(attempts)
	if err != nil {
		return err
	}
	takers.wg.Go(func() { s.drain.Run(ctx) })
	takers.wg.Go(func() { s.missed.Run(ctx) })
	takers.wg.Go(func() { s.housekeeper().Run(ctx) })
	ready()
	<-ctx.Done()

	takers.stop()
	if !takers.wait(s.config.ShutdownTimeout) {
		s.log.Warn("abandoning deliveries in flight")
		giveUp()
		takers.wait(lastWords)
	}
	recorders.stop()
	recorders.wait(lastWords)
	stopTelling()
	background.Wait()
	return taken(ctx)
}

// watch starts the background tasks for metrics, the topology, failures of expressions and the relay, which run until ctx ends.
func (s *Service) watch(ctx context.Context, parts *sync.WaitGroup) {
	parts.Go(func() { daemon.Every(ctx, lagEvery, s.measureLag) })
	parts.Go(func() {
		daemon.Every(ctx, countParkedEvery, func(ctx context.Context) { s.metrics.countParked(ctx, s.db, s.log) })
	})
	parts.Go(func() {
		daemon.Every(ctx, s.config.HousekeepEvery, func(ctx context.Context) { s.metrics.nameHooks(ctx, s.db, s.config.MetricsTop) })
	})
	parts.Go(func() { daemon.Every(ctx, rankEvery, func(context.Context) { s.metrics.rank() }) })
	parts.Go(func() { daemon.Every(ctx, guardEvery, s.guard.look) })
	parts.Go(func() { s.filters.run(ctx) })
	parts.Go(func() { s.relayCopies(ctx) })
}

// relayCopies sends copies of requests to listeners until ctx ends. If NATS forbids listening, only this function is affected.
func (s *Service) relayCopies(ctx context.Context) {
	stop, err := s.bus.Relay().Wishes(s.relay.Hear)
	if err != nil {
		s.log.Warn("nobody can listen to deliveries", zap.Error(err))
		return
	}
	defer stop()
	s.relay.Run(ctx)
}

// connect waits for PostgreSQL and NATS, and creates the parts that need them. It also waits, as for a server that is down,
// while the schema does not fit or the streams belong to another installation: the log and the health checks name the fix.
func (s *Service) connect(ctx context.Context) error {
	s.health.AddCheck("postgres", s.db.ReadyToRecord)
	var installation uuid.UUID
	var sourcesSince time.Time
	err := daemon.Await(ctx, s.log, "postgres", func(ctx context.Context) (err error) {
		if err = s.db.ReadyToRecord(ctx); err != nil {
			return err
		}
		if installation, err = s.db.Installation(ctx); err != nil {
			return err
		}
		sourcesSince, err = s.db.Ledger.SourcesSince(ctx)
		return err
	}, nil)
	if err != nil {
		return err
	}
	s.bus, err = bus.Open(bus.Options{
		URL: s.config.NATSURL, Name: "delivery-worker " + s.config.Worker + " " + s.version, Credentials: s.config.NATS, Namespace: bus.Namespace(s.config.Namespace),
		Installation: installation.String(), Replicas: s.config.Replicas, OMSMaxBytes: s.config.OMSMaxBytes,
		OwnMaxBytes: s.config.OwnMaxBytes, SourcesSince: sourcesSince, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.health.AddCheck("nats", s.bus.Ready)
	if err := s.makeParts(ctx); err != nil {
		s.bus.Close()
		return err
	}
	return nil
}

// makeParts waits for the topology, and creates the parts that use it.
func (s *Service) makeParts(ctx context.Context) (err error) {
	if err := s.bus.Await(ctx); err != nil {
		return err
	}
	s.guard = &guard{bus: s.bus, repairs: s.metrics.repairs, log: s.log}
	s.health.AddCheck("topology", s.guard.ready)
	if err := daemon.Await(ctx, s.log, "nats", s.guard.ensure, broker.ErrServerTooOld); err != nil {
		return err
	}
	s.bus.Streams().TellSettings(ctx)
	client := egress.NewClient(egress.Options{Policy: s.policy, MaxIdlePerHost: webhook.MaxConcurrency, Version: s.version})
	s.index = index.New(s.hookChanged)
	s.limiter = limiter.New(limiter.Breaker{
		MinAttempts: s.config.BreakerAttempts, FailureRatio: s.config.BreakerRatio, Open: s.config.BreakerOpen,
	}, s.index.Get)
	s.types = schema.NewChecks(catalogue.SchemaOf, s.log)
	s.facts = ledger.NewWriter(s.bus, s.config.Worker, s.log)
	s.filters = newFilters(s)
	s.evaluator = fanout.NewEvaluator(s.config.FilterBudget, runtime.GOMAXPROCS(0)/2, s.filters, s.log)
	keys := &httpsig.Ring{}
	s.relay = relay.New(s.bus.Relay(), s.config.Worker, s.log)
	s.send = attempt.New(attempt.Options{
		Client: client, Keys: keys, PublicURL: s.config.PublicURL, Version: s.version, Traces: s.traces, Maker: s.evaluator, Copier: s.relay,
	})
	s.own = &own{bus: s.bus, mask: s.mask, traces: s.traces, deferred: s.metrics.ownDeferred, log: s.log}
	s.known, err = s.db.Hooks.Watch(store.WatchOptions{
		Hooks: hookSet{s.index, s}, Types: s.types, Keys: keys, Erased: &s.erased, Worker: s.config.Worker, Gaps: func() { s.missed.Wake() }, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.health.AddCheck("hooks", s.known.Ready)
	s.metrics.watch(s.registry, s)
	return nil
}

// hookChanged tells the worker's parts that a hook was added or has changed, or, if h is nil, was removed.
func (s *Service) hookChanged(id uuid.UUID, h *webhook.Hook) {
	if h == nil {
		s.send.Forget(id)
		s.limiter.Forget(id)
	}
	s.drain.Wake(id)
}

// takers holds the parts that take messages from subscriptions.
type takers struct {
	subs []*bus.Subscription
	wg   sync.WaitGroup
}

func (t *takers) stop() {
	for _, s := range t.subs {
		s.Stop()
	}
}

// wait waits until all parts have ended. It returns false if that takes longer than the limit.
func (t *takers) wait(limit time.Duration) bool {
	_, err := daemon.Within(context.Background(), limit, func(context.Context) (struct{}, error) {
		t.wg.Wait()
		return struct{}{}, nil
	})
	return err == nil
}

// take starts a part with a subscription of its own.
func (s *Service) take(ctx context.Context, t *takers, c bus.Consumer, room bus.Room, run func(context.Context, *bus.Subscription)) error {
	sub, err := s.bus.Subscribe(ctx, c, room)
	if err != nil {
		t.stop()
		return err
	}
	t.subs = append(t.subs, sub)
	t.wg.Go(func() { run(ctx, sub) })
	return nil
}

// roomFor returns the room of a subscription to a stream of events.
func roomFor(s webhook.Stream, messages, bytes int) bus.Room {
	if s == webhook.Own {
		bytes = ownBytes
	}
	return bus.Room{Messages: messages, Bytes: bytes}
}

func (s *Service) startRecorders(ctx context.Context) (*takers, error) {
	t := &takers{}
	newRecorder := func() *recorder.Recorder {
		return recorder.New(s.db.Ledger.NewRecorder(), s.bus, s.types, s.metrics, s.log)
	}
	if err := s.take(ctx, t, bus.FactRecorder, bus.Room{Messages: 64, Bytes: recorderBytes}, newRecorder().RunFacts); err != nil {
		return nil, err
	}
	for _, from := range webhook.Streams() {
		if err := s.take(ctx, t, bus.RecorderOf(from), roomFor(from, 2000, recorderBytes), newRecorder().RunEvents); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// build creates the parts that make attempts. Attempts are abandoned when ctx ends.
func (s *Service) build(ctx context.Context) {
	s.deliverer = deliver.New(ctx, deliver.Deps{
		Sender: s.send, Enter: s.limiter.Enter, Clock: s.bus, Schedule: s.bus.Retries().Schedule, Facts: s.facts,
		Operator: operator{s}, Erased: s.erased.has, Stale: func() bool { return s.known.Age() > store.Stale }, Observer: s.metrics, Log: s.log, MaxPayload: s.bus.MaxPayload(),
	})
	s.history = ledger.NewReader(s.db.Ledger, s.db.History, s.bus)
	s.missed = missed.New(missed.Deps{Store: s.db.Ledger, Leases: s.db.Leases, Bus: s.bus, History: s.history, Among: index.Among, Filters: s.evaluator, Log: s.log, Worker: s.config.Worker})
	s.drain = drainer.New(drainer.Deps{
		Deliverer: s.deliverer, Hooks: s.index, Limiter: s.limiter, Store: s.db.Queue, Leases: s.db.Leases, Bus: s.bus, History: s.history, Superseded: s.metrics.Superseded, Log: s.log,
		Worker: s.config.Worker,
	})
}

func (s *Service) startTakers(ctx context.Context) (*takers, error) {
	t := &takers{}
	outs := map[webhook.Stream]*fanout.Fanout{}
	for _, from := range webhook.Streams() {
		outs[from] = fanout.New(fanout.Deps{
			From: from, Hooks: s.index, Refresher: s.known, Types: s.types, Deliverer: s.drain, Seen: s.db.Ledger, History: s.history, Tries: s.db.Leases,
			Worker: s.config.Worker, Rejecter: s.facts, Bus: s.bus, Evaluator: s.evaluator, Observer: s.metrics, Log: s.log,
			Slots: s.config.Slots, Traces: s.traces,
		})
		if err := s.take(ctx, t, bus.FanoutOf(from), roomFor(from, 256, fanoutBytes), outs[from].Run); err != nil {
			return nil, err
		}
	}
	due := retries.New(retries.Deps{
		Hooks: s.index, Deliverer: s.deliverer, History: s.history, Bus: s.bus, Own: s.own, Log: s.log, Slots: s.config.Slots,
		FanOut: func(ctx context.Context, m *bus.Message, e *webhook.Event) { outs[e.Seq.Stream()].Again(ctx, m, e) },
	})
	if err := s.take(ctx, t, bus.Retry, bus.Room{Messages: 256, Bytes: retryBytes}, due.Run); err != nil {
		return nil, err
	}
	return t, nil
}
