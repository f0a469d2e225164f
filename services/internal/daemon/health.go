package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

const (
	// checkTimeout bounds all readiness checks together.
	checkTimeout = 2 * time.Second
	// healthStopTimeout is how long requests in progress may take when the program stops.
	healthStopTimeout = 5 * time.Second
	// healthConns bounds the connections of probes and metrics collectors.
	healthConns = 128
	// watchEvery is how often Watch runs the checks.
	watchEvery = 5 * time.Second
)

// Check returns nil if what it checks is usable now, and otherwise the reason why not. It must return when ctx ends.
// Everybody who can reach the health address can read the reason, so it must not contain secrets.
type Check func(ctx context.Context) error

// Health serves /healthz (200 while the process lives), /readyz (200 if it can work, else 503, with every check and
// its reason as JSON) and /metrics (Prometheus).
//
// Server comes first among the components of Run, so that the endpoints answer while the others start and stop. Gate
// comes last, so that the program is ready only when all components are, and stops being ready as soon as it starts
// to stop.
type Health struct {
	server *Server

	mu     sync.Mutex
	phase  phase
	checks map[string]Check
}

// phase is the reason why a program is not ready regardless of its checks: it is starting or stopping.
type phase string

const (
	starting phase = "starting"
	serving  phase = ""
	stopping phase = "stopping"
)

// NewHealth listens on the address; port 0 means a free port. It answers requests once Server runs. /metrics shows
// registry. It returns an error if it cannot listen.
func NewHealth(ctx context.Context, addr string, registry *prometheus.Registry) (*Health, error) {
	h := &Health{phase: starting, checks: map[string]Check{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, EnableOpenMetrics: true}))
	var err error
	h.server, err = NewServer(ctx, ServerOptions{
		Name: "health", Addr: addr, Handler: mux, MaxConns: healthConns, StopTimeout: healthStopTimeout, Metrics: registry,
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Addr returns the address that it listens on, with the actual port.
func (h *Health) Addr() string { return h.server.Addr() }

// AddCheck makes readiness depend on the check. A second check with the same name replaces the first.
func (h *Health) AddCheck(name string, check Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = check
}

// Server returns the component that answers requests.
func (h *Health) Server() Component {
	return Component{Name: "health", StopTimeout: 2 * healthStopTimeout, Run: h.server.Serve}
}

// Gate returns the component that makes the program ready while it runs.
func (h *Health) Gate() Component {
	return Component{Name: "readiness", Run: func(ctx context.Context, ready func()) error {
		h.enter(serving)
		ready()
		<-ctx.Done()
		h.enter(stopping)
		return nil
	}}
}

// Watch returns the component that logs when a check that had succeeded fails, every minute while that lasts, and
// when the check succeeds again. It goes after Gate. Checks that have never succeeded are not logged here; whoever
// waits for them logs that.
func (h *Health) Watch(log *zap.Logger) Component {
	return Component{Name: "readiness log", Run: func(ctx context.Context, ready func()) error {
		ready()
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		good, told := map[string]bool{}, map[string]*Teller{}
		for {
			for name, err := range h.results(ctx) {
				switch {
				case ctx.Err() != nil:
				case err == nil && told[name] != nil:
					delete(told, name)
					log.Info("ready again", zap.String("check", name))
				case err == nil:
					good[name] = true
				case good[name] && !isLogged(err):
					if told[name] == nil {
						told[name] = NewTeller(log)
					}
					told[name].Tell("not ready", err, zap.String("check", name))
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}}
}

// isLogged reports whether the source of the error already logs it as often as Watch would.
func isLogged(err error) bool {
	var logged interface{ Logged() }
	return errors.As(err, &logged)
}

// results runs all checks.
func (h *Health) results(ctx context.Context) map[string]error {
	h.mu.Lock()
	checks := maps.Clone(h.checks)
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return runChecks(ctx, checks)
}

func (h *Health) enter(p phase) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase = p
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, []byte(`{"status":"alive"}`))
}

// readiness is the body of /readyz.
type readiness struct {
	Ready  bool              `json:"ready"`
	Reason phase             `json:"reason,omitempty"`
	Checks map[string]result `json:"checks"`
}

// result is the result of one check.
type result struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

func (h *Health) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	h.mu.Lock()
	answer := readiness{Ready: h.phase == serving, Reason: h.phase, Checks: make(map[string]result, len(h.checks))}
	checks := maps.Clone(h.checks)
	h.mu.Unlock()

	for name, err := range runChecks(ctx, checks) {
		outcome := result{OK: err == nil}
		if err != nil {
			outcome.Reason = err.Error()
			answer.Ready = false
		}
		answer.Checks[name] = outcome
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "readiness cannot be written", http.StatusInternalServerError)
		return
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // if the caller has gone, nobody is left to tell
}

// runChecks runs the checks concurrently.
func runChecks(ctx context.Context, checks map[string]Check) map[string]error {
	var (
		mu      sync.Mutex
		wait    sync.WaitGroup
		results = make(map[string]error, len(checks))
	)
	for name, check := range checks {
		wait.Go(func() {
			err := check(ctx)
			mu.Lock()
			defer mu.Unlock()
			results[name] = err
		})
	}
	wait.Wait()
	return results
}
