package simulation_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// database is a simulated PostgreSQL with the statements that workers use. Each statement is one atomic step.
// TestDatabaseIsLikePostgres compares it with a real one.
type database struct {
	mu sync.Mutex
	// ahead is how far the database's clock is ahead of the workers'.
	ahead time.Duration

	hooks      map[uuid.UUID]*webhook.Hook
	events     map[store.EventKey][]webhook.Event
	deliveries map[store.DeliveryKey]*delivery
	attempts   map[attemptKey]webhook.AttemptOutcome
	parked     map[store.DeliveryKey]*parked // each delivery belongs to one hook and one event
	backlogs   map[uuid.UUID]bool
	leases     map[string]*leaseRow
	drainers   map[uuid.UUID]time.Time // expiry of each drainer
	rejected   int

	// xid is the number of transactions so far. changes holds the last transaction of each hook. gaps and workers are tables as
	// in the migrations.
	xid     int
	changes map[uuid.UUID]int
	gaps    []*gap
	workers map[string]*presence
	known   map[*store.Gaps][]*gap

	ids uint64
	// notify is called for each notification. ended is called for each delivery that ended because of its hook.
	notify func(channel string, hook uuid.UUID)
	ended  func(d *delivery)
}

// delivery is a row of deliveries.
type delivery struct {
	key                          store.DeliveryKey
	hook                         uuid.UUID
	tenant, eventID, typ, entity string
	seq                          webhook.Sequence
	state                        webhook.DeliveryState
	reason                       webhook.Reason
	attempts, round              int
	replay                       bool
	nextAt, firstAt              time.Time
	roundAt, updated             time.Time
	supersededBy                 uuid.UUID
}

type attemptKey struct {
	id     uuid.UUID
	at     time.Time
	number uint32
}

// parked is a row of the parked queue.
type parked struct {
	delivery

	parkedAt time.Time
	waiting  bool
	taken    uuid.UUID
	batch    uuid.NullUUID
}

type leaseRow struct {
	holder  string
	fence   int64
	expires time.Time
	queue   int64 // queue_fence; 0 for null
	foreign bool
	sharers []uuid.UUID
	last    time.Time
}

type gap struct {
	hook          uuid.UUID
	xid           int
	tenant        string
	since, opened time.Time
	from          time.Time // look_from
	done          bool
	asked         time.Time
}

type presence struct {
	snapshot int
	expires  time.Time
}

func newDatabase() *database {
	return &database{
		hooks: map[uuid.UUID]*webhook.Hook{}, events: map[store.EventKey][]webhook.Event{}, deliveries: map[store.DeliveryKey]*delivery{},
		attempts: map[attemptKey]webhook.AttemptOutcome{}, parked: map[store.DeliveryKey]*parked{}, backlogs: map[uuid.UUID]bool{},
		leases: map[string]*leaseRow{}, drainers: map[uuid.UUID]time.Time{}, changes: map[uuid.UUID]int{}, workers: map[string]*presence{},
		known: map[*store.Gaps][]*gap{}, notify: func(string, uuid.UUID) {}, ended: func(*delivery) {},
	}
}

func (d *database) now() time.Time { return micro(time.Now().Add(d.ahead)) }

// micro rounds a time as PostgreSQL does.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func nanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return micro(time.Unix(0, n))
}

func (d *database) uuid() (id uuid.UUID) {
	d.ids++
	binary.BigEndian.PutUint64(id[8:], d.ids)
	return id
}

// ordered simulates whisperer_ordered.
func (d *database) ordered(hook uuid.UUID) bool {
	h := d.hooks[hook]
	return h != nil && (h.Config.Ordering != webhook.OrderNone || h.Config.Batch != nil)
}

// put writes a row of deliveries and runs its triggers.
func (d *database) put(old *delivery, row delivery) {
	d.deliveries[row.key] = &row
	before := delivery{}
	if old != nil {
		before = *old
	}
	if moving(row.state) || old != nil && moving(before.state) {
		d.park(old != nil, &before, &row)
	}
}

func moving(s webhook.DeliveryState) bool { return s == webhook.Parked || s == webhook.Waiting }

// park simulates whisperer_park.
func (d *database) park(update bool, old, row *delivery) {
	if update && *old == *row {
		return
	}
	waits := row.state == webhook.Waiting && d.ordered(row.hook)
	there := d.parked[row.key]
	switch {
	case row.state == webhook.Parked && update && old.state == webhook.Parked && row.attempts <= old.attempts:
		if there != nil {
			there.reason, there.round, there.roundAt, there.parkedAt, there.replay = row.reason, row.round, row.roundAt, row.updated, row.replay
			if row.reason == webhook.ReasonReplay {
				there.batch = uuid.NullUUID{}
			}
		}
	case row.state == webhook.Parked || waits:
		p := &parked{delivery: *row, parkedAt: row.updated, waiting: waits}
		if there != nil && row.reason != webhook.ReasonReplay {
			p.batch = there.batch
		}
		d.parked[row.key] = p
	case update:
		delete(d.parked, row.key)
		if there != nil && there.waiting {
			d.notify("backlogs", row.hook)
		}
	}
}

// setHook writes a hook, or deletes it if h is nil, and runs the triggers.
func (d *database) setHook(id uuid.UUID, h *webhook.Hook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writeHook(id, h)
}

func (d *database) writeHook(id uuid.UUID, h *webhook.Hook) {
	old := d.hooks[id]
	d.xid++
	d.changes[id] = d.xid
	defer d.notify("hooks", id)
	if h == nil {
		delete(d.hooks, id)
		d.backlogs[id] = true
		d.notify("backlogs", id)
		return
	}
	now := d.now()
	stored := *h
	stored.ModifiedAt = now
	if old == nil {
		stored.CreatedAt, stored.Version = now, 1
	} else {
		stored.CreatedAt, stored.Version = old.CreatedAt, old.Version+1
	}
	d.hooks[id] = &stored
	if stored.Status != webhook.Disabled && (old == nil || old.Status == webhook.Disabled || !slices.Equal(old.EventTypes, stored.EventTypes) ||
		!bytes.Equal(old.Config.Raw, stored.Config.Raw)) {
		d.gaps = append(d.gaps, &gap{hook: id, xid: d.xid, tenant: stored.Tenant, since: now, opened: now})
	}
	if old != nil && d.ordered(id) && old.Config.Ordering == webhook.OrderNone && old.Config.Batch == nil { // whisperer_order
		for key, row := range d.deliveries {
			if row.hook == id && row.state == webhook.Waiting && d.parked[key] == nil {
				d.parked[key] = &parked{delivery: *row, parkedAt: row.updated, waiting: true}
			}
		}
	}
}

// poll simulates the poll of a worker's watch: it returns what has changed since the snapshot, and registers the worker as
// present with that snapshot.
func (d *database) poll(worker string, snapshot int) (hooks map[uuid.UUID]*webhook.Hook, next int, gaps bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if p := d.workers[worker]; p == nil || p.expires.Before(now) { // no change waits for this worker
		for _, g := range d.gaps {
			if g.xid > snapshot {
				g.done, g.opened, g.from = false, now, time.Time{}
			}
		}
	}
	d.workers[worker] = &presence{snapshot, now.Add(2 * store.Stale)}
	for _, g := range d.gaps {
		gaps = gaps || !g.done
	}
	hooks, next = d.since(snapshot)
	return hooks, next, gaps
}

// changed simulates the read of a worker that is not registered yet.
func (d *database) changed(snapshot int) (hooks map[uuid.UUID]*webhook.Hook, next int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since(snapshot)
}

func (d *database) since(snapshot int) (hooks map[uuid.UUID]*webhook.Hook, next int) {
	hooks = map[uuid.UUID]*webhook.Hook{}
	for id, xid := range d.changes {
		if xid > snapshot {
			hooks[id] = nil
			if h := d.hooks[id]; h != nil {
				copied := *h
				hooks[id] = &copied
			}
		}
	}
	return hooks, d.xid
}

func (d *database) leave(worker string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.workers, worker)
}

// knownGaps simulates KnownGaps.
func (d *database) knownGaps(others []string) *store.Gaps {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	out := &store.Gaps{Tenant: tenant, Since: map[uuid.UUID]time.Time{}}
	for _, g := range d.gaps {
		known := !g.done && !slices.Contains(others, g.tenant)
		for _, w := range d.workers {
			known = known && (!w.expires.After(now) || w.snapshot >= g.xid)
		}
		if !known {
			continue
		}
		g.asked = now
		d.known[out] = append(d.known[out], g)
		from := g.since
		if !g.from.IsZero() {
			from = g.from
		}
		from = from.Add(-store.ClockTolerance)
		if before, there := out.Since[g.hook]; !there || from.Before(before) {
			out.Since[g.hook], out.Since[webhook.CallbackHookID(g.hook)] = from, from
		}
	}
	if len(out.Since) == 0 {
		return nil
	}
	return out
}

// gapHooks simulates GapHooks.
func (d *database) gapHooks(g *store.Gaps) (hooks []*webhook.Hook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range slices.SortedFunc(maps.Keys(g.Since), compareIDs) {
		if h := d.hooks[id]; h != nil && h.Status != webhook.Disabled {
			copied := *h
			hooks = append(hooks, &copied)
		}
	}
	return hooks
}

// gapEvents simulates GapEvents, with most as the number of events that one call returns.
func (d *database) gapEvents(g *store.Gaps, after store.Place, upTo []webhook.Sequence, most int) (list []webhook.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	begin := slices.MinFunc(slices.Collect(maps.Values(g.Since)), time.Time.Compare)
	for _, e := range d.eventsInOrder() {
		handed := slices.ContainsFunc(upTo, func(u webhook.Sequence) bool { return u.Stream() == e.Seq.Stream() && e.Seq <= u })
		beyond := cmp.Or(e.PublishedAt.Compare(after.At), cmp.Compare(e.Seq, after.Seq)) > 0
		if e.Tenant == g.Tenant && handed && beyond && !e.PublishedAt.Before(begin) && len(list) < most {
			list = append(list, e)
		}
	}
	return list
}

// parkMissed simulates ParkMissed.
func (d *database) parkMissed(missed []store.Missed) (parked int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range missed {
		e := m.Event
		key := store.DeliveryKey{ID: webhook.DeliveryID(m.Hook, e.ID), PublishedAt: e.PublishedAt}
		if d.deliveries[key] != nil {
			continue
		}
		d.put(nil, delivery{
			key: key, hook: m.Hook, tenant: e.Tenant, eventID: e.ID, typ: e.Type, entity: e.Entity, seq: e.Seq, state: webhook.Parked,
			reason: webhook.ReasonHookUnknown, updated: d.now(),
		})
		d.backlogs[m.Hook] = true
		d.notify("backlogs", m.Hook)
		parked++
	}
	return parked
}

// closeGaps simulates CloseGaps.
func (d *database) closeGaps(g *store.Gaps) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.known[g] {
		x.done = x.done || !x.opened.After(x.asked)
	}
	delete(d.known, g)
}

func (d *database) eventsInOrder() []webhook.Event {
	var list []webhook.Event
	for _, of := range d.events {
		list = append(list, of...)
	}
	slices.SortFunc(list, func(a, b webhook.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return list
}

// seen simulates SeenEvents.
func (d *database) seen(events []store.Published) map[store.EventKey]store.SeenEvent {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[store.EventKey]store.SeenEvent{}
	for _, p := range events {
		for _, e := range d.events[p.EventKey] {
			if !e.PublishedAt.Before(p.At) || !e.PublishedAt.After(p.At.Add(-store.SameEvent)) {
				continue
			}
			if before, there := out[p.EventKey]; !there || e.Seq < before.Seq {
				digest := e.Digest()
				out[p.EventKey] = store.SeenEvent{Seq: e.Seq, Digest: digest[:]}
			}
		}
	}
	return out
}

// eventIDs simulates EventIDs without its limit.
func (d *database) eventIDs(since time.Time) []store.EventKey {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []store.EventKey
	for key, of := range d.events {
		if slices.ContainsFunc(of, func(e webhook.Event) bool { return e.PublishedAt.After(since) }) {
			list = append(list, key)
		}
	}
	return list
}

// event simulates HistoryStore.GetEvent.
func (d *database) event(tenant, id string, publishedAt time.Time) (webhook.Event, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events[store.EventKey{Tenant: tenant, ID: id}] {
		if e.PublishedAt.Equal(publishedAt) {
			return e, nil
		}
	}
	return webhook.Event{}, webhook.ErrNotFound
}

// interrupted simulates Interrupted.
func (d *database) interrupted(events []store.Published) (out []store.InterruptedDelivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, row := range d.deliveries {
		of := store.Published{EventKey: store.EventKey{Tenant: row.tenant, ID: row.eventID}, At: key.PublishedAt}
		if slices.Contains(events, of) && row.state == webhook.Waiting && row.nextAt.IsZero() {
			out = append(out, store.InterruptedDelivery{DeliveryKey: key, Hook: row.hook, Attempts: row.attempts})
		}
	}
	slices.SortFunc(out, func(a, b store.InterruptedDelivery) int { return compareKeys(a.DeliveryKey, b.DeliveryKey) })
	return out
}

// recorded simulates Recorded.
func (d *database) recorded(keys []store.DeliveryKey) map[uuid.UUID]store.Recorded {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[uuid.UUID]store.Recorded{}
	for _, k := range keys {
		if row := d.deliveries[k]; row != nil {
			out[k.ID] = store.Recorded{State: row.state, Attempts: row.attempts, NextAt: row.nextAt}
		}
	}
	return out
}

// end simulates EndDeliveries.
func (d *database) end(hook uuid.UUID, limit int) (out store.Ended) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.hooks[hook]
	state := webhook.Cancelled
	switch {
	case h == nil:
		out.Reason = webhook.ReasonHookDeleted
	case h.Status == webhook.Disabled:
		out.Reason, state = webhook.ReasonHookDisabled, webhook.Dead
	default:
		return out
	}
	for _, key := range slices.SortedFunc(maps.Keys(d.deliveries), compareKeys) {
		row := d.deliveries[key]
		if row.hook != hook || int(out.N) >= limit || row.state != webhook.Parked && (h != nil || row.state != webhook.Waiting) {
			continue
		}
		next := *row
		next.state, next.reason, next.nextAt, next.updated = state, out.Reason, time.Time{}, d.now()
		d.put(row, next)
		d.ended(&next)
		out.N++
	}
	if out.N == 0 {
		for key, p := range d.parked {
			if p.hook == hook && (!p.waiting || h == nil) {
				delete(d.parked, key)
			}
		}
	}
	return out
}

func compareKeys(a, b store.DeliveryKey) int {
	return cmp.Or(bytes.Compare(a.ID[:], b.ID[:]), a.PublishedAt.Compare(b.PublishedAt))
}

// giveUp simulates GiveUp.
func (d *database) giveUp(at webhook.Sequence, publishedAt time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range d.deliveries {
		if row.state == webhook.Waiting && row.nextAt.IsZero() && row.seq == at && row.key.PublishedAt.Equal(publishedAt) {
			next := *row
			next.state, next.reason, next.attempts, next.updated = webhook.Dead, webhook.ReasonPoison, row.attempts+1, d.now()
			d.put(row, next)
		}
	}
}

// disable simulates HookStore.Disable.
func (d *database) disable(id uuid.UUID, version int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.hooks[id]
	if h == nil || h.Version != version || h.Status == webhook.Disabled {
		return false
	}
	next := *h
	next.Status = webhook.Disabled
	d.writeHook(id, &next)
	return true
}
