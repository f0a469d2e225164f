package drainer

import (
	"slices"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// maxOpen bounds the deliveries that are in hand.
	maxOpen = 20_000
	// maxBytes bounds the events of parked deliveries that are in memory, maxLoad those that are read at once.
	maxBytes, maxLoad = 32 << 20, 4 << 20
)

// take takes deliveries for the hooks that have few in hand.
func (r *round) take() error {
	var free []store.Want
	inOrder := map[*bounds][]store.Want{}
	room := maxOpen
	for _, x := range r.held {
		room -= int(x.open.Load())
	}
	for _, x := range r.held {
		if !x.more || x.stopped.Load() || len(x.unloaded) > 0 || !x.may() {
			continue
		}
		n := x.want()
		if n == 0 {
			if x.open.Load() == 0 {
				x.more = false // its receiver is failing; it is looked at again soon
			}
			continue
		}
		if n = min(n, room); n <= 0 {
			continue
		}
		room -= n
		w := store.Want{Lease: x.lease, Limit: n, Ordering: x.hook.Config.Ordering}
		if !x.ordered() {
			free = append(free, w)
		} else if b := r.asked.of(x.hook.Tenant); b != nil {
			inOrder[b] = append(inOrder[b], w)
		} else {
			x.more, x.moving = false, true
			r.asked.ask(x.hook.Tenant)
		}
	}
	if len(free) > 0 {
		if err := r.taken(free, everywhere); err != nil {
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

func (r *round) takeInOrder(b *bounds, wants []store.Want) error {
	hooks := make([]uuid.UUID, len(wants))
	for i, w := range wants {
		hooks[i] = w.Lease.Hook
	}
	running, err := r.backfilled(r.ctx, wants, hooks)
	if err != nil {
		return err
	}
	if err := r.taken(wants, b.places); err != nil {
		return err
	}
	// what is beyond comes when events are settled that are in somebody's hands
	dry := slices.DeleteFunc(hooks, func(id uuid.UUID) bool { _, backfill := running[id]; return r.held[id].more || backfill })
	if len(dry) == 0 {
		return nil
	}
	moving, err := r.Store.Moving(r.ctx, dry, settledPlaces(b.places))
	for _, id := range moving {
		r.held[id].moving = true
		r.asked.ask(r.held[id].hook.Tenant)
	}
	return err
}

func (r *round) taken(wants []store.Want, places []store.Places) error {
	list, err := r.Store.TakeParked(r.ctx, r.id, wants, places)
	by := map[uuid.UUID][]work{}
	for _, w := range list {
		by[w.HookID] = append(by[w.HookID], w)
	}
	for id, list := range by {
		x := r.held[id]
		x.take(list)
		x.unloaded = list
	}
	if err != nil {
		// The database may have given more than was heard of, which is this drainer's for as long as it lives, and which later
		// deliveries of ordered hooks would pass.
		r.stop()
		return err
	}
	for _, w := range wants {
		x := r.held[w.Lease.Hook]
		n := len(by[w.Lease.Hook])
		x.more = n >= w.Limit
		x.low.Store(int64(w.Limit / 2))
		if n > 0 {
			x.resize()
		}
	}
	return nil
}

// load reads the events of deliveries that were taken, as far as there is memory for them, and has their attempts made.
func (r *round) load() error {
	for {
		room := maxBytes - int(r.bytes.Load())
		var list []work
		for _, x := range r.held {
			if len(x.unloaded) > 0 && !x.stopped.Load() {
				list = append(list, slices.DeleteFunc(slices.Clone(x.unloaded), func(w work) bool { return w.Loaded })...)
			}
			if len(list) >= page {
				break
			}
		}
		if len(list) == 0 || room <= 0 {
			return nil
		}
		if err := r.Store.LoadParked(r.ctx, list, min(room, maxLoad)); err != nil {
			return err
		}
		for _, x := range r.held {
			n := 0
			for ; n < len(x.unloaded) && x.unloaded[n].Loaded; n++ {
				w := x.unloaded[n]
				r.bytes.Add(int64(w.Size))
				x.lineup.put(x.key(w.Event), w)
			}
			x.unloaded = x.unloaded[n:]
		}
	}
}
