// Package history measures how long the API takes to answer what happened, when there is much of it.
package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/catalogue"
	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/localpg"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/seal"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

// hooks is how many the made-up history has.
const hooks = 200

// Options say what is measured.
type Options struct {
	// Attempts there are in the database, Requests that each look-up makes.
	Attempts, Requests int
	// Dir is where the throw-away database goes; empty for /var/tmp.
	Dir     string
	Version string
	// Progress is told what is going on.
	Progress io.Writer
}

// Figures are what one look-up took.
type Figures struct {
	Name string `json:"name"`
	// Query is the path of one of its requests.
	Query string `json:"query"`
	// Results is how many a page had, on average.
	Results float64       `json:"results"`
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
}

// Report is what was measured.
type Report struct {
	Attempts int           `json:"attempts"`
	Seeding  time.Duration `json:"seeding"`
	Figures  []Figures     `json:"figures"`
}

// Run makes a database with so much history, asks for all kinds of it over HTTP, and removes everything.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	root := o.Dir
	if root == "" {
		root = "/var/tmp"
	}
	dir, err := os.MkdirTemp(root, "whisperer-history-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // PostgreSQL's user passes through
		return nil, fmt.Errorf("open folder: %w", err)
	}
	server, err := localpg.Start(ctx, localpg.Options{
		DataDir: filepath.Join(dir, "postgres"), FallbackDir: filepath.Join(dir, "elsewhere"), TCP: true,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, server.Stop(stopping))
	}()
	w := &world{url: server.URL("postgres"), key: seal.NewKey(), options: o}
	report, err := w.seed(ctx)
	if err != nil {
		return nil, err
	}
	stop, err := w.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, l := range w.lookUps() {
		f, err := w.measure(ctx, l)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(o.Progress, "%s: p99 %s\n", f.Name, f.P99)
		report.Figures = append(report.Figures, f)
	}
	return report, nil
}

type world struct {
	url, key string
	options  Options
	api      string
	token    string
	hooks    []uuid.UUID
	samples  []webhook.Delivery
	waiting  []webhook.Delivery
}

// seed fills the database.
func (w *world) seed(ctx context.Context) (*Report, error) {
	if _, err := postgres.Migrate(ctx, w.url); err != nil {
		return nil, err
	}
	ring, err := seal.ParseRing(w.key)
	if err != nil {
		return nil, err
	}
	db, err := postgres.Open(w.url, 2, ring)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for n := range hooks {
		config, _ := webhook.ParseConfig(nil)
		h, err := db.CreateHook(ctx, "bench", webhook.Hook{
			Tenant: webhook.DefaultTenant, EventTypes: []string{"*"}, TargetURL: fmt.Sprintf("https://example.com/%d", n),
			NotificationType: webhook.NotificationREST, Config: config, Status: webhook.Active,
		}, hooks, postgres.IdempotencyKey{})
		if err != nil {
			return nil, err
		}
		w.hooks = append(w.hooks, h.ID)
	}
	if w.token, _, err = db.CreateToken(ctx, "bench", postgres.NewToken{Name: "bench", Role: postgres.Admin}); err != nil {
		return nil, err
	}
	var types []string
	for _, t := range catalogue.All() {
		types = append(types, t.Name)
	}
	begin := time.Now()
	err = db.SeedHistory(ctx, webhook.DefaultTenant, w.hooks, types, w.options.Attempts, func(n int) {
		fmt.Fprintf(w.options.Progress, "%d attempts seeded in %s\n", n, time.Since(begin).Round(time.Second))
	})
	if err != nil {
		return nil, err
	}
	if w.samples, err = db.SeededEvents(ctx, webhook.DefaultTenant, 1000); err != nil {
		return nil, err
	}
	w.waiting, _, err = db.Deliveries(ctx, webhook.DefaultTenant, postgres.DeliveryFilter{States: []webhook.DeliveryState{webhook.Waiting}}, postgres.Page{Limit: 100})
	if err != nil {
		return nil, err
	}
	if len(w.samples) == 0 || len(w.waiting) == 0 {
		return nil, errors.New("look for samples: there is no history")
	}
	return &Report{Attempts: w.options.Attempts, Seeding: time.Since(begin)}, nil
}

// serve runs the API, without NATS.
func (w *world) serve(ctx context.Context) (stop func() error, err error) {
	config, err := daemon.LoadConfig[subscriptionapi.Config]([]string{
		"WHISPERER_DATABASE_URL=" + w.url, "WHISPERER_MASTER_KEY=" + w.key, "WHISPERER_LISTEN=127.0.0.1:0",
		"WHISPERER_HEALTH_LISTEN=127.0.0.1:0", "WHISPERER_NATS_URL=nats://127.0.0.1:1", "WHISPERER_REQUEST_RATE=0",
	})
	if err != nil {
		return nil, err
	}
	service, err := subscriptionapi.New(ctx, config, w.options.Version, zap.NewNop(), nil)
	if err != nil {
		return nil, err
	}
	w.api = "http://" + service.Addr()
	serving, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	up := make(chan struct{})
	last := daemon.Component{Name: "up", Run: func(ctx context.Context, ready func()) error {
		close(up)
		ready()
		<-ctx.Done()
		return nil
	}}
	go func() { ended <- daemon.Run(serving, zap.NewNop(), append(service.Components(), last)...) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	select {
	case <-up:
		return stop, nil
	case err := <-ended:
		cancel()
		return nil, fmt.Errorf("start API: %w", err)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), stop())
	}
}

// lookUp is a kind of request; path makes the nth one.
type lookUp struct {
	name string
	path func(n int) string
}

// lookUps are all that is measured.
func (w *world) lookUps() []lookUp {
	sample := func(n int) *webhook.Delivery { return &w.samples[n%len(w.samples)] }
	hook := func(n int) string { return w.hooks[n%len(w.hooks)].String() }
	fixed := func(path string) func(int) string { return func(int) string { return path } }
	return []lookUp{
		{"events", fixed("events/")},
		{"events of a type", func(n int) string { return "events/?event_type=" + sample(n).EventType }},
		{"events of a pattern", fixed("events/?event_type=transfer.>")},
		{"events of an entity", func(n int) string { return "events/?entity=" + sample(n).Entity }},
		{"events of an hour", func(n int) string { return "events/?" + hour(sample(n)) }},
		{"events by their payload, a day", func(n int) string {
			return `events/?data_contains=%7B%22id%22:` + strconv.Itoa(n) + `%7D&from=` + sample(n).PublishedAt.Truncate(24*time.Hour).Format(time.RFC3339) + "&to=" + sample(n).PublishedAt.Truncate(24*time.Hour).Add(24*time.Hour).Format(time.RFC3339)
		}},
		{"an event", func(n int) string { return "events/" + sample(n).EventID + "/" }},
		{"explain an event", func(n int) string { return "events/" + sample(n).EventID + "/explain/" }},
		{"deliveries", fixed("deliveries/")},
		{"deliveries, 250 of them", fixed("deliveries/?limit=250")},
		{"dead deliveries", fixed("deliveries/?state=dead")},
		{"waiting deliveries of a hook", func(n int) string {
			return "deliveries/?state=waiting&hook=" + w.waiting[n%len(w.waiting)].HookID.String()
		}},
		{"deliveries of a hook", func(n int) string { return "deliveries/?hook=" + hook(n) }},
		{"deliveries of a hook and type", func(n int) string {
			return "deliveries/?hook=" + sample(n).HookID.String() + "&event_type=" + sample(n).EventType
		}},
		{"deliveries of an event", func(n int) string { return "deliveries/?event=" + sample(n).EventID }},
		{"deliveries of an entity", func(n int) string { return "deliveries/?entity=" + sample(n).Entity }},
		{"deliveries of a type", func(n int) string { return "deliveries/?event_type=" + sample(n).EventType }},
		{"deliveries by status", fixed("deliveries/?status=503")},
		{"deliveries by status class", fixed("deliveries/?status_class=5xx")},
		{"deliveries with a rare status", fixed("deliveries/?status=418")},
		{"deliveries of an hour", func(n int) string { return "deliveries/?" + hour(sample(n)) }},
		{"a delivery with its attempts", func(n int) string { return "deliveries/" + sample(n).ID.String() + "/" }},
		{"deliveries of a hook's page", func(n int) string { return "hooks/" + hook(n) + "/deliveries/" }},
		{"a hook's figures", func(n int) string { return "hooks/" + hook(n) + "/stats/" }},
		{"hook events by object", func(n int) string { return "hook_events/?object_id=" + strings.TrimPrefix(sample(n).Entity, "order:") }},
		{"hook events not delivered", fixed("hook_events/?delivered=false")},
		{"rejected events", fixed("rejected-events/")},
		{"hooks", fixed("hooks/")},
		{"jobs", fixed("jobs/")},
	}
}

func hour(d *webhook.Delivery) string {
	from := d.PublishedAt.Truncate(time.Hour)
	return "from=" + from.Format(time.RFC3339) + "&to=" + from.Add(time.Hour).Format(time.RFC3339)
}

// measure makes a look-up's requests, one after the other, and the next page of each list.
func (w *world) measure(ctx context.Context, l lookUp) (Figures, error) {
	f := Figures{Name: l.name, Query: l.path(0)}
	var took []time.Duration
	results := 0
	for n := range w.options.Requests {
		url := w.api + "/whisperer/" + l.path(n)
		for range 2 {
			begin := time.Now()
			next, count, err := w.get(ctx, url)
			if err != nil {
				return f, fmt.Errorf("%s: %w", l.name, err)
			}
			took = append(took, time.Since(begin))
			if results += count; next == "" {
				break
			}
			url = next
		}
	}
	slices.Sort(took)
	at := func(q float64) time.Duration {
		return took[min(int(q*float64(len(took))), len(took)-1)].Round(10 * time.Microsecond)
	}
	f.P50, f.P99, f.Max, f.Results = at(0.5), at(0.99), at(1), float64(results)/float64(len(took))
	return f, nil
}

func (w *world) get(ctx context.Context, url string) (next string, results int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", 0, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Authorization", "Token "+w.token)
	client := &http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return "", 0, fmt.Errorf("ask %s: %w", url, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", 0, fmt.Errorf("read answer of %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("ask %s: %d %s", url, response.StatusCode, text)
	}
	var page struct {
		Next    *string           `json:"next"`
		Results []json.RawMessage `json:"results"`
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return "", 0, fmt.Errorf("read answer of %s: %w", url, err)
	}
	if page.Next != nil {
		next = *page.Next
	}
	return next, len(page.Results), nil
}

// Print writes the report for people.
func (r *Report) Print(out io.Writer) {
	fmt.Fprintf(out, "%d attempts in the database, seeded in %s\n\n", r.Attempts, r.Seeding.Round(time.Second))
	fmt.Fprintf(out, "%-32s %8s %12s %12s %12s\n", "look-up over HTTP", "results", "p50", "p99", "max")
	for _, f := range r.Figures {
		fmt.Fprintf(out, "%-32s %8s %12s %12s %12s\n", f.Name, strconv.FormatFloat(f.Results, 'f', 1, 64), f.P50, f.P99, f.Max)
	}
}
