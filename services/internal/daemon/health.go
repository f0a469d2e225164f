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
	// checkTimeout is what all readiness checks together may take.
	checkTimeout = 2 * time.Second
	// healthStopTimeout is how long requests under way at the end may take.
	healthStopTimeout = 5 * time.Second
	// healthConns bounds the connections of those who ask: some probes and collectors of metrics.
	healthConns = 128
	// watchEvery is how often checks are run for the log.
	watchEvery = 5 * time.Second
)

// Check returns nil when what it is about can be used now, and otherwise the reason why not. It must return when ctx
// ends. Whoever can reach the health address reads the reason: it must hold no secrets.
type Check func(ctx context.Context) error

// Health serves what machines ask about a program: /healthz (200: the process lives), /readyz (200 when it can work, else
// 503, with every check and its reason as JSON) and /metrics (Prometheus).
//
// Server goes first among the components of Run, so that the endpoints answer while others start and stop; Gate goes
// last, so that the program is ready only when all are, and no longer from the first moment of its stop.
type Health struct {
	server *Server

	mu     sync.Mutex
	phase  phase
	checks map[string]Check
}

// phase is why a program is not ready as such, whatever its checks say.
type phase string

const (
	starting phase = "starting"
	serving  phase = ""
	stopping phase = "stopping"
)

// NewHealth listens on the address, where port 0 takes a free one; requests are answered once Server runs. registry is
// what /metrics shows. It fails when it cannot listen.
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

// Addr is the address that is listened on, with its real port.
func (h *Health) Addr() string { return h.server.Addr() }

// AddCheck makes readiness depend on the check. A second one of the same name replaces the first.
func (h *Health) AddCheck(name string, check Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = check
}

// Server is the component that answers requests.
func (h *Health) Server() Component {
	return Component{Name: "health", StopTimeout: 2 * healthStopTimeout, Run: h.server.Serve}
}

// Gate is the component that makes the program ready while it runs.
func (h *Health) Gate() Component {
	return Component{Name: "readiness", Run: func(ctx context.Context, ready func()) error {
		h.enter(serving)
		ready()
		<-ctx.Done()
		h.enter(stopping)
		return nil
	}}
}

// Watch is the component that tells the log why a check that was good is not any more, once and then each minute while that
// lasts, and that it is again. It goes after Gate. Who waits for a check that was never good says so himself.
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

// isLogged reports whether whoever found the reason tells the log of it himself, as often as Watch would.
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

// result is what one check said.
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
	_, _ = w.Write(append(body, '\n')) // the caller may have gone; nobody is left to tell
}

// runChecks runs the checks side by side.
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
