package deliveryworker

import (
	"runtime/debug"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
)

// hookSet receives changes of hooks from PostgreSQL: it updates the index, and wakes the drainer for a hook that has a backlog.
type hookSet struct {
	*index.Index
	worker *Service
}

// Replace implements store.HookSet.
func (s hookSet) Replace(hooks []*webhook.Hook, tenants []string) {
	s.Index.Replace(hooks, tenants)
	if len(hooks) > manyHooks {
		debug.FreeOSMemory() // collects garbage first
	}
	aimAt(s.worker.config.MemoryTarget)
}

// PutBacklog implements store.HookSet.
func (s hookSet) PutBacklog(hook uuid.UUID) { s.worker.drain.Wake(hook) }
