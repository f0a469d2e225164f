package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// Later is why deliveries are not made at once.
type Later string

// The reasons; none is the zero value.
const (
	// Down: the receiver refuses everything until all that was published is parked, and is measured from its return on.
	Down Later = "down"
	// Asked: the receiver asks for each delivery to come again later, spread evenly; its latency is how late it comes.
	Asked Later = "asked"
	// Failing: the receiver refuses every tenth event once; what it gets then is as late as the retry.
	Failing Later = "failing"
)

// Of a receiver that asks for retries.
const (
	retryRate = 500 // retries that become due in a second
	// firstRate is how many first attempts a second there are at least, so that all wait before the first is due.
	firstRate = 2000
	firstWait = 5 * time.Second
)

// maxRefused is how often in succession a busy machine may fail to store events in time.
const maxRefused = 10

// spread is how long retries lie apart at the most, and wait how long the earliest of them waits.
func (s *Scenario) spread() time.Duration {
	return time.Duration(max(1, s.Events/retryRate)) * time.Second
}

func (s *Scenario) wait() time.Duration {
	return firstWait + time.Duration(s.Events/firstRate)*time.Second
}

// limit bounds one run of the scenario, whatever happens in it.
func (s *Scenario) limit() time.Duration {
	limit := runLimit + s.For
	if s.Later != "" {
		limit += s.wait() + s.spread() + time.Duration(s.Events/100)*time.Second/10
	}
	return limit
}

// patience is how long no delivery may come before those that miss count as lost.
func (s *Scenario) patience() time.Duration {
	if s.Later == Asked {
		return stuckAfter + s.wait()
	}
	return stuckAfter
}

// settings are what workers have set otherwise than usual: receivers that ask for retries do not count as failing.
func (s *Scenario) settings() (list []string) {
	if s.Later == Asked {
		list = append(list, daemon.Prefix+"BREAKER_ATTEMPTS=1000000000")
	}
	if s.Nodes > 1 {
		list = append(list, daemon.Prefix+"STREAM_REPLICAS="+strconv.Itoa(s.Nodes))
	}
	return list
}

// config is that of the scenario's hooks.
func (s *Scenario) config() (webhook.Config, error) {
	switch {
	case s.Limited > 0:
		return webhook.ParseConfig(fmt.Appendf(nil, `{"rate_limit":{"limit":%d,"period":1}}`, s.Limited))
	case s.Ordering != "":
		return webhook.ParseConfig(fmt.Appendf(nil, `{"ordering":%q}`, s.Ordering))
	default:
		return webhook.ParseConfig(nil)
	}
}

// retries is the schedule of the scenario's hooks; nil for the usual one. That grows to minutes while a receiver is down,
// and the head of an ordered backlog would not be tried again before they are over.
func (s *Scenario) retries() json.RawMessage {
	switch s.Later {
	case Down:
		return json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":10}}`)
	case Failing:
		return json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
	default:
		return nil
	}
}

// park publishes a scenario's events in their order, while the receiver is down, and returns when all are parked.
func (b *bench) park(ctx context.Context, y *system, s Scenario) error {
	e := expectation{Hooks: s.Hooks, Events: s.Events, Hanging: -1, Later: Down}
	if err := b.receiver.do(ctx, verbExpect, e, nil); err != nil {
		return err
	}
	const together = 1000
	failed := 0
	for seq := 0; seq < s.Events; {
		var events []bus.Outgoing
		for n := seq; n < min(s.Events, seq+together); n++ {
			events = append(events, b.event("run", n))
		}
		stored, err := y.bus.PublishInOrder(ctx, events)
		if failed++; err == nil {
			failed = 0
		}
		if seq += stored; failed > maxRefused || ctx.Err() != nil {
			return err
		}
	}
	for {
		if quiet, err := y.awaitQuiet(ctx); err != nil || quiet {
			return err
		}
	}
}

// event is one to be published.
func (b *bench) event(run string, seq int) bus.Outgoing {
	return bus.Outgoing{
		Tenant: webhook.DefaultTenant, Type: eventType, ID: fmt.Sprintf("%s-%d", run, seq),
		Body: b.payload.published.fill(seq, time.Now()),
	}
}

// later is when deliveries may come that a receiver did not take at first.
type later struct {
	mu   sync.Mutex
	dues map[[2]int]time.Time // by hook and sequence
}

// refuse answers a request that comes too early, and returns false for one that does not, with the time that it was due.
func (x *reception) refuse(w http.ResponseWriter, hook, seq int, now time.Time) (due time.Time, refused bool) {
	switch x.Later {
	case Down:
		select {
		case <-x.released:
			return time.Time{}, false
		default:
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return time.Time{}, true
	case Failing:
		x.later.mu.Lock()
		defer x.later.mu.Unlock()
		key := [2]int{hook, seq}
		if _, again := x.later.dues[key]; again || seq%10 > 0 {
			return time.Time{}, false
		}
		x.later.dues[key] = now
		w.WriteHeader(http.StatusServiceUnavailable)
		return time.Time{}, true
	case Asked:
		x.later.mu.Lock()
		defer x.later.mu.Unlock()
		key := [2]int{hook, seq}
		if due, asked := x.later.dues[key]; asked {
			return due, false
		}
		h := fnv.New64a()
		_, _ = fmt.Fprint(h, key)
		after := x.Wait + time.Duration(h.Sum64()%uint64(x.Spread/time.Second))*time.Second //nolint:gosec // a few minutes
		x.later.dues[key] = now.Add(after)
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
		w.WriteHeader(http.StatusServiceUnavailable)
		return time.Time{}, true
	}
	return time.Time{}, false
}
