package fanout

import (
	"sync"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

// generation is how many ids each half of recent holds.
const generation = 32 << 10

// recent remembers the ids that this worker took last: those that the ledger does not have yet. The zero value is ready.
type recent struct {
	mu       sync.Mutex
	now, old map[postgres.EventKey]postgres.SeenEvent
}

// put returns what was remembered under the key, and remembers e if there was nothing.
func (r *recent) put(key postgres.EventKey, e postgres.SeenEvent) (before postgres.SeenEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.now[key]; ok {
		return before
	}
	if before, ok := r.old[key]; ok {
		return before
	}
	if r.now == nil || len(r.now) >= generation {
		r.old, r.now = r.now, make(map[postgres.EventKey]postgres.SeenEvent, generation/4)
	}
	r.now[key] = e
	return postgres.SeenEvent{}
}
