package bench

import (
	"slices"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Scenario is one situation to measure.
type Scenario struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Events is the number of events to publish.
	Events int `json:"events"`
	// Named is that number if the scenario is requested by name; 0 means the same.
	Named int `json:"-"`
	// Table says that it is a row of the first table in docs/performance.md. Apart says that it is only measured on
	// request, because it takes long.
	Table bool `json:"-"`
	Apart bool `json:"-"`
	// Rate is the number of events per second; 0 means as fast as possible.
	Rate float64 `json:"rate,omitempty"`
	// Hooks is the number of hooks that match each event.
	Hooks int `json:"hooks"`
	// HTTP says that the events are published to the API rather than over NATS. Batch is the number of events per
	// request; 0 for a single event outside of a list.
	HTTP  bool `json:"http,omitempty"`
	Batch int  `json:"batch,omitempty"`
	// Creates says that hooks are created over the API, and no events published.
	Creates bool `json:"creates,omitempty"`
	// Hanging says that one of the hooks has a receiver which never answers; its deliveries do not count.
	Hanging bool `json:"hanging,omitempty"`
	// Registered is the number of further hooks of the same tenant, which never match.
	Registered int `json:"registered,omitempty"`
	// Workers is the number of workers; if it is 0, only the API's acceptance is measured.
	Workers int `json:"workers"`
	// TLS says that the receivers use TLS. Close says that they end each connection after an answer, so that the next
	// one resumes the TLS session.
	TLS   bool `json:"tls,omitempty"`
	Close bool `json:"close,omitempty"`
	// Nodes is the number of NATS nodes, each with a replica of every stream; 0 means 1. Strict is the durability.
	Nodes  int  `json:"nodes,omitempty"`
	Strict bool `json:"strict,omitempty"`
	// Limited is each hook's rate limit in deliveries per second; 0 for none.
	Limited int `json:"limited,omitempty"`
	// Delay is how long the receiver takes to answer.
	Delay time.Duration `json:"delay,omitempty"`
	// Later says why deliveries are not made at once; empty if they are.
	Later Later `json:"later,omitempty"`
	// Ordering is the ordering of the hooks; empty for none.
	Ordering webhook.Ordering `json:"ordering,omitempty"`
	// Goroutines is the plain client's concurrency if there is no rate.
	Goroutines int `json:"goroutines"`
	// Share is the fraction of the maximum rate, which is measured with Events first, at which to publish for the
	// time in For; 0 means the maximum.
	Share float64       `json:"share,omitempty"`
	For   time.Duration `json:"for,omitempty"`
	// Against names the scenario to compare with; may be empty.
	Against string `json:"against,omitempty"`
}

// slow is the response time of a receiver that does some work.
const slow = 50 * time.Millisecond

// Scenarios returns all scenarios. To add one, add it to one of the lists.
func Scenarios() []Scenario {
	table := inTable()
	for i := range table {
		table[i].Table = true
	}
	return slices.Concat(table, conditions(), growth())
}

// inTable returns the rows of the first table in docs/performance.md.
func inTable() []Scenario {
	return []Scenario{
		{Name: "one-hook", Title: "one hook, as fast as it goes", Events: 30_000, Hooks: 1, Workers: 1, Goroutines: 64},
		{Name: "fan-out", Title: "20 hooks, each event to all of them", Events: 2500, Hooks: 20, Workers: 1, Goroutines: 64},
		{Name: "light", Title: "one hook, 50 events/s", Events: 400, Rate: 50, Hooks: 1, Workers: 1},
		{Name: "one-hook-http", Title: "one hook, events by HTTP, 64 at once", Events: 30_000, HTTP: true, Hooks: 1, Workers: 1, Goroutines: 64},
		{Name: "light-http", Title: "one hook, 50 events/s by HTTP, 2 workers", Events: 400, Rate: 50, HTTP: true, Hooks: 1, Workers: 2},
		{Name: "accept", Title: "accepting events by HTTP, one a request, 64 at once", Events: 60_000, HTTP: true, Hooks: 1, Goroutines: 64},
		{Name: "accept-100", Title: "accepting events by HTTP, 100 a request, 16 at once", Events: 200_000, HTTP: true, Batch: 100, Hooks: 1, Goroutines: 16},
		{Name: "create-hooks", Title: "creating hooks, 8 at once", Events: 10_000, Creates: true, Hooks: 1, Goroutines: 8},
		{Name: "fan-out-http", Title: "20 hooks, events by HTTP", Events: 2500, HTTP: true, Hooks: 20, Workers: 1, Goroutines: 64},
		{
			Name: "limited", Title: "500 hooks that take 10 a second each, and get 20 for 5 s", Events: 100, Rate: 20, Hooks: 500, Workers: 1,
			Limited: 10,
		},
		{Name: "rest", Title: "one event a second, 2 workers: what a second costs", Events: 10, Rate: 1, Hooks: 1, Workers: 2},
	}
}

// conditions returns variations of receivers, hooks and NATS.
func conditions() []Scenario {
	return []Scenario{
		{Name: "tls", Title: "20 hooks by TLS", Events: 2500, Hooks: 20, Workers: 1, TLS: true, Goroutines: 64, Against: "fan-out"},
		{
			Name: "tls-resumed", Title: "20 hooks by TLS, a connection with a resumed session for each delivery", Events: 200, Hooks: 20, Workers: 1,
			TLS: true, Close: true, Goroutines: 64, Against: "tls",
		},
		{Name: "away-20", Title: "20 hooks, receivers 20 ms away", Events: 1000, Hooks: 20, Workers: 1, Delay: 20 * time.Millisecond, Goroutines: 640},
		{Name: "away-50", Title: "20 hooks, receivers 50 ms away", Events: 500, Hooks: 20, Workers: 1, Delay: slow, Goroutines: 640},
		{
			Name: "failing", Title: "20 hooks, a tenth of the deliveries fails once", Events: 1000, Hooks: 20, Workers: 1, Later: Failing, Goroutines: 64,
			Against: "fan-out",
		},
		{
			Name: "below-rate", Title: "500 hooks that take 10 a second each, and get 5", Events: 50, Rate: 5, Hooks: 500, Workers: 1, Limited: 10,
		},
		{Name: "strict", Title: "one hook, every message synced to the disk", Events: 10_000, Hooks: 1, Workers: 1, Strict: true, Goroutines: 64, Against: "one-hook"},
		{Name: "r3", Title: "one hook, 3 nodes of NATS", Events: 10_000, Hooks: 1, Workers: 1, Nodes: 3, Goroutines: 64, Against: "one-hook"},
		{Name: "healthy", Title: "ten hooks, 50 events/s", Events: 400, Rate: 50, Hooks: 10, Workers: 1},
		{
			Name: "hanging", Title: "the same, and one of the ten never answers", Events: 500, Rate: 50, Hooks: 10,
			Hanging: true, Workers: 1, Against: "healthy",
		},
		{
			Name: "registered", Title: "100,000 hooks, one of them matches", Events: 30_000, Hooks: 1, Registered: 99_999,
			Workers: 1, Goroutines: 64, Against: "one-hook",
		},
		{
			Name: "million", Apart: true, Title: "1,000,000 hooks, one of them matches", Events: 30_000, Hooks: 1, Registered: 999_999,
			Workers: 1, Goroutines: 64, Against: "one-hook",
		},
	}
}

// growth returns scenarios with more workers, and with large backlogs.
func growth() []Scenario {
	return []Scenario{
		{
			Name: "workers-1", Title: "1 worker, a receiver that takes 50 ms", Events: 2500, Hooks: 1, Workers: 1,
			Delay: slow, Goroutines: 32,
		},
		{
			Name: "workers-2", Title: "2 workers, a receiver that takes 50 ms", Events: 5000, Hooks: 1, Workers: 2,
			Delay: slow, Goroutines: 64, Against: "workers-1",
		},
		{
			Name: "workers-4", Title: "4 workers, a receiver that takes 50 ms", Events: 10_000, Hooks: 1, Workers: 4,
			Delay: slow, Goroutines: 128, Against: "workers-1",
		},
		{
			Name: "workers-1-r3", Title: "1 worker, a receiver that takes 50 ms, 3 nodes of NATS", Events: 2500, Hooks: 1, Workers: 1, Nodes: 3,
			Delay: slow, Goroutines: 32, Against: "workers-1",
		},
		{
			Name: "workers-2-r3", Title: "2 workers, a receiver that takes 50 ms, 3 nodes of NATS", Events: 5000, Hooks: 1, Workers: 2, Nodes: 3,
			Delay: slow, Goroutines: 64, Against: "workers-1-r3",
		},
		{
			Name: "workers-4-r3", Title: "4 workers, a receiver that takes 50 ms, 3 nodes of NATS", Events: 10_000, Hooks: 1, Workers: 4, Nodes: 3,
			Delay: slow, Goroutines: 128, Against: "workers-1-r3",
		},
		{
			Name: "parked", Title: "all of them parked for a hook whose receiver was down, from its return on", Events: 20_000,
			Named: 1_000_000, Hooks: 1, Workers: 1, Later: Down, Goroutines: 32,
		},
		{
			Name: "parked-in-order", Title: "the same, and the hook keeps the order of all", Events: 5000, Named: 1_000_000, Hooks: 1,
			Workers: 1, Later: Down, Ordering: webhook.OrderHook, Goroutines: 1, Against: "parked",
		},
		{
			Name: "retries", Title: "retries that wait, 500 of them due in a second; latency is how late they come", Events: 2000,
			Named: 300_000, Hooks: 1, Workers: 1, Later: Asked,
		},
		{ // one hook, because most events have few, and then the overhead per delivery is largest
			Name: "soak", Apart: true, Title: "one hook, at 70 % of the maximum for a long time", Events: 100_000, Hooks: 1, Workers: 1, Goroutines: 64,
			Share: 0.7, For: 30 * time.Minute,
		},
	}
}

// overHTTP reports whether the scenario needs the API.
func (s *Scenario) overHTTP() bool { return s.HTTP || s.Creates }

// hanging returns the index of the hook whose receiver never answers, or -1.
func (s *Scenario) hanging() int {
	if s.Hanging {
		return s.Hooks - 1
	}
	return -1
}

// deliveries returns how many deliveries count.
func (s *Scenario) deliveries() int {
	if s.Hanging {
		return s.Events * (s.Hooks - 1)
	}
	return s.Events * s.Hooks
}
