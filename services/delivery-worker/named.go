package deliveryworker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// otherName counts all tenants and hooks that have no series of their own. At most Config.MetricsTop have: those with the
// highest counts.
const otherName = "other"

// namedHooks collects the series of the hooks with the longest backlogs and failures. All values of one scrape come from the
// same reading of the database.
type namedHooks struct {
	parked, parkedAge, failing, failures *prometheus.Desc

	now atomic.Pointer[hooksNow]
}

type hooksNow struct {
	backlogs []store.Backlog
	// otherParked is the number of parked deliveries of all other hooks.
	otherParked int
	failing     []store.Failing
	at          time.Time
}

func newNamedHooks(r prometheus.Registerer) *namedHooks {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"tenant", "hook"}, nil)
	}
	n := &namedHooks{
		parked:    desc("hook_parked", "Parked deliveries of the active hooks with the most, and of all others, counted up to 10,000 per hook."),
		parkedAge: desc("hook_parked_age_seconds", "How long the oldest of the next deliveries of these hooks has been parked."),
		failing:   desc("hook_failing_seconds", "How long all attempts have failed, for the active hooks that have failed longest."),
		failures:  desc("hook_failures", "Failed attempts of these hooks since their last success."),
	}
	r.MustRegister(n)
	return n
}

// Describe implements prometheus.Collector.
func (n *namedHooks) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{n.parked, n.parkedAge, n.failing, n.failures} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (n *namedHooks) Collect(to chan<- prometheus.Metric) {
	now := n.now.Load()
	if now == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, tenant, hook string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, tenant, hook)
	}
	for _, b := range now.backlogs {
		gauge(n.parked, float64(b.Parked), b.Tenant, b.HookID.String())
		gauge(n.parkedAge, b.Seconds, b.Tenant, b.HookID.String())
	}
	gauge(n.parked, float64(now.otherParked), "", otherName)
	for i := range now.failing {
		f := &now.failing[i]
		gauge(n.failing, f.Age(now.at).Seconds(), f.Tenant, f.HookID.String())
		gauge(n.failures, float64(f.Failures), f.Tenant, f.HookID.String())
	}
}

// nameHooks reads the hooks with the longest backlogs and failures from the database.
func (m *metrics) nameHooks(ctx context.Context, db *store.DB, most int) {
	backlogs, err := db.Queue.LongestBacklogs(ctx, most)
	if err != nil {
		return
	}
	all, err := db.Queue.Count(ctx, mostParked)
	if err != nil {
		return
	}
	failing, n, err := db.Health.LongestFailing(ctx, most)
	if err != nil {
		return
	}
	for _, b := range backlogs {
		all.N -= b.Parked
	}
	m.failingNow.Set(float64(n))
	m.hooks.now.Store(&hooksNow{backlogs: backlogs, otherParked: max(0, all.N), failing: failing, at: all.At})
}

// series is a family of counters whose first label is a name, and whose second label is one of the outcomes.
type series struct {
	vec      *prometheus.CounterVec
	outcomes []string
}

// The outcomes of tenants and labels, in the order of their series.
const (
	attemptDelivered = iota
	attemptFailed
	eventFannedOut
	eventRejected
)

var (
	attemptOutcomes = []string{attemptDelivered: "delivered", attemptFailed: "failed"}
	eventOutcomes   = []string{"fanned_out", "rejected"}
)

// named counts by name, such as a tenant's. The names with the highest counts have series of their own; the others are counted
// as "other". Counts never fall: what was counted as "other" stays there when a name gets a series of its own.
type named struct {
	label  string // the label that contains the name
	most   int
	series []series
	other  []prometheus.Counter

	mu    sync.RWMutex
	all   map[string]*namedCount
	names int // number of names with series of their own
}

// namedCount holds the recent count of one name. Its counters are its own, or those of "other".
type namedCount struct {
	lately   atomic.Int64
	named    bool
	counters []prometheus.Counter
}

func newNamed(label string, most int, of ...series) *named {
	n := &named{label: label, most: most, series: of, all: map[string]*namedCount{}}
	n.other = n.counters(otherName)
	return n
}

// nameSeries creates the series by tenant, and by the label if there is one.
func (m *metrics) nameSeries(counters func(name, help string, labels ...string) *prometheus.CounterVec, most int, label string) {
	m.tenants = newNamed("tenant", most,
		series{counters("tenant_attempts_total", "Attempts of the tenants with the most attempts and events lately, and of all others.", "tenant", "outcome"), attemptOutcomes},
		series{counters("tenant_events_total", "Events of the tenants with the most attempts and events lately, and of all others.", "tenant", "outcome"), eventOutcomes})
	if m.label = label; label != "" {
		m.labels = newNamed("value", most, series{
			counters("label_attempts_total", "Attempts by the value of their hook's label, for the values with the most attempts lately, and for all others.", "value", "outcome"),
			attemptOutcomes,
		})
	}
}

func (n *named) counters(name string) (list []prometheus.Counter) {
	for _, s := range n.series {
		for _, outcome := range s.outcomes {
			list = append(list, s.vec.WithLabelValues(name, outcome))
		}
	}
	return list
}

// add counts an outcome for a name.
func (n *named) add(name string, outcome int) {
	if name == otherName { // a tenant may have this name
		n.other[outcome].Inc()
		return
	}
	n.mu.RLock()
	c := n.all[name]
	if c != nil {
		c.add(outcome)
	}
	n.mu.RUnlock()
	if c != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all[name] == nil {
		n.all[name] = &namedCount{counters: n.other}
		if n.names < n.most {
			n.name(name)
		}
	}
	n.all[name].add(outcome)
}

func (c *namedCount) add(outcome int) {
	c.lately.Add(1)
	c.counters[outcome].Inc()
}

func (n *named) name(name string) {
	n.names++
	n.all[name].named, n.all[name].counters = true, n.counters(name)
}

// rankEvery is the interval at which names are ranked again.
const rankEvery = 5 * time.Minute

// rank gives series to the names with the highest recent counts. A name keeps its series until another has twice as many, so
// that series do not come and go.
func (n *named) rank() {
	n.mu.Lock()
	defer n.mu.Unlock()
	type ranked struct {
		name   string
		count  *namedCount
		weight int64
	}
	var list []ranked
	for name, c := range n.all {
		weight := c.lately.Load()
		c.lately.Store(weight / 2)
		switch {
		case c.named:
			weight *= 2
		case weight == 0:
			delete(n.all, name)
			continue
		}
		list = append(list, ranked{name, c, weight})
	}
	slices.SortFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.name, b.name))
	})
	for i, r := range list {
		switch {
		case i < n.most && !r.count.named:
			n.name(r.name)
		case i >= n.most && r.count.named:
			n.names--
			r.count.named, r.count.counters = false, n.other
			for _, s := range n.series {
				s.vec.DeletePartialMatch(prometheus.Labels{n.label: r.name})
			}
		}
	}
}
