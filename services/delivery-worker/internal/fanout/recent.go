package fanout

import (
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

// generation is how many ids each half of recent holds.
const generation = 32 << 10

// recent remembers the ids that this worker took last: those that the ledger does not have yet. The zero value is ready.
type recent struct {
	mu       sync.Mutex
	now, old map[postgres.EventKey]remembered
}

type remembered struct {
	postgres.SeenEvent
	publishedAt time.Time
}

// put returns what was remembered under the key for the same day, and remembers e if there was nothing.
func (r *recent) put(key postgres.EventKey, e postgres.SeenEvent, publishedAt time.Time) (before postgres.SeenEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, half := range []map[postgres.EventKey]remembered{r.now, r.old} {
		if before, ok := half[key]; ok && publishedAt.Sub(before.publishedAt) < postgres.SameEvent {
			return before.SeenEvent
		}
	}
	if r.now == nil || len(r.now) >= generation {
		r.old, r.now = r.now, make(map[postgres.EventKey]remembered, generation/4)
	}
	r.now[key] = remembered{SeenEvent: e, publishedAt: publishedAt}
	return postgres.SeenEvent{}
}
