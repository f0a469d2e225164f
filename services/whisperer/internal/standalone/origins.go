package standalone

import (
	"sync"
	"time"
)

// origin is what is known about an event when it is published.
type origin struct {
	entity string
	at     time.Time
}

// keptOrigins bounds the number of remembered origins; the story publishes a few events per second.
const keptOrigins = 10_000

// origins remembers the latest events of the demo, so that a delivery's line can show the entity and the time it
// took.
type origins struct {
	mu     sync.Mutex
	events map[string]origin
	ids    []string // a ring buffer; the oldest is at next
	next   int
}

func newOrigins() *origins {
	return &origins{events: map[string]origin{}, ids: make([]string, keptOrigins)}
}

func (o *origins) add(id, entity string, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.events, o.ids[o.next])
	o.ids[o.next], o.events[id] = id, origin{entity, at}
	o.next = (o.next + 1) % len(o.ids)
}

func (o *origins) find(id string) (origin, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, ok := o.events[id]
	return found, ok
}
