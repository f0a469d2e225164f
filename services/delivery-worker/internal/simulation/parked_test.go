package simulation_test

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const sharers = "(side by side)"

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

func leaseName(hook uuid.UUID) string { return "drain:" + hook.String() }

// backlogsOf simulates QueueStore.ListBacklogs.
func (d *database) backlogsOf() []uuid.UUID {
	d.mu.Lock()
	defer d.mu.Unlock()
	there := maps.Clone(d.backlogs)
	for _, p := range d.parked {
		there[p.hook] = true
	}
	return slices.SortedFunc(maps.Keys(there), compareIDs)
}

// forgetBacklogs simulates ForgetBacklogs.
func (d *database) forgetBacklogs(hooks []uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range hooks {
		queued := false
		for _, p := range d.parked {
			queued = queued || p.hook == id
		}
		if !queued {
			delete(d.backlogs, id)
		}
	}
}

func (d *database) openDrainer(ttl time.Duration) uuid.UUID {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.uuid()
	d.drainers[id] = d.now().Add(ttl)
	return id
}

func (d *database) closeDrainer(id uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.drainers, id)
}

// renewDrainer simulates RenewDrainer.
func (d *database) renewDrainer(id uuid.UUID, leases []store.DrainLease, ttl time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if until, there := d.drainers[id]; !there || !until.After(now) {
		return store.ErrExpired
	}
	d.drainers[id] = now.Add(ttl)
	for _, l := range leases {
		if row := d.leases[leaseName(l.Hook)]; row != nil && row.fence == l.Fence {
			row.expires = now.Add(ttl)
			row.attempted(l)
		}
	}
	return nil
}

func (r *leaseRow) attempted(l store.DrainLease) {
	if at := micro(l.LastAttemptAt); !l.LastAttemptAt.IsZero() && at.After(r.last) {
		r.last = at
	}
}

// leaseHooks simulates LeaseHooks.
func (d *database) leaseHooks(drainer uuid.UUID, worker string, wanted []store.DrainLease, ttl time.Duration) []store.DrainLease {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	var out []store.DrainLease
	for _, w := range wanted {
		holder := worker
		var shared []uuid.UUID
		if !w.Alone {
			holder, shared = sharers, []uuid.UUID{drainer}
		}
		row := d.leases[leaseName(w.Hook)]
		expired := w.Alone && row != nil && !row.expires.IsZero()
		switch {
		case row == nil:
			row = &leaseRow{holder: holder, fence: 1, queue: 1, sharers: shared}
			d.leases[leaseName(w.Hook)] = row
		case row.expires.Before(now):
			row.foreign = row.queue != row.fence
			row.fence++
			row.holder, row.queue, row.sharers = holder, row.fence, shared
		case row.holder == sharers && holder == sharers:
			row.queue = row.fence
			row.sharers = append(slices.DeleteFunc(row.sharers, func(id uuid.UUID) bool { return id == drainer }), drainer)
		default:
			continue
		}
		row.expires = now.Add(ttl)
		out = append(out, store.DrainLease{
			Hook: w.Hook, Alone: w.Alone, Fence: row.fence, Foreign: row.foreign, Expired: expired, LastAttemptAt: row.last,
		})
	}
	return out
}

// releaseHooks simulates ReleaseHooks.
func (d *database) releaseHooks(drainer uuid.UUID, leases []store.DrainLease) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range leases {
		row := d.leases[leaseName(l.Hook)]
		if row == nil || row.fence != l.Fence {
			continue
		}
		row.attempted(l)
		row.sharers = slices.DeleteFunc(row.sharers, func(id uuid.UUID) bool { return id == drainer })
		if len(row.sharers) == 0 {
			row.expires = time.Time{}
		}
	}
}

// attemptedNow simulates QueueStore.NoteAttempts.
func (d *database) attemptedNow(leases []store.DrainLease) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range leases {
		if row := d.leases[leaseName(l.Hook)]; row != nil && row.fence == l.Fence {
			row.attempted(l)
		}
	}
}

// acquire, renew and release simulate leases other than those of hooks.
func (d *database) acquire(name, holder string, ttl time.Duration) (store.Lease, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	row := d.leases[name]
	switch {
	case row == nil:
		row = &leaseRow{}
		d.leases[name] = row
	case !row.expires.Before(now):
		return store.Lease{Name: name, Holder: holder}, false
	}
	row.holder, row.expires = holder, now.Add(ttl)
	row.fence++
	return store.Lease{Name: name, Holder: holder, Fence: row.fence}, true
}

func (d *database) leaseOf(l store.Lease) *leaseRow {
	if row := d.leases[l.Name]; row != nil && row.holder == l.Holder && row.fence == l.Fence {
		return row
	}
	return nil
}

func (d *database) renew(l store.Lease, ttl time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	row := d.leaseOf(l)
	if row != nil {
		row.expires = d.now().Add(ttl)
	}
	return row != nil
}

func (d *database) release(l store.Lease) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if row := d.leaseOf(l); row != nil {
		row.expires = time.Time{}
	}
}

// take simulates QueueStore.Take.
func (d *database) take(drainer uuid.UUID, wants []store.Want, places []store.Places) []*store.ParkedDelivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	alive := func(id uuid.UUID) bool { return d.drainers[id].After(now) }
	if !alive(drainer) {
		return nil
	}
	var out []*store.ParkedDelivery
	wants = slices.SortedFunc(slices.Values(wants), func(a, b store.Want) int { return compareIDs(a.Lease.Hook, b.Lease.Hook) })
	for _, w := range wants {
		row := d.leases[leaseName(w.Lease.Hook)]
		if row == nil || row.fence != w.Lease.Fence || !row.expires.After(now) {
			continue
		}
		entities, blocked := map[string]bool{}, false
		queue := d.queueOf(w.Lease.Hook)
		for _, p := range queue {
			if p.waiting && w.Ordering != webhook.OrderNone {
				entities[p.entity], blocked = true, true
			}
		}
		var next []*parked
		for _, r := range places {
			n := 0
			for _, p := range queue {
				bound := r.UpTo
				if r.Backfilled && w.BackfilledTo > 0 {
					bound = min(bound, w.BackfilledTo)
				}
				free := p.taken == uuid.Nil || p.taken != drainer && !alive(p.taken)
				kept := blocked && (w.Ordering != webhook.OrderEntity || p.entity != "" && entities[p.entity])
				if n == w.Limit || p.seq <= r.After || p.seq > bound || p.waiting || !free || kept || !r.Before.IsZero() && !p.key.PublishedAt.Before(r.Before) {
					continue
				}
				n++
				next = append(next, p)
			}
		}
		if w.Batch != nil {
			next = d.together(next, &w, now)
		}
		for _, p := range next {
			p.taken = drainer
			out = append(out, p.due())
		}
	}
	place := func(p *store.ParkedDelivery) int {
		return slices.IndexFunc(places, func(r store.Places) bool {
			return p.Event.Seq > r.After && p.Event.Seq <= r.UpTo && (r.Before.IsZero() || p.Event.PublishedAt.Before(r.Before))
		})
	}
	slices.SortStableFunc(out, func(a, b *store.ParkedDelivery) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Event.Seq, b.Event.Seq))
	})
	return out
}

// supersede simulates QueueStore.Supersede.
func (d *database) supersede(drainer uuid.UUID, lease store.DrainLease) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	row := d.leases[leaseName(lease.Hook)]
	if !d.drainers[drainer].After(now) || row == nil || row.fence != lease.Fence || !row.expires.After(now) {
		return 0
	}
	newest := map[string]uuid.UUID{}
	for _, p := range slices.Backward(d.queueOf(lease.Hook)) {
		if p.entity == "" || p.replay {
			continue
		}
		by, there := newest[p.entity]
		if !there {
			newest[p.entity] = p.key.ID
			continue
		}
		if p.taken != uuid.Nil && d.drainers[p.taken].After(now) {
			continue
		}
		old := d.deliveries[p.key]
		if !moving(old.state) || old.replay {
			continue
		}
		next := *old
		next.state, next.reason, next.nextAt, next.updated, next.supersededBy = webhook.Superseded, webhook.ReasonNone, time.Time{}, now, by
		d.put(old, next)
		d.ended(&next)
		n++
	}
	return n
}

// queueOf returns the hook's rows in the order of events.
func (d *database) queueOf(hook uuid.UUID) []*parked {
	var queue []*parked
	for _, p := range d.parked {
		if p.hook == hook {
			queue = append(queue, p)
		}
	}
	slices.SortFunc(queue, func(a, b *parked) int { return cmp.Or(cmp.Compare(a.seq, b.seq), compareKeys(a.key, b.key)) })
	return queue
}

func (p *parked) due() *store.ParkedDelivery {
	e := &webhook.Event{ID: p.eventID, Tenant: p.tenant, Type: p.typ, PublishedAt: p.key.PublishedAt, Seq: p.seq, Entity: p.entity}
	return &store.ParkedDelivery{HookID: p.hook, Batch: p.batch, Due: webhook.Due{
		ID: p.key.ID, Event: e, Attempts: p.attempts, ParkedAt: p.parkedAt, Replay: p.replay,
		Round: webhook.Round{Retries: p.round, PublishedAt: e.PublishedAt, StartedAt: p.roundAt},
	}}
}

// moving simulates QueueStore.FindMoving.
func (d *database) moving(hooks []uuid.UUID, places []store.Places) []uuid.UUID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(hooks), func(id uuid.UUID) bool {
		beyond, waits := false, false
		for _, p := range d.queueOf(id) {
			waits = waits || p.waiting
			for _, r := range places {
				beyond = beyond || !p.waiting && p.seq > r.UpTo && p.seq.Stream() == r.UpTo.Stream()
			}
		}
		return !beyond || waits
	})
}

// load simulates QueueStore.Load without its limits.
func (d *database) load(list []*store.ParkedDelivery) {
	for _, p := range list {
		e, err := d.event(p.Event.Tenant, p.Event.ID, p.Event.PublishedAt)
		p.Loaded, p.EventMissing, p.Size = true, err != nil, len(e.Data)
		if err == nil {
			p.Event.Time, p.Event.Data, p.Event.Context, p.Event.ConfigFilter = e.Time, e.Data, e.Context, e.ConfigFilter
		}
	}
}

// setBatch simulates QueueStore.SetBatch.
func (d *database) setBatch(drainer uuid.UUID, list []*store.ParkedDelivery, batches []uuid.UUID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := true
	for i, s := range list {
		p := d.parked[store.DeliveryKey{ID: s.ID, PublishedAt: s.Event.PublishedAt}]
		if p == nil || p.taken != drainer {
			all = false
			continue
		}
		p.batch = uuid.NullUUID{UUID: batches[i], Valid: true}
	}
	return all
}

// together returns those of the next rows that may be sent in one request now.
func (d *database) together(next []*parked, w *store.Want, now time.Time) []*parked {
	list := make([]store.BatchCandidate, len(next))
	for i, p := range next {
		list[i] = store.BatchCandidate{Entity: p.entity, ParkedAt: p.parkedAt, Batch: p.batch}
		for _, q := range d.parked {
			if p.batch.Valid && q.hook == p.hook && q.batch == p.batch {
				list[i].Together++
			}
		}
	}
	var ready []*parked
	for i, is := range store.ReadyForBatches(list, w.Batch, w.Ordering, now) {
		if is {
			ready = append(ready, next[i])
		}
	}
	return ready
}

// settle simulates QueueStore.Settle.
func (d *database) settle(drainer uuid.UUID, list []store.Drained) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range list {
		key := store.DeliveryKey{ID: s.ID, PublishedAt: s.Event.PublishedAt}
		p := d.parked[key]
		switch {
		case p == nil || p.taken != drainer || p.attempts != s.Attempts:
		case s.As == store.Gone:
			delete(d.parked, key)
		default:
			p.taken, p.waiting = uuid.Nil, s.As == store.KeepsBack
		}
	}
}
