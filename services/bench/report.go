package bench

import (
	"math"
	"slices"
	"time"
)

// Report has all results.
type Report struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"`
	Machine Machine   `json:"machine"`
	// Size is the size of the bodies in bytes.
	Size    int      `json:"size"`
	Runs    int      `json:"runs"`
	Results []Result `json:"results"`
	// CoreHour is the price of one core for one hour, in euros; 0 if unknown.
	CoreHour float64 `json:"core_hour_eur,omitempty"`
}

// Machine describes the measured machine.
type Machine struct {
	Cores int    `json:"cores"`
	CPU   string `json:"cpu"`
	Go    string `json:"go"`
	OS    string `json:"os"`
	// SyncMicros is how long it takes to make 8 KiB durable on the disk, in microseconds.
	SyncMicros float64 `json:"sync_us"`
}

// Result has the results for one scenario: medians over its runs.
type Result struct {
	Scenario Scenario `json:"scenario"`
	System   Figures  `json:"system"`
	Bare     Figures  `json:"bare"`
	// Ratio is System over Bare.
	Ratio Ratio `json:"ratio"`
	// Against is System over that of the scenario to compare with; may be nil.
	Against *Ratio `json:"against,omitempty"`
	Each    []Once `json:"each"`
}

// Once is one run of a scenario.
type Once struct {
	System Figures `json:"system"`
	Bare   Figures `json:"bare"`
	// Missing counts deliveries that never came, and Duplicates those that came again.
	Missing    int `json:"missing"`
	Duplicates int `json:"duplicates"`
	// Disorder is the maximum number of later events that an event came after, if the receiver was down.
	Disorder   int  `json:"disorder,omitempty"`
	Unreadable int  `json:"unreadable"`
	Unsigned   int  `json:"unsigned"`
	Unrecorded bool `json:"unrecorded"`
	// Changes are the sorted times in milliseconds from the commit of a new hook to the first event that reaches it,
	// for scenarios with many registered hooks.
	Changes []float64 `json:"changes_ms,omitempty"`
	// Start is how many seconds the last worker took from its start until it was ready.
	Start float64 `json:"start_s,omitempty"`
	// Soak has the samples of a soak; may be nil.
	Soak *Soak `json:"soak,omitempty"`
	// Counters are the increases of the workers' metrics.
	Counters counters `json:"counters"`
	// Problems describes in sentences what was not as it should be.
	Problems []string `json:"problems,omitempty"`
}

// Figures are those of the system or of the plain client. Latencies are from publishing to arrival, in milliseconds.
type Figures struct {
	Deliveries int     `json:"deliveries"`
	PerSecond  float64 `json:"per_second"`
	// CPU is the time in microseconds per delivery, of everything that delivers, without the publisher and the
	// receiver.
	CPU float64 `json:"cpu_us"`
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
	// RecordedAfter is how many seconds after the last arrival everything was in the ledger.
	RecordedAfter float64 `json:"recorded_after_s,omitempty"`
	// CPUOf is the CPU time of each process in microseconds per delivery, and MemoryOf its peak memory in MiB.
	CPUOf    map[string]float64 `json:"cpu_us_of"`
	MemoryOf map[string]float64 `json:"memory_mib_of"`
	// Others is the share of the machine's busy time that other programs used.
	Others float64 `json:"others"`
}

// Ratio is one set of figures divided by another.
type Ratio struct {
	PerSecond float64 `json:"per_second"`
	CPU       float64 `json:"cpu"`
	P50       float64 `json:"p50"`
	P95       float64 `json:"p95"`
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
}

// newFigures summarizes what came; counted are the processes whose CPU time counts.
func newFigures(g got, begin time.Time, u used, counted ...string) Figures {
	slices.Sort(g.Latencies)
	n := len(g.Latencies)
	f := Figures{Deliveries: n, CPUOf: map[string]float64{}, MemoryOf: map[string]float64{}, Others: u.others}
	if n == 0 {
		return f
	}
	if took := time.Unix(0, g.Last).Sub(begin).Seconds(); took > 0 {
		f.PerSecond = float64(n) / took
	}
	at := func(q float64) float64 { return float64(quantile(g.Latencies, q)) / float64(time.Millisecond) }
	f.P50, f.P95, f.P99, f.Max = at(0.5), at(0.95), at(0.99), at(1)
	for name, cpu := range u.cpu {
		f.CPUOf[name] = float64(cpu) / float64(time.Microsecond) / float64(n)
	}
	for _, name := range counted {
		f.CPU += f.CPUOf[name]
	}
	for name, bytes := range u.peak {
		f.MemoryOf[name] = float64(bytes) / (1 << 20)
	}
	return f
}

// quantile returns a quantile of at least one sorted value: the smallest value that a fraction q of all values do not
// exceed.
func quantile[T int64 | float64](sorted []T, q float64) T {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// over divides figures; where that is impossible, the ratio is 0.
func (f *Figures) over(g *Figures) Ratio {
	div := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	return Ratio{
		PerSecond: div(f.PerSecond, g.PerSecond), CPU: div(f.CPU, g.CPU), P50: div(f.P50, g.P50), P95: div(f.P95, g.P95),
		P99: div(f.P99, g.P99), Max: div(f.Max, g.Max),
	}
}

// withMedians summarizes the runs.
func (r Result) withMedians() Result {
	system, bare := make([]Figures, len(r.Each)), make([]Figures, len(r.Each))
	for i := range r.Each {
		system[i], bare[i] = r.Each[i].System, r.Each[i].Bare
	}
	r.System, r.Bare = medians(system), medians(bare)
	r.Ratio = r.System.over(&r.Bare)
	return r
}

func medians(all []Figures) Figures {
	of := func(read func(f *Figures) float64) float64 {
		values := make([]float64, len(all))
		for i := range all {
			values[i] = read(&all[i])
		}
		return median(values)
	}
	m := Figures{
		Deliveries: all[0].Deliveries, CPUOf: map[string]float64{}, MemoryOf: map[string]float64{},
		PerSecond: of(func(f *Figures) float64 { return f.PerSecond }), CPU: of(func(f *Figures) float64 { return f.CPU }),
		P50: of(func(f *Figures) float64 { return f.P50 }), P95: of(func(f *Figures) float64 { return f.P95 }),
		P99: of(func(f *Figures) float64 { return f.P99 }), Max: of(func(f *Figures) float64 { return f.Max }),
		RecordedAfter: of(func(f *Figures) float64 { return f.RecordedAfter }), Others: of(func(f *Figures) float64 { return f.Others }),
	}
	for name := range all[0].CPUOf {
		m.CPUOf[name] = of(func(f *Figures) float64 { return f.CPUOf[name] })
	}
	for name := range all[0].MemoryOf {
		m.MemoryOf[name] = of(func(f *Figures) float64 { return f.MemoryOf[name] })
	}
	return m
}

// median returns the median of at least one value.
func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// compare compares scenarios with those that they name, if these were measured.
func (r *Report) compare() {
	for i := range r.Results {
		for j := range r.Results {
			if r.Results[j].Scenario.Name == r.Results[i].Scenario.Against {
				ratio := r.Results[i].System.over(&r.Results[j].System)
				r.Results[i].Against = &ratio
			}
		}
	}
}

// Problems counts the problems of all runs.
func (r *Report) Problems() int {
	n := 0
	for i := range r.Results {
		for j := range r.Results[i].Each {
			n += len(r.Results[i].Each[j].Problems)
		}
	}
	return n
}
