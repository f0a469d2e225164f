package deliveryworker

import (
	"runtime/debug"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
)

// hookSet is what Postgres keeps current: the index, in which a hook that has a callback comes with the hook that
// carries it, and the worker's drainer, which is told of backlogs.
type hookSet struct {
	*index.Index
	worker *Service
	// memory is the target of aimAt.
	memory int64
}

// Replace implements store.HookSet.
func (s hookSet) Replace(hooks []*webhook.Hook, tenants []string) {
	s.Index.Replace(index.WithCarriers(hooks), tenants)
	if len(hooks) > manyHooks {
		debug.FreeOSMemory() // collects garbage first
	}
	aimAt(s.memory)
}

// Put implements store.HookSet.
func (s hookSet) Put(h webhook.Hook) {
	s.Index.Put(h)
	if c := h.CallbackHook(); c != nil {
		s.Index.Put(*c)
	} else {
		s.Index.Remove(webhook.CallbackHookID(h.ID))
	}
}

// Remove implements store.HookSet.
func (s hookSet) Remove(id uuid.UUID) {
	s.Index.Remove(id)
	s.Index.Remove(webhook.CallbackHookID(id))
}

// SetTenant implements store.HookSet.
func (s hookSet) SetTenant(name string, there bool) {
	if there {
		s.PutTenant(name)
	} else {
		s.RemoveTenant(name)
	}
}

// PutBacklog implements store.HookSet.
func (s hookSet) PutBacklog(hook uuid.UUID) { s.worker.drain.Wake(hook) }
