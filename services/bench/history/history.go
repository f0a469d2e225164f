// Package history measures how long the API takes to answer questions about a large history.
package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seed"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Options say what to measure.
type Options struct {
	// Attempts and Hooks are the size of the database. Requests is the number of requests per look-up and page.
	Attempts, Hooks, Requests int
	// Dir is where to create the temporary database; empty means /var/tmp. Not used with Keep.
	Dir string
	// Keep is the folder of a database to keep for the next time; empty to remove it.
	Keep string
	// Part is what to measure; empty means everything.
	Part    Part
	Version string
	// Progress gets a line for each step.
	Progress io.Writer
}

// Part is a part of the measurements.
type Part string

// The parts.
const (
	LookUps Part = "look-ups" // through the API
	Pages   Part = "pages"    // of the console
	// Manifest is one long manifest, and the memory that it takes.
	Manifest Part = "manifest"
)

// Figures are the results for one kind of request.
type Figures struct {
	Name string `json:"name"`
	// Query is the path of one of its requests.
	Query string `json:"query"`
	// Results is the average number of results on a page of a list, and Bytes the size of a response.
	Results float64       `json:"results"`
	Bytes   int           `json:"bytes"`
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
}

// Report has all results.
type Report struct {
	Attempts int `json:"attempts"`
	Hooks    int `json:"hooks"`
	// Bytes is the size of the database after it was filled.
	Bytes   int64         `json:"bytes"`
	Seeding time.Duration `json:"seeding"`
	// LookUps are requests to the API.
	LookUps []Figures `json:"look_ups"`
	// Pages are requests to the console.
	Pages    []Figures        `json:"pages"`
	Manifest *ManifestFigures `json:"manifest,omitempty"`
}

// Run creates a database with the requested history, or reuses one that was kept, makes all kinds of requests over
// HTTP, and removes the database unless it is to be kept.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	dir, remove, err := o.folder()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	s, err := o.database(ctx, dir)
	if err != nil {
		return nil, err
	}
	report := &Report{Attempts: s.Attempts, Hooks: s.Asked.Hooks, Bytes: s.Bytes, Seeding: s.Took}
	return report, o.serving(ctx, dir, nil, func(url string) error {
		if _, err := store.Migrate(ctx, url); err != nil { // a database that was kept may have an older schema
			return err
		}
		w := &world{url: url, options: o, hooks: s.Hooks, attempts: s.Attempts}
		return w.run(ctx, report)
	})
}

type world struct {
	url     string
	options Options
	api     string
	token   string
	// session is the console's cookie.
	session  string
	attempts int
	hooks    []uuid.UUID
	samples  []webhook.Delivery
	waiting  []webhook.Delivery
}

// run starts the API and measures.
func (w *world) run(ctx context.Context, report *Report) (err error) {
	if err := w.prepare(ctx); err != nil {
		return err
	}
	stop, err := w.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	add := func(to *[]Figures, f Figures) {
		fmt.Fprintf(w.options.Progress, "%s: p50 %s, p99 %s\n", f.Name, f.P50, f.P99)
		*to = append(*to, f)
	}
	if w.options.Part == "" || w.options.Part == Manifest {
		if report.Manifest, err = w.measureManifest(ctx); err != nil {
			return err
		}
	}
	if w.options.Part == "" || w.options.Part == LookUps {
		for _, l := range w.lookUps() {
			f, err := w.measureLookUp(ctx, l)
			if err != nil {
				return err
			}
			add(&report.LookUps, f)
		}
	}
	if w.options.Part != "" && w.options.Part != Pages {
		return nil
	}
	if err := w.signIn(ctx); err != nil {
		return err
	}
	for _, p := range w.pages() {
		f, err := w.measurePage(ctx, p)
		if err != nil {
			return err
		}
		add(&report.Pages, f)
	}
	return nil
}

// prepare creates a token, and takes samples of the history.
func (w *world) prepare(ctx context.Context) error {
	db, plain, err := open(w.url)
	if err != nil {
		return err
	}
	defer db.Close()
	defer plain.Close()
	if w.token, _, err = db.Access.CreateToken(ctx, "bench", store.NewToken{Name: "bench", Role: store.Admin}); err != nil {
		return err
	}
	if w.samples, err = seed.Sample(ctx, plain, webhook.DefaultTenant, w.attempts, 1000); err != nil {
		return err
	}
	w.waiting, _, err = db.History.ListDeliveries(ctx, webhook.DefaultTenant, store.DeliveryFilter{States: []webhook.DeliveryState{webhook.Waiting}}, store.Page{Limit: 100})
	if err != nil {
		return err
	}
	if len(w.samples) == 0 || len(w.waiting) == 0 {
		return errors.New("look for samples: there is no history")
	}
	return nil
}

// Print prints the report for people.
func (r *Report) Print(out io.Writer) {
	fmt.Fprintf(out, "%d attempts of %d hooks in %d MB, seeded in %s\n", r.Attempts, r.Hooks, r.Bytes/1e6, r.Seeding.Round(time.Second))
	if m := r.Manifest; m != nil {
		fmt.Fprintf(out, "a manifest of %d deliveries in %s: %.0f a second, %d MB of heap in use before, %d MB at most meanwhile\n",
			m.Rows, m.Took.Round(time.Millisecond), float64(m.Rows)/m.Took.Seconds(), m.Before>>20, m.Heap>>20)
	}
	for _, part := range []struct {
		title   string
		figures []Figures
	}{{"look-up over HTTP", r.LookUps}, {"page of the console", r.Pages}} {
		if len(part.figures) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%-44s %8s %8s %10s %10s %10s\n", part.title, "results", "bytes", "p50", "p99", "max")
		for _, f := range part.figures {
			fmt.Fprintf(out, "%-44s %8s %8d %10s %10s %10s\n", f.Name, strconv.FormatFloat(f.Results, 'f', 1, 64), f.Bytes, f.P50, f.P99, f.Max)
		}
	}
}
