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

// The reasons; the zero value is none.
const (
	// Down: the receiver rejects everything until all published events are parked. The measurement begins when it
	// accepts requests again.
	Down Later = "down"
	// Asked: the receiver asks for each delivery to come again later, spread evenly; latency is the delay after the
	// requested time.
	Asked Later = "asked"
	// Failing: the receiver rejects every tenth event once; the latency of these is the delay of the retry.
	Failing Later = "failing"
)

// For receivers that ask for retries.
const (
	retryRate = 500 // retries that become due per second
	// firstRate is the minimum number of first attempts per second, so that all deliveries wait before the first
	// retry is due.
	firstRate = 2000
	firstWait = 5 * time.Second
)

// maxRefused is how many times in a row a busy machine may fail to store events in time.
const maxRefused = 10

// spread returns over how much time the retries are spread, and wait the delay of the earliest.
func (s *Scenario) spread() time.Duration {
	return time.Duration(max(1, s.Events/retryRate)) * time.Second
}

func (s *Scenario) wait() time.Duration {
	return firstWait + time.Duration(s.Events/firstRate)*time.Second
}

// limit bounds one run of the scenario.
func (s *Scenario) limit() time.Duration {
	limit := runLimit + s.For
	if s.Later != "" {
		limit += s.wait() + s.spread() + time.Duration(s.Events/100)*time.Second/10
	}
	return limit
}

// patience is how long no delivery may come before missing ones count as lost.
func (s *Scenario) patience() time.Duration {
	if s.Later == Asked {
		return stuckAfter + s.wait()
	}
	return stuckAfter
}

// settings returns the workers' special settings: receivers that ask for retries must not count as failing.
func (s *Scenario) settings() (list []string) {
	if s.Later == Asked {
		list = append(list, daemon.Prefix+"BREAKER_ATTEMPTS=1000000000")
	}
	if s.Nodes > 1 {
		list = append(list, daemon.Prefix+"STREAM_REPLICAS="+strconv.Itoa(s.Nodes))
	}
	return list
}

// config returns the config of the scenario's hooks.
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

// retries returns the retry schedule of the scenario's hooks; nil for the default. The default's delays grow to
// minutes while a receiver is down, and the head of an ordered backlog would have to wait for that.
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

// park publishes a scenario's events in order while the receiver is down, and returns when all are parked.
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

// event returns an event to publish.
func (b *bench) event(run string, seq int) bus.Outgoing {
	return bus.Outgoing{
		Tenant: webhook.DefaultTenant, Type: eventType, ID: fmt.Sprintf("%s-%d", run, seq),
		Body: b.payload.published.fill(seq, time.Now()),
	}
}

// later records from when on rejected deliveries may come again.
type later struct {
	mu   sync.Mutex
	dues map[[2]int]time.Time // by hook and sequence
}

// refuse rejects a request that comes too early. Otherwise it returns false, and when the request was due.
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
