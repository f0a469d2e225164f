package deliveryworker

import (
	"runtime/debug"
	"slices"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/drainer"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
)

// hookSet is what Postgres keeps current: the index, in which a hook that has a callback comes with the hook that
// carries it, and the drainer, which is told of backlogs.
type hookSet struct {
	*index.Index
	drain *drainer.Drainer
	// memory is the target of aimAt.
	memory int64
}

// Replace implements postgres.HookSet.
func (s hookSet) Replace(hooks []*webhook.Hook, tenants []string) {
	for i := range slices.Clip(hooks) {
		if c := hooks[i].CallbackHook(); c != nil {
			hooks = append(hooks, c)
		}
	}
	s.Index.Replace(hooks, tenants)
	if len(hooks) > manyHooks {
		debug.FreeOSMemory() // collects garbage first
	}
	aimAt(s.memory)
}

// Put implements postgres.HookSet.
func (s hookSet) Put(h webhook.Hook) {
	s.Index.Put(h)
	if c := h.CallbackHook(); c != nil {
		s.Index.Put(*c)
	} else {
		s.Index.Remove(webhook.CallbackHookID(h.ID))
	}
}

// Remove implements postgres.HookSet.
func (s hookSet) Remove(id uuid.UUID) {
	s.Index.Remove(id)
	s.Index.Remove(webhook.CallbackHookID(id))
}

// PutBacklog implements postgres.HookSet.
func (s hookSet) PutBacklog(hook uuid.UUID) { s.drain.Wake(hook) }
