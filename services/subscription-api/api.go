// Package subscriptionapi is the service that people and programs manage hooks with, over HTTP: see internal/httpapi for
// what it answers.
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

// Connections to PostgreSQL. Each use has its own, so that none takes those of the others.
const (
	hookConns   = 8 // hooks, signing in, publishing
	lookUpConns = 6 // what happened
	jobConns    = 2 // replays and other jobs, a batch of which takes long, and what is put back into the ledger
)

// What may be looked up at once: in all, of one tenant and by one token.
const (
	lookUps, tenantLookUps, tokenLookUps    = lookUpConns, 4, 3
	searches, tenantSearches, tokenSearches = lookUpConns / 2, 2, 2
	// guessTimeout bounds the writing of guesses to the audit log.
	guessTimeout = 1500 * time.Millisecond
	// lookUpPatience is how long a look-up waits for its turn.
	lookUpPatience = 500 * time.Millisecond
)

const (
	// lastWords is what closing connections may take after requests under way were given up at the end.
	lastWords = 3 * time.Second
	ballast   = 32 << 20 // bytes
)

// Service is the subscription API. Make one with New and run its Components once.
type Service struct {
	config  Config
	version string
	log     *zap.Logger
	health  *daemon.Health
	db      *store.DB
	history *store.DB // for looking up what happened
	work    *store.DB // for jobs
	events  *publisher
	types   *schema.Checks
	keys    *httpsig.Ring
	cases   *usecase.Service
	traces  *trace.Tracer
	// erasures counts what is erased.
	erasures *erase.Metrics
	http     *daemon.Server
	// ballast is never touched, so that it takes no memory, but counts as in use: the garbage collector lets as much garbage gather.
	// Without it it would look at the little that is in use again and again, for a tenth of what publishing costs.
	ballast []byte
	// database is closed when it is there, and installation known.
	database     chan struct{}
	installation uuid.UUID
}

// New makes the API and opens its addresses; it connects to nothing yet.
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

// parts are what API and console are made of.
type parts struct {
	ring      *seal.Ring
	policy    egress.Policy
	cursorKey []byte
	registry  *prometheus.Registry
	version   string
}

// handler makes the API and the console.
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

// reportGuesses tells the log and the audit log of somebody who guesses tokens.
func (s *Service) reportGuesses(ctx context.Context, about daemon.Guessed) {
	s.log.Warn("too many wrong tokens from one address", zap.Stringer("address", about.Addr), zap.Int("wrong", about.Wrong), zap.Time("since", about.Since))
	_, err := daemon.Within(ctx, guessTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.db.Access.NoteGuesses(ctx, "subscription-api", about.Addr.String(), about.Wrong, about.Since)
	})
	if err != nil {
		s.log.Warn("failed to write failed sign-ins to the audit log", zap.Error(err))
	}
}

// openDatabase makes a pool of connections for each use.
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

// route gives the console what is its, and the API all else. It is no ServeMux, which answers a path with .. or // in it
// by a redirect, token and all.
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

// deriveCursorKey makes a key of its own purpose from the current master key (RFC 5869).
func deriveCursorKey(masterKeys string) ([]byte, error) {
	current, _, _ := strings.Cut(masterKeys, ",")
	key, err := hkdf.Key(sha256.New, []byte(strings.TrimSpace(current)), nil, "whisperer list cursors", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive cursor key: %w", err)
	}
	return key, nil
}

// Addr is where the API is, with its real port.
func (s *Service) Addr() string { return s.http.Addr() }

// HealthAddr is where /healthz, /readyz and /metrics are.
func (s *Service) HealthAddr() string { return s.health.Addr() }

// Components are the API's parts in the order of their start.
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

// serve answers requests from when the database is there, with a schema that fits, until ctx ends, and then finishes those
// under way.
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

// closeDatabase closes the pools that there are.
func (s *Service) closeDatabase() error {
	var problems []error
	for _, pool := range []*store.DB{s.db, s.history, s.work} {
		if pool != nil {
			problems = append(problems, pool.Close())
		}
	}
	return errors.Join(problems...)
}

// watch keeps the checked event types and the signing keys as they are in the database until ctx ends.
func (s *Service) watch(ctx context.Context, ready func()) error {
	ready()
	watch, err := s.db.Hooks.Watch(store.WatchOptions{Types: s.types, Keys: s.keys, Log: s.log})
	if err != nil {
		return err
	}
	watch.Run(ctx)
	return nil
}

// connectBus connects to NATS, for as long as it takes, beside everything else: without it hooks can be managed, and
// only publishing answers 503.
func (s *Service) connectBus(ctx context.Context, ready func()) error {
	s.health.AddCheck("nats", func(context.Context) error { return errNoBus })
	ready()
	select {
	case <-s.database: // it says which installation this is
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
		return nil // asked to stop before there was a connection
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
