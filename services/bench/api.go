package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

// Paths of the API that are measured.
const (
	eventsPath = "/whisperer/events/"
	hooksPath  = "/whisperer/hooks/"
)

// apiPart is a subscription-api, configured by environment variables as in production.
type apiPart struct{ end func() error }

func newAPI(version string) role {
	a := &apiPart{}
	start := func(ctx context.Context, environ []string) (any, error) { return a.start(ctx, environ, version) }
	return role{verbs: map[string]verb{verbStart: taking(start)}, stop: func() {
		if a.end != nil {
			_ = a.end() // its store is temporary
		}
	}}
}

// start returns the URL once events can be published.
func (a *apiPart) start(ctx context.Context, environ []string, version string) (any, error) {
	config, err := daemon.LoadConfig[subscriptionapi.Config](environ)
	if err != nil {
		return nil, err
	}
	log, err := daemon.NewLogger("warn", "json", os.Stderr)
	if err != nil {
		return nil, err
	}
	service, err := subscriptionapi.New(context.WithoutCancel(ctx), config, daemon.Process{Version: version, Log: log.With(zap.String("part", "subscription-api"))})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if a.end, err = daemon.Start(ctx, log, service.Components()...); err != nil {
		return nil, fmt.Errorf("start API: %w", err)
	}
	err = daemon.Await(ctx, zap.NewNop(), "API", func(ctx context.Context) error { return daemon.Probe(ctx, service.HealthAddr()) }, nil)
	return "http://" + service.Addr(), err
}

// startAPI starts the API for scenarios that need one.
func (b *bench) startAPI(ctx context.Context, y *system, s Scenario, databaseURL, natsURL string) (err error) {
	if !s.overHTTP() {
		return nil
	}
	if y.token, err = makeToken(ctx, databaseURL, y.key); err != nil {
		return err
	}
	target, err := url.Parse(b.targets.Plain)
	if err != nil {
		return fmt.Errorf("read URL of receiver: %w", err)
	}
	if y.api, err = b.startPart(ctx, roleAPI, y.dir); err != nil {
		return err
	}
	environ := append(environment(databaseURL, natsURL, y.key, 0),
		daemon.Prefix+"LISTEN=127.0.0.1:0", daemon.Prefix+"REQUEST_RATE=0", daemon.Prefix+"HOOK_QUOTA="+strconv.Itoa(1_000_000),
		daemon.Prefix+"EGRESS_PORTS="+target.Port())
	return y.api.do(ctx, verbStart, environ, &y.url)
}

func makeToken(ctx context.Context, databaseURL, key string) (string, error) {
	db, err := openDatabase(databaseURL, key)
	if err != nil {
		return "", err
	}
	defer db.Close()
	plain, _, err := db.Access.CreateToken(ctx, actor, store.NewToken{Name: "bench", Tenant: webhook.DefaultTenant, Role: store.Editor})
	return plain, err
}

// send makes the plain client send a scenario's events, or hooks, to the API. It returns when all are answered, with
// the duration of each request.
func (b *bench) send(ctx context.Context, y *system, s Scenario) (took []int64, err error) {
	e := errand{
		URL: y.url + eventsPath, Token: y.token, Status: http.StatusAccepted, Hooks: 1, Events: s.Events, Batch: s.Batch, Rate: s.Rate,
		Goroutines: s.Goroutines, Body: b.payload.published.text, Mark: b.payload.published.mark,
	}
	if s.Creates {
		t, err := b.hookBody()
		if err != nil {
			return nil, err
		}
		e.URL, e.Status, e.Body, e.Mark = y.url+hooksPath, http.StatusCreated, t.text, t.mark
	}
	return took, b.client.do(ctx, verbPost, e, &took)
}

// hookBody returns a template for hooks that differ in their marks.
func (b *bench) hookBody() (template, error) {
	mark, at := newMark(), 0
	text, err := json.Marshal(map[string]any{
		"target_url": b.targets.Plain + "new/" + mark, "event_type": otherType, "secret_key": "bench", "additional_headers": map[string]string{"X-Shop": "1"},
	})
	if err == nil {
		at = findMark(text)
	}
	return template{text: text, mark: at}, err
}

// accept measures the API alone: accepted events are stored but not delivered.
func (b *bench) accept(ctx context.Context, y *system, s Scenario, run Once) (Once, error) {
	processes := b.processes(y)
	m, begin := startMeter(processes), time.Now()
	took, err := b.send(ctx, y, s)
	u := m.stop()
	if err != nil {
		return run, err
	}
	g := got{Latencies: took, Last: time.Now().UnixNano()}
	run.System = newFigures(g, begin, u, processAPI, processPostgres, processNATS)
	run.Missing = s.Events - len(took)
	return run, nil
}
