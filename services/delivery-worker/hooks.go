package deliveryworker

import (
	"runtime/debug"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
)

// hookSet is what Postgres keeps current: the index, and the worker's drainer, which is told of backlogs.
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
