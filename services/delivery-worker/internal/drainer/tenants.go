package drainer

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// turns holds the hooks that wait to be drained. Tenants take turns; a tenant's hooks are in the order in which they came.
type turns struct {
	tenants []string
	hooks   map[string][]uuid.UUID
}

func (w *turns) add(tenant string, hook uuid.UUID) {
	if w.hooks == nil {
		w.hooks = map[string][]uuid.UUID{}
	}
	if len(w.hooks[tenant]) == 0 {
		w.tenants = append(w.tenants, tenant)
	}
	w.hooks[tenant] = append(w.hooks[tenant], hook)
}

// next removes the next hook.
func (w *turns) next() (hook uuid.UUID, ok bool) {
	if len(w.tenants) == 0 {
		return uuid.Nil, false
	}
	tenant := w.tenants[0]
	list := w.hooks[tenant]
	w.tenants = w.tenants[1:]
	if len(list) > 1 {
		w.hooks[tenant] = list[1:]
		w.tenants = append(w.tenants, tenant)
	} else {
		delete(w.hooks, tenant)
	}
	return list[0], true
}

// endTurns stops hooks that have had their turns, if others wait and there is no room for them. The turn of a hook with a rate
// limit, which is long, is cut short if its tenant has more than its share of the room, and another tenant less.
func (r *round) endTurns(now time.Time) {
	if len(r.waiting.tenants) == 0 || len(r.held) < atOnce {
		return
	}
	tenants, stopped := map[string]int{}, 0
	for _, x := range r.held {
		tenants[x.hook.Tenant]++
		if x.stopped.Load() {
			stopped++
		}
	}
	for tenant := range r.waiting.hooks {
		tenants[tenant] += 0
	}
	share := max(1, atOnce/len(tenants))
	needed := -stopped // the number of hooks for which room has to be made by short turns
	for tenant, list := range r.waiting.hooks {
		needed += max(0, min(len(list), share-tenants[tenant]))
	}
	for _, x := range r.held {
		had := now.Sub(x.began)
		switch {
		case had <= turn || x.stopped.Load():
			continue
		case x.hook.Config.RateLimit == nil, had > seldomTurn:
		case needed <= 0 || tenants[x.hook.Tenant] <= share:
			continue
		}
		needed--
		tenants[x.hook.Tenant]--
		x.over = true
		x.stop()
	}
}

// fairly returns the hooks that are being drained: first those of the tenants with the fewest deliveries in hand, so that one
// tenant does not take all the room.
func (r *round) fairly() []*held {
	open := map[string]int64{}
	for _, x := range r.held {
		open[x.hook.Tenant] += x.open.Load()
	}
	list := slices.Collect(maps.Values(r.held))
	if len(open) > 1 {
		slices.SortFunc(list, func(a, b *held) int { return cmp.Compare(open[a.hook.Tenant], open[b.hook.Tenant]) })
	}
	return list
}
