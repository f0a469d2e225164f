package fanout

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// generation is the number of ids that each half of recent holds.
const generation = 32 << 10

// recent holds the ids of the latest events that this worker took, because the ledger may not have them yet. The zero value is
// ready to use.
type recent struct {
	mu       sync.Mutex
	now, old map[store.EventKey]remembered
}

// remembered is what recent keeps of an event. It does not refer to the event, so that the event's memory can be freed.
type remembered struct {
	seq         webhook.Sequence
	digest      [sha256.Size]byte
	publishedAt time.Time
}

// put returns the event that was stored under the key within SameEvent before e, and stores e if there is none.
func (r *recent) put(key store.EventKey, e remembered) (before store.SeenEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, half := range []map[store.EventKey]remembered{r.now, r.old} {
		if before, ok := half[key]; ok && e.publishedAt.Sub(before.publishedAt) < store.SameEvent {
			return store.SeenEvent{Seq: before.seq, Digest: before.digest[:]}
		}
	}
	switch {
	case r.now == nil:
		r.now, r.old = map[store.EventKey]remembered{}, map[store.EventKey]remembered{}
	case len(r.now) >= generation:
		r.now, r.old = r.old, r.now
		clear(r.now) // keeps the allocated memory
	}
	r.now[key] = e
	return store.SeenEvent{}
}
