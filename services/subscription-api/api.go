// Package subscriptionapi is the service with which people and programs manage hooks over HTTP. See internal/httpapi
// for its operations.
package subscriptionapi

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// Database connections per purpose. Each purpose has its own pool, so that none takes connections from another.
const (
	hookConns   = 8 // hooks, authentication, publishing
	lookUpConns = 6 // history
	jobConns    = 2 // replays and other jobs, whose batches take long, and putting entries back into the ledger
)

// How many look-ups may run at once: in total, per tenant and per token.
const (
	lookUps, tenantLookUps, tokenLookUps    = lookUpConns, 4, 3
	searches, tenantSearches, tokenSearches = lookUpConns / 2, 2, 2
	// guessTimeout bounds writing a report about guesses to the audit log.
	guessTimeout = 1500 * time.Millisecond
	// lookUpPatience is how long a look-up waits for its turn.
	lookUpPatience = 500 * time.Millisecond
)

const (
	// lastWords is how long closing connections may take after requests in progress were abandoned at shutdown.
	lastWords = 3 * time.Second
	ballast   = 32 << 20 // bytes
)

// Service is the subscription API. Create one with New and run its Components once.
type Service struct {
	config  Config
	version string
	log     *zap.Logger
	health  *daemon.Health
	db      *store.DB
	history *store.DB // for history
	work    *store.DB // for jobs
	events  *publisher
	types   *schema.Checks
	keys    *httpsig.Ring
	cases   *usecase.Service
	traces  *trace.Tracer
	// erasures counts what is erased.
	erasures *erase.Metrics
	http     *daemon.Server
	// ballast is never touched, so it takes no physical memory, but it counts as heap in use, which makes the garbage
	// collector run less often. Without it, the small heap would be collected so often that publishing costs a tenth
	// more.
	ballast []byte
	// database is closed once the database is open and installation is known.
	database     chan struct{}
	installation uuid.UUID
}

// New creates the API and listens on its addresses; it does not connect to anything yet.
func New(ctx context.Context, c Config, p daemon.Process) (_ *Service, err error) {
	ring, policy, err := c.Read()
	if err != nil {
		return nil, err
	}
	traces, err := trace.New(ctx, trace.Options{Service: "whisperer-subscription-api", Version: p.Version, Environ: p.Environ, Log: p.Log})
	if err != nil {
		return nil, err
	}
	proxies, err := daemon.ParseProxies(c.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("read trusted proxies: %w", err)
	}
	cursorKey, err := deriveCursorKey(c.MasterKey)
	if err != nil {
		return nil, err
	}
	s := &Service{
		config: c, version: p.Version, log: p.Log, database: make(chan struct{}), events: &publisher{}, traces: traces, keys: &httpsig.Ring{}, types: schema.NewChecks(catalogue.SchemaOf, p.Log),
		ballast: make([]byte, ballast),
	}
	defer func() {
		if err != nil {
			_ = s.closeDatabase()
		}
	}()
	if err := s.openDatabase(ring); err != nil {
		return nil, err
	}
	registry := daemon.NewRegistry(p.Version)
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "whisperer_api_nats_up", Help: "1 while events can be published, else 0.",
	}, s.events.up))
	s.erasures = erase.NewMetrics(registry)
	handler, err := s.handler(parts{ring: ring, policy: policy, cursorKey: cursorKey, registry: registry, version: p.Version})
	if err != nil {
		return nil, err
	}
	if s.http, err = daemon.NewServer(ctx, daemon.ServerOptions{
		Name: "api", Addr: c.Listen, Handler: handler, MaxConns: c.MaxConnections, MaxConnsPerAddr: c.MaxConnectionsPerAddress,
		Proxies: proxies, StopTimeout: c.ShutdownTimeout, Metrics: registry, Log: p.Log,
	}); err != nil {
		return nil, err
	}
	if s.health, err = daemon.NewHealth(ctx, c.HealthListen, registry); err != nil {
		_ = s.http.Close()
		return nil, err
	}
	return s, nil
}

// parts are the dependencies of API and console.
type parts struct {
	ring      *seal.Ring
	policy    egress.Policy
	cursorKey []byte
	registry  *prometheus.Registry
	version   string
}

// handler returns the handler of the API and the console.
func (s *Service) handler(p parts) (http.Handler, error) {
	looking := daemon.NewShares(lookUps, lookUpPatience, tenantLookUps, tokenLookUps)
	searching := daemon.NewShares(searches, lookUpPatience, tenantSearches, tokenSearches)
	guesses, err := daemon.NewGuesses(s.config.WrongTokens, p.registry, s.reportGuesses)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	public := strings.TrimSuffix(s.config.PublicURL, "/")
	sender := attempt.New(attempt.Options{
		Client: egress.NewClient(egress.Options{Policy: p.policy, Version: p.version}), Keys: s.keys, PublicURL: public, Version: p.version, Traces: s.traces,
	})
	s.cases = usecase.New(usecase.Deps{
		Stores: usecase.NewStores(s.db, s.history),
		Sender: sender, Aside: aside.NewDesk(s.events.find, s.work, s.log), URLs: p.policy, Keys: s.keys, PublicURL: public, LookUps: looking, Searches: searching, Guesses: guesses,
		Mask: webhook.ParseMask(s.config.MaskedParams), HookQuota: s.config.HookQuota, Bus: s.events.find,
	})
	api, err := httpapi.New(httpapi.Deps{
		Cases: s.cases, Types: s.types, Publisher: s.events, CursorKey: p.cursorKey, PublicURL: public,
		Namespace: bus.Namespace(s.config.Namespace), RequestRate: s.config.RequestRate, RetryWait: s.config.RetryWait, Version: p.version,
		Metrics: p.registry, Traces: s.traces, Log: s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("make API: %w", err)
	}
	pages, err := console.New(console.Deps{
		Cases: s.cases, Bus: s.events, Ring: p.ring, PublicURL: public, Settings: s.config.settings(), Version: p.version,
		Traces: s.traces, Log: s.log,
	})
	if err != nil {
		return nil, fmt.Errorf("make console: %w", err)
	}
	return route(api, pages), nil
}

// reportGuesses logs that somebody guesses tokens, and writes it to the audit log.
func (s *Service) reportGuesses(ctx context.Context, about daemon.Guessed) {
	s.log.Warn("too many wrong tokens from one address", zap.Stringer("address", about.Addr), zap.Int("wrong", about.Wrong), zap.Time("since", about.Since))
	_, err := daemon.Within(ctx, guessTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.db.Access.NoteGuesses(ctx, "subscription-api", about.Addr.String(), about.Wrong, about.Since)
	})
	if err != nil {
		s.log.Warn("failed to write failed sign-ins to the audit log", zap.Error(err))
	}
}

// openDatabase opens a connection pool for each purpose.
func (s *Service) openDatabase(ring *seal.Ring) error {
	for _, pool := range []struct {
		db    **store.DB
		conns int
	}{{&s.db, hookConns}, {&s.history, lookUpConns}, {&s.work, jobConns}} {
		var err error
		if *pool.db, err = store.Open(s.config.DatabaseURL, pool.conns, ring); err != nil {
			return err
		}
	}
	return nil
}

// route sends the console's paths to the console and all others to the API. It does not use ServeMux, which would
// redirect a path that contains .. or //, and with it a token.
func route(api, pages http.Handler) http.Handler {
	home := http.RedirectHandler(console.Root, http.StatusSeeOther)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/" && r.Method == http.MethodGet:
			home.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, console.Root), r.URL.Path+"/" == console.Root:
			pages.ServeHTTP(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// deriveCursorKey derives a key for cursors from the current master key (RFC 5869).
func deriveCursorKey(masterKeys string) ([]byte, error) {
	current, _, _ := strings.Cut(masterKeys, ",")
	key, err := hkdf.Key(sha256.New, []byte(strings.TrimSpace(current)), nil, "whisperer list cursors", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive cursor key: %w", err)
	}
	return key, nil
}

// Addr returns the API's address, with the actual port.
func (s *Service) Addr() string { return s.http.Addr() }

// HealthAddr returns the address of /healthz, /readyz and /metrics.
func (s *Service) HealthAddr() string { return s.health.Addr() }

// Components returns the API's components in the order of their start.
func (s *Service) Components() []daemon.Component {
	return []daemon.Component{
		s.health.Server(),
		{Name: "traces", Run: s.traces.Run},
		{Name: "bus", Run: s.connectBus},
		{Name: "subscription-api", Run: s.serve, StopTimeout: s.config.ShutdownTimeout + 2*lastWords},
		{Name: "jobs", Run: s.runJobs},
		{Name: "erasures", Run: s.runErasures},
		{Name: "event types", Run: s.watch},
		{Name: "pauses", Run: s.endPauses},
		{Name: "token uses", Run: func(ctx context.Context, ready func()) error {
			ready()
			s.cases.Access.KeepTokenUses(ctx, s.log)
			return nil
		}},
		s.health.Gate(),
		s.health.Watch(s.log),
	}
}

// serve answers requests once the database is available with the right schema, until ctx ends. Then it finishes
// requests in progress.
func (s *Service) serve(ctx context.Context, ready func()) error {
	defer func() { _ = s.closeDatabase() }()
	s.health.AddCheck("postgres", s.db.Ready)
	err := daemon.Await(ctx, s.log, "postgres", func(ctx context.Context) (err error) {
		if err = s.db.Ready(ctx); err == nil {
			s.installation, err = s.db.Installation(ctx)
		}
		return err
	}, nil)
	if err != nil {
		_ = s.http.Close()
		return err
	}
	close(s.database)
	return s.http.Serve(ctx, ready)
}

// closeDatabase closes the pools that were opened.
func (s *Service) closeDatabase() error {
	var problems []error
	for _, pool := range []*store.DB{s.db, s.history, s.work} {
		if pool != nil {
			problems = append(problems, pool.Close())
		}
	}
	return errors.Join(problems...)
}

// watch keeps the checked event types and the signing keys up to date with the database until ctx ends.
func (s *Service) watch(ctx context.Context, ready func()) error {
	ready()
	watch, err := s.db.Hooks.Watch(store.WatchOptions{Types: s.types, Keys: s.keys, Log: s.log})
	if err != nil {
		return err
	}
	watch.Run(ctx)
	return nil
}

// connectBus connects to NATS in the background, for as long as it takes. Without NATS, hooks can be managed; only
// publishing answers 503.
func (s *Service) connectBus(ctx context.Context, ready func()) error {
	s.health.AddCheck("nats", func(context.Context) error { return errNoBus })
	ready()
	select {
	case <-s.database: // the database knows the installation's id
	case <-ctx.Done():
		return nil
	}
	b, err := bus.Open(bus.Options{
		URL: s.config.NATSURL, Name: "subscription-api " + s.version, Credentials: s.config.NATS, Namespace: bus.Namespace(s.config.Namespace), Installation: s.installation.String(),
		Replicas: s.config.Replicas, OMSMaxBytes: s.config.OMSMaxBytes, OwnMaxBytes: s.config.OwnMaxBytes, Log: s.log,
	})
	if err != nil {
		return err
	}
	defer b.Close()
	s.health.AddCheck("nats", s.events.readyOnce(b))
	if b.Await(ctx) != nil {
		return nil // the program stops before there was a connection
	}
	err = daemon.Await(ctx, s.log, "nats", func(ctx context.Context) error {
		err := b.Streams().Ensure(ctx)
		s.events.waits(err)
		return err
	}, broker.ErrServerTooOld)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	b.Streams().TellSettings(ctx)
	s.events.connected(b)
	<-ctx.Done()
	return nil
}
