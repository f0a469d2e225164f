// Package index holds all hooks in memory and finds those that an event goes to, in time that does not depend on how
// many hooks there are that it does not go to.
package index

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Index is safe for concurrent use. Hooks in it are never changed, only replaced.
type Index struct {
	mu      sync.RWMutex
	hooks   map[uuid.UUID]*entry
	tenants map[string]*tenant
	// changed is told each hook that was put, or the id and nil for one that was removed; may be nil.
	changed func(id uuid.UUID, h *webhook.Hook)
}

// entry is a hook with its filter, compiled once.
type entry struct {
	*webhook.Hook
	filter *filter.Filter // nil for none
}

// newEntry compiles the hook's filter. One that cannot be compiled, as in a row that was written by hand, makes the hook
// count as paused: what it may want waits until somebody mends it.
func newEntry(h *webhook.Hook) *entry {
	e := &entry{Hook: h}
	if h.Config.Filter == "" {
		return e
	}
	f, err := filter.Compile(h.Config.Filter)
	if err != nil {
		paused := *h
		paused.Status = webhook.Paused
		return &entry{Hook: &paused}
	}
	e.filter = f
	return e
}

// tenant are one tenant's hooks by what they want.
type tenant struct {
	exact      map[string][]*entry
	everything []*entry // * or > alone
	patterns   node
}

// node is a place in the tree of patterns: one level a token.
type node struct {
	children map[string]*node
	any      *node    // *
	here     []*entry // patterns that end here
	rest     []*entry // patterns that end here with >
}

// New makes an empty index. changed, if not nil, is called after each change, outside of any lock.
func New(changed func(id uuid.UUID, h *webhook.Hook)) *Index {
	return &Index{
		hooks: map[uuid.UUID]*entry{}, tenants: map[string]*tenant{}, changed: changed,
	}
}

// Len is the number of hooks.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.hooks)
}

// Replace takes all hooks and tenants there are, and what carries the hooks' callbacks.
func (x *Index) Replace(hooks []*webhook.Hook, tenants []string) {
	x.mu.Lock()
	before := x.hooks
	x.hooks = make(map[uuid.UUID]*entry, len(hooks))
	x.tenants = make(map[string]*tenant, len(tenants))
	for _, name := range tenants {
		x.tenant(name)
	}
	for _, h := range slices.Clip(hooks) {
		if c := h.CallbackHook(); c != nil {
			hooks = append(hooks, c)
		}
	}
	changed := make([]*webhook.Hook, 0, len(hooks))
	for _, h := range hooks {
		if old := before[h.ID]; old != nil && same(old.Hook, h) {
			x.add(old) // what others remember of it stays valid
		} else {
			e := newEntry(h)
			changed = append(changed, e.Hook)
			x.add(e)
		}
		delete(before, h.ID)
	}
	x.mu.Unlock()
	for _, h := range changed {
		x.tell(h.ID, h)
	}
	for id := range before {
		x.tell(id, nil)
	}
}

// Among returns what finds, of the given hooks and those that carry their callbacks, those that an event goes to, as far as that
// can be told without their filters.
func Among(hooks []*webhook.Hook) func(*webhook.Event) []filter.Candidate {
	x := New(nil)
	x.Replace(hooks, nil)
	return x.Candidates
}

// Put takes a hook that is new or has changed, with what carries its callbacks.
func (x *Index) Put(h webhook.Hook) {
	x.put(&h)
	if c := h.CallbackHook(); c != nil {
		x.put(c)
	} else {
		x.remove(webhook.CallbackHookID(h.ID))
	}
}

func (x *Index) put(h *webhook.Hook) {
	if old := x.Get(h.ID); old != nil && same(old, h) {
		return
	}
	e := newEntry(h)
	x.mu.Lock()
	x.drop(h.ID)
	x.add(e)
	x.mu.Unlock()
	x.tell(h.ID, e.Hook)
}

// Remove forgets a hook, if it is known, and what carries its callbacks.
func (x *Index) Remove(id uuid.UUID) {
	x.remove(id)
	x.remove(webhook.CallbackHookID(id))
}

func (x *Index) remove(id uuid.UUID) {
	x.mu.Lock()
	known := x.hooks[id] != nil
	x.drop(id)
	x.mu.Unlock()
	if known {
		x.tell(id, nil)
	}
}

// same reports whether two hooks with the same id are equal. The version alone does not say so: there are changes by plain
// SQL. Config.Raw stands for all of the config but what is sealed.
func same(a, b *webhook.Hook) bool {
	return a.Version == b.Version && a.ModifiedAt.Equal(b.ModifiedAt) && a.Status == b.Status && a.Unreadable == b.Unreadable &&
		a.Tenant == b.Tenant && a.Name == b.Name && a.TargetURL == b.TargetURL && slices.Equal(a.EventTypes, b.EventTypes) &&
		bytes.Equal(a.Config.Raw, b.Config.Raw) && bytes.Equal(a.RetryConfig, b.RetryConfig) && a.APIKey == b.APIKey &&
		slices.Equal(a.Secrets, b.Secrets) && maps.Equal(a.Headers, b.Headers) && reflect.DeepEqual(a.Callback, b.Callback) &&
		reflect.DeepEqual(a.Config.Auth, b.Config.Auth) && reflect.DeepEqual(a.Config.TLS, b.Config.TLS)
}

// SetTenant takes a tenant that is new, or forgets one. Its hooks are removed each by itself.
func (x *Index) SetTenant(name string, there bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !there {
		delete(x.tenants, name)
	} else {
		x.tenant(name)
	}
}

// tenant returns a tenant, which is made if there is none; the lock is held.
func (x *Index) tenant(name string) *tenant {
	t := x.tenants[name]
	if t == nil {
		t = &tenant{exact: map[string][]*entry{}}
		x.tenants[name] = t
	}
	return t
}

func (x *Index) tell(id uuid.UUID, h *webhook.Hook) {
	if x.changed != nil {
		x.changed(id, h)
	}
}

// Get returns a hook, nil where there is none.
func (x *Index) Get(id uuid.UUID) *webhook.Hook {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.hooks[id]; e != nil {
		return e.Hook
	}
	return nil
}

// HasTenant reports whether there is such a tenant.
func (x *Index) HasTenant(name string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.tenants[name] != nil
}

// Match appends to found the hooks that the event goes to, each once: those of its tenant that want its type, that are
// not disabled, that were there when it was published, whose config contains its filter and whose own filter it passes.
func (x *Index) Match(e *webhook.Event, found []*webhook.Hook) []*webhook.Hook {
	input := filter.NewInput(e)
	for _, c := range x.Candidates(e) {
		if c.Filter != nil {
			if matched, err := c.Filter.Match(input); err != nil || !matched {
				continue
			}
		}
		found = append(found, c.Hook)
	}
	return found
}

// Candidates are the hooks that the event goes to, as far as that can be told without their filters.
func (x *Index) Candidates(e *webhook.Event) []filter.Candidate {
	var found []filter.Candidate
	var seen map[*entry]bool // of those that may be there twice
	for _, c := range x.candidates(e) {
		if c.Status == webhook.Disabled || e.PublishedAt.Before(c.CreatedAt.Add(-store.ClockTolerance)) {
			continue
		}
		if len(c.EventTypes) > 1 {
			if seen[c] {
				continue
			}
			if seen == nil {
				seen = map[*entry]bool{}
			}
			seen[c] = true
		}
		if !c.Config.Contains(e.ConfigFilter) {
			continue
		}
		found = append(found, filter.Candidate{Hook: c.Hook, Filter: c.filter})
	}
	return found
}

// candidates are the hooks that want the event's type; one that wants it twice is there twice.
func (x *Index) candidates(e *webhook.Event) []*entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	t := x.tenants[e.Tenant]
	if t == nil {
		return nil
	}
	var found []*entry
	found = append(found, t.exact[e.Type]...)
	if !webhook.IsOperational(e.Type) {
		found = append(found, t.everything...)
	}
	return t.patterns.match(e.Type, found)
}

func (n *node) match(rest string, found []*entry) []*entry {
	found = append(found, n.rest...)
	token, tail, more := strings.Cut(rest, ".")
	for _, next := range [2]*node{n.children[token], n.any} {
		switch {
		case next == nil:
		case more:
			found = next.match(tail, found)
		default:
			found = append(found, next.here...)
		}
	}
	return found
}

// add puts a hook in; the lock is held.
func (x *Index) add(h *entry) {
	x.hooks[h.ID] = h
	t := x.tenant(h.Tenant)
	for _, pattern := range h.EventTypes {
		if !webhook.IsPattern(pattern) {
			t.exact[pattern] = append(t.exact[pattern], h)
			continue
		}
		place := t.place(pattern, true)
		*place = append(*place, h)
	}
}

// drop takes a hook out; the lock is held.
func (x *Index) drop(id uuid.UUID) {
	h := x.hooks[id]
	if h == nil {
		return
	}
	delete(x.hooks, id)
	t := x.tenants[h.Tenant]
	if t == nil { // removed before
		return
	}
	for _, pattern := range h.EventTypes {
		if !webhook.IsPattern(pattern) {
			if t.exact[pattern] = without(t.exact[pattern], h); len(t.exact[pattern]) == 0 {
				delete(t.exact, pattern)
			}
			continue
		}
		if place := t.place(pattern, false); place != nil {
			*place = without(*place, h)
		}
	}
}

// without removes h without keeping the order.
func without(hooks []*entry, h *entry) []*entry {
	if i, last := slices.Index(hooks, h), len(hooks)-1; i >= 0 {
		hooks[i], hooks[last] = hooks[last], nil
		return hooks[:last]
	}
	return hooks
}

// place finds the list that a pattern's hooks are in; nil where there is none and create is false.
func (t *tenant) place(pattern string, create bool) *[]*entry {
	if pattern == "*" || pattern == ">" { // * alone stands for everything
		return &t.everything
	}
	return t.patterns.place(pattern, create)
}

func (n *node) place(pattern string, create bool) *[]*entry {
	for token := range strings.SplitSeq(pattern, ".") {
		if token == ">" {
			return &n.rest
		}
		next := n.any
		if token != "*" {
			next = n.children[token]
		}
		if next == nil {
			if !create {
				return nil
			}
			next = &node{}
			if token == "*" {
				n.any = next
			} else {
				if n.children == nil {
					n.children = map[string]*node{}
				}
				n.children[token] = next
			}
		}
		n = next
	}
	return &n.here
}
