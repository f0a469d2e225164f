// Package index holds all hooks in memory and finds those that match an event. The time that takes does not depend on the
// number of hooks that do not match.
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

// Index is safe for concurrent use. A hook in it is never modified, only replaced.
type Index struct {
	mu      sync.RWMutex
	hooks   map[uuid.UUID]*entry
	tenants map[string]*tenant
	// changed is called with each hook that was added or replaced, and with an id and nil for each that was removed. It may be
	// nil.
	changed func(id uuid.UUID, h *webhook.Hook)
}

// entry is a hook with its compiled filter.
type entry struct {
	*webhook.Hook
	filter *filter.Filter // nil for none
}

// newEntry compiles the hook's filter. A filter that does not compile, such as one written by hand into the database, makes the
// hook count as paused: its deliveries are parked until somebody fixes the filter.
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

// tenant holds one tenant's hooks by the event types that they want.
type tenant struct {
	exact      map[string][]*entry
	everything []*entry // hooks that want * or >
	patterns   node
}

// node is a node of the tree of patterns, which has one level for each token of a pattern.
type node struct {
	// children holds the next nodes by token.
	children map[string]*node
	any      *node    // next node for *
	here     []*entry // hooks whose pattern ends here
	rest     []*entry // hooks whose pattern ends here with >
}

// New returns an empty index. changed, if not nil, is called after each change, while no lock is held.
func New(changed func(id uuid.UUID, h *webhook.Hook)) *Index {
	return &Index{
		hooks: map[uuid.UUID]*entry{}, tenants: map[string]*tenant{}, changed: changed,
	}
}

// Len returns the number of hooks.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.hooks)
}

// Replace replaces all hooks and tenants. It also adds the hooks that carry the callbacks of the given ones.
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
			x.add(old) // keep the entry: others may hold its pointer, and an unchanged hook must not look changed
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

// Among returns a function that finds the hooks, among the given ones and those that carry their callbacks, that an event goes
// to if their filters accept it.
func Among(hooks []*webhook.Hook) func(*webhook.Event) []filter.Candidate {
	x := New(nil)
	x.Replace(hooks, nil)
	return x.Candidates
}

// Put adds or replaces a hook, and the hook that carries its callbacks.
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

// Remove removes a hook, and the hook that carries its callbacks, if they are in the index.
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

// same reports whether two hooks with the same id are equal. Comparing versions is not enough, because hooks can be changed by
// plain SQL. Config.Raw contains all of the config except its sealed parts.
func same(a, b *webhook.Hook) bool {
	return a.Version == b.Version && a.ModifiedAt.Equal(b.ModifiedAt) && a.Status == b.Status && a.Unreadable == b.Unreadable &&
		a.Tenant == b.Tenant && a.Name == b.Name && a.TargetURL == b.TargetURL && slices.Equal(a.EventTypes, b.EventTypes) &&
		bytes.Equal(a.Config.Raw, b.Config.Raw) && bytes.Equal(a.RetryConfig, b.RetryConfig) && a.APIKey == b.APIKey &&
		slices.Equal(a.Secrets, b.Secrets) && maps.Equal(a.Headers, b.Headers) && reflect.DeepEqual(a.Callback, b.Callback) &&
		reflect.DeepEqual(a.Config.Auth, b.Config.Auth) && reflect.DeepEqual(a.Config.TLS, b.Config.TLS)
}

// SetTenant adds a tenant, or removes it if there is false. It does not remove the tenant's hooks.
func (x *Index) SetTenant(name string, there bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !there {
		delete(x.tenants, name)
	} else {
		x.tenant(name)
	}
}

// tenant returns a tenant, and adds it if it is missing. The caller holds x.mu.
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

// Get returns a hook, or nil if there is none.
func (x *Index) Get(id uuid.UUID) *webhook.Hook {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.hooks[id]; e != nil {
		return e.Hook
	}
	return nil
}

// HasTenant reports whether the tenant exists.
func (x *Index) HasTenant(name string) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.tenants[name] != nil
}

// Match appends to found the hooks that the event goes to, without duplicates: those of its tenant that want its type, are not
// disabled, existed when it was published, contain its config_filter in their config, and whose own filter accepts it.
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

// Candidates returns the hooks that the event goes to if their filters accept it.
func (x *Index) Candidates(e *webhook.Event) []filter.Candidate {
	var found []filter.Candidate
	var seen map[*entry]bool // the hooks with several event types, which may be listed twice
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

// candidates returns the hooks that want the event's type. A hook is listed once for each of its event types that match.
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

// add adds a hook. The caller holds x.mu.
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

// drop removes a hook, if it is there. The caller holds x.mu.
func (x *Index) drop(id uuid.UUID) {
	h := x.hooks[id]
	if h == nil {
		return
	}
	delete(x.hooks, id)
	t := x.tenants[h.Tenant]
	if t == nil { // the tenant was removed first
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

// without removes h from hooks. It does not keep the order.
func without(hooks []*entry, h *entry) []*entry {
	if i, last := slices.Index(hooks, h), len(hooks)-1; i >= 0 {
		hooks[i], hooks[last] = hooks[last], nil
		return hooks[:last]
	}
	return hooks
}

// place returns the list for the hooks that want a pattern. If there is none, it creates one, or returns nil if create is
// false.
func (t *tenant) place(pattern string, create bool) *[]*entry {
	if pattern == "*" || pattern == ">" { // * as the only token matches every type
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
