package deliveryworker

import (
	"sync/atomic"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// erasedSet holds the events that are being erased, or were erased recently.
type erasedSet struct {
	// events holds, for each event, the time until which publications with its id are erased. It is nil if there are none.
	events atomic.Pointer[map[store.EventKey]time.Time]
}

// ReplaceErased implements store.ErasedSet.
func (s *erasedSet) ReplaceErased(list []store.ErasedEvent) {
	if len(list) == 0 {
		s.events.Store(nil)
		return
	}
	events := make(map[store.EventKey]time.Time, len(list))
	for _, e := range list {
		events[e.EventKey] = e.At
	}
	s.events.Store(&events)
}

// has reports whether an event is erased, or about to be, as of the last poll of PostgreSQL.
func (s *erasedSet) has(e *webhook.Event) bool {
	if e.Erased != nil {
		return true
	}
	events := s.events.Load()
	if events == nil {
		return false
	}
	at, ok := (*events)[store.EventKey{Tenant: e.Tenant, ID: e.ID}]
	return ok && !e.PublishedAt.After(at)
}
