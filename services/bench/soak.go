package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// soakLooks is the number of samples of a soak, and lookLeast the minimum interval between two.
const (
	soakLooks = 900
	lookLeast = time.Second
)

// Units of the sampled values.
const (
	unitDeliveries = "deliveries/s"
	unitMessages   = "messages waiting"
	unitMemory     = "memory, MiB"
	unitCPU        = "CPU, µs per delivery"
)

// Soak has the samples of a system under constant load for a long time.
type Soak struct {
	// Maximum is the rate per second at which it could deliver and record before, and Rate the rate at which events
	// were then published.
	Maximum float64 `json:"maximum_per_second"`
	Rate    float64 `json:"rate"`
	// Seconds are the times of the samples since the beginning. Each series has a value for each of them.
	Seconds []float64 `json:"seconds"`
	Series  []Series  `json:"series"`
}

// Series has the values of one figure.
type Series struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Values []float64 `json:"values"`
}

// soak measures the maximum, and then the system at a share of it.
func (b *bench) soak(ctx context.Context, y *system, s Scenario, run Once) (Once, error) {
	l, err := b.load(ctx, y, s, "maximum")
	if err != nil {
		return run, err
	}
	// Recorded rather than delivered, because unrecorded deliveries would pile up.
	soak := &Soak{Maximum: float64(len(l.got.Latencies)) / l.recorded.Sub(l.begin).Seconds()}
	soak.Rate = s.Share * soak.Maximum
	s.Rate, s.Events = soak.Rate, max(1, int(soak.Rate*s.For.Seconds()))
	b.tell("  %.0f deliveries/s are made and recorded at most; now %.0f/s for %s", soak.Maximum, soak.Rate, s.For)
	run, err = b.metered(y, s, run, func() (loaded, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		watched := make(chan error, 1)
		go func() { watched <- b.watch(ctx, y, s.For, soak) }()
		l, err := b.load(ctx, y, s, "run")
		if err != nil {
			return l, err
		}
		return l, <-watched
	})
	run.Soak = soak
	return run, err
}

// watch samples the system periodically until the load ends.
func (b *bench) watch(ctx context.Context, y *system, whole time.Duration, soak *Soak) error {
	w := watcher{bench: b, system: y, processes: b.processes(y), begin: time.Now(), before: look{cpu: map[string]time.Duration{}}, soak: soak}
	w.before.at = w.begin
	for _, name := range watched() {
		w.before.cpu[name] = cpuOf(w.processes[name])
	}
	every := time.NewTicker(max(lookLeast, whole/soakLooks))
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if time.Since(w.begin) > whole {
			return nil
		}
		if err := w.look(ctx); err != nil {
			return err
		}
	}
}

// watched are the processes whose CPU time and memory are sampled.
func watched() []string { return []string{processWorker, processPostgres, processNATS} }

// watcher samples a system.
type watcher struct {
	bench     *bench
	system    *system
	processes map[string][]process
	begin     time.Time
	before    look
	soak      *Soak
}

// look is a watcher's previous sample.
type look struct {
	at       time.Time
	received int64
	cpu      map[string]time.Duration
}

func (w *watcher) look(ctx context.Context) error {
	var p progress
	if err := w.bench.receiver.do(ctx, verbProgress, nil, &p); err != nil {
		return err
	}
	now := look{at: time.Now(), received: p.Received, cpu: map[string]time.Duration{}}
	came := float64(now.received - w.before.received)
	w.soak.Seconds = append(w.soak.Seconds, now.at.Sub(w.begin).Seconds())
	w.soak.add("delivered", unitDeliveries, came/now.at.Sub(w.before.at).Seconds())
	for _, consumer := range []struct {
		name string
		of   bus.Consumer
	}{{"events to settle", bus.Fanout}, {"events to record", bus.EventRecorder}, {"fact batches to record", bus.FactRecorder}} {
		lag, err := w.system.bus.Lag(ctx, consumer.of)
		if err != nil {
			return fmt.Errorf("ask for lag: %w", err)
		}
		w.soak.add(consumer.name, unitMessages, float64(lag.Pending+lag.InFlight))
	}
	for _, name := range watched() {
		w.soak.add(name, unitMemory, float64(memoryOf(w.processes[name]))/(1<<20))
	}
	for _, name := range watched() {
		now.cpu[name] = cpuOf(w.processes[name])
		w.soak.add(name, unitCPU, float64((now.cpu[name]-w.before.cpu[name]).Microseconds())/max(1, came))
	}
	w.before = now
	return nil
}

// add adds a value to a series.
func (s *Soak) add(name, unit string, value float64) {
	i := slices.IndexFunc(s.Series, func(x Series) bool { return x.Name == name && x.Unit == unit })
	if i < 0 {
		i = len(s.Series)
		s.Series = append(s.Series, Series{Name: name, Unit: unit})
	}
	s.Series[i].Values = append(s.Series[i].Values, value)
}

// spread has the minimum, the median and the maximum of some values.
type spread struct{ least, middle, most float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return spread{least: sorted[0], middle: median(sorted), most: sorted[len(sorted)-1]}
}

// thirds returns the spreads of the first and of the last third, which show growth.
func (s *Series) thirds() (first, last spread) {
	n := (len(s.Values) + 2) / 3
	return spreadOf(s.Values[:n]), spreadOf(s.Values[len(s.Values)-n:])
}

// growth returns the median of the last third over that of the first, or 0 if there is none.
func (s *Series) growth() float64 {
	first, last := s.thirds()
	if first.middle == 0 {
		return 0
	}
	return last.middle / first.middle
}

// Soak returns the last soak of the report, or nil.
func (r *Report) Soak() (last *Soak) {
	for i := range r.Results {
		for j := range r.Results[i].Each {
			if soak := r.Results[i].Each[j].Soak; soak != nil {
				last = soak
			}
		}
	}
	return last
}

// printSoaks prints the first and the last third of each soak.
func (r *Report) printSoaks(out io.Writer) {
	for i := range r.Results {
		for n := range r.Results[i].Each {
			if soak := r.Results[i].Each[n].Soak; soak != nil {
				fmt.Fprintf(out, "%s, run %d: %s\n", r.Results[i].Scenario.Name, n+1, soak.title())
				soak.table().write(out)
			}
		}
	}
}

func (s *Soak) title() string {
	return fmt.Sprintf("%s deliveries/s, %.0f %% of a maximum of %s/s", thousands(s.Rate), 100*s.Rate/max(1, s.Maximum), thousands(s.Maximum))
}

func (s *Soak) table() *table {
	t := &table{}
	t.row("", "first third: min", "median", "max", "last third: min", "median", "max", "last/first")
	for i := range s.Series {
		x := &s.Series[i]
		first, last := x.thirds()
		t.row(x.Unit+": "+x.Name, number(first.least), number(first.middle), number(first.most), number(last.least), number(last.middle),
			number(last.most), times(x.growth()))
	}
	return t
}
