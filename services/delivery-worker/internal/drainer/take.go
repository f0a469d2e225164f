package drainer

import (
	"slices"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// lease takes the leases of waiting hooks, as far as there is room.
func (r *round) lease() error {
	room := min(leaseAtOnce, atOnce-len(r.held))
	var wanted []store.DrainLease
	for len(wanted) < room {
		id, ok := r.waiting.next()
		if !ok {
			break
		}
		delete(r.waits, id)
		h := r.Hooks.Get(id)
		if h == nil || h.Status != webhook.Active {
			continue
		}
		if able, _ := r.Limiter.Able(h); !able {
			continue
		}
		_, alone := h.Config.Drained()
		wanted = append(wanted, store.DrainLease{Hook: id, Alone: alone})
	}
	if len(wanted) == 0 {
		return nil
	}
	got, err := r.Store.LeaseHooks(r.ctx, r.id, r.Worker, wanted, lease.Time)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(got, func(l store.DrainLease) bool { return l.Foreign }) {
		if err := r.History.CatchUp(r.ctx); err != nil { // the hooks will be leased again
			_ = r.Store.ReleaseHooks(r.ctx, r.id, got)
			return err
		}
	}
	for _, l := range got {
		h := r.Hooks.Get(l.Hook)
		if h == nil {
			h = &webhook.Hook{ID: l.Hook}
		}
		x := r.hold(h, l)
		if _, alone := h.Config.Drained(); alone != l.Alone { // the hook was changed meanwhile
			x.over = true
			x.stop()
		}
		r.held[l.Hook] = x
		if l.Expired && x.ordered() {
			r.outdate(h.Tenant)
		}
	}
	r.publish()
	return nil
}

// take takes deliveries for the hooks that have few untried ones left.
func (r *round) take() error {
	var free []store.Want
	inOrder := map[*bounds][]store.Want{}
	room := maxOpen
	for _, x := range r.held {
		room -= int(x.open.Load())
	}
	for _, x := range r.fairly() {
		if !x.more.Load() || x.stopped.Load() || len(x.unloaded) > 0 || !x.may() {
			continue
		}
		if x.hook.Config.Collapse == webhook.CollapseEntity && !x.collapsed() {
			continue
		}
		n := x.want()
		if n == 0 {
			if x.open.Load() == 0 {
				x.more.Store(false) // its receiver is failing: it is checked again soon
			}
			continue
		}
		if n = min(n, room); n <= 0 {
			continue
		}
		room -= n
		x.forget()
		w := store.Want{Lease: x.lease, Limit: n, Ordering: x.hook.Config.Ordering, Batch: x.hook.Config.Batch}
		if !x.ordered() {
			free = append(free, w)
		} else if b := r.bounds[x.hook.Tenant]; b != nil {
			inOrder[b] = append(inOrder[b], w)
		} else {
			x.more.Store(false)
			x.moving = true
			r.asked[x.hook.Tenant] = true
		}
	}
	if len(free) > 0 {
		if err := r.takePage(free, everywhere); err != nil {
			return err
		}
	}
	for b, wants := range inOrder {
		if err := r.takeInOrder(b, wants); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) takePage(wants []store.Want, places []store.Places) error {
	list, err := r.Store.Take(r.ctx, r.id, wants, places)
	by := map[uuid.UUID][]work{}
	for _, w := range list {
		by[w.HookID] = append(by[w.HookID], w)
	}
	for id, list := range by {
		x := r.held[id]
		if x.hook.Config.Batch != nil {
			list = byBatch(list)
		}
		x.take(list)
	}
	if err != nil {
		// The database may have taken more deliveries than this program knows. They belong to this drainer as long as it lives,
		// and later deliveries of ordered hooks would overtake them.
		r.uncertain = true
		r.stop()
		return err
	}
	for _, w := range wants {
		x, n := r.held[w.Lease.Hook], len(by[w.Lease.Hook])
		x.collapse = toCollapse
		x.more.Store(n >= w.Limit)
		x.low.Store(int64(w.Limit / 2))
		if n > 0 {
			x.resize()
		}
	}
	return nil
}

// load reads the events of taken deliveries, as far as memory permits, and schedules their attempts.
func (r *round) load() error {
	for hooks := r.fairly(); ; {
		room := maxBytes - int(r.bytes.Load())
		var list []work
		for _, x := range hooks {
			if !x.stopped.Load() && len(list) < page {
				list = append(list, slices.DeleteFunc(slices.Clone(x.unloaded), func(w work) bool { return w.Loaded })...)
			}
		}
		if room <= 0 { // send incomplete batches rather than wait for more deliveries
			for _, x := range r.held {
				x.finishBatch()
			}
		}
		if len(list) == 0 || room <= 0 {
			return nil
		}
		if err := r.Store.Load(r.ctx, list, min(room, maxLoad)); err != nil {
			return err
		}
		for _, x := range r.held {
			x.offerLoaded()
		}
	}
}

// offerLoaded schedules the attempts of deliveries whose events were read.
func (x *held) offerLoaded() {
	for len(x.unloaded) > 0 && x.unloaded[0].Loaded {
		x.bytes.Add(int64(x.unloaded[0].Size))
		x.offer(x.unloaded[0])
		x.unloaded = x.unloaded[1:]
	}
	if len(x.unloaded) == 0 {
		x.finishBatch()
	}
}
