package simulation_test

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// writeFacts simulates WriteFacts.
func (d *database) writeFacts(batches []*whispererv1.LedgerBatch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var first, later []*whispererv1.DeliveryFact
	for _, b := range batches {
		for _, f := range b.GetFacts() {
			if f.GetFirst() {
				first = append(first, f)
			} else {
				later = append(later, f)
			}
		}
		d.rejected += len(b.GetRejected())
	}
	if d.areNew(first) {
		for _, f := range first {
			row := rowOf(f)
			d.put(nil, row)
			d.attempt(f)
			d.tellParked(f)
		}
	} else {
		later = append(first, later...)
	}
	d.merge(later)
	for _, b := range batches {
		for _, s := range b.GetStale() {
			d.reopen(s)
		}
	}
}

// reopen simulates reopenGaps.
func (d *database) reopen(s *whispererv1.StaleFanout) {
	snapshot, err := strconv.Atoi(s.GetSnapshot())
	if err != nil {
		panic(err)
	}
	for _, g := range d.gaps {
		if g.tenant != s.GetTenant() || g.xid <= snapshot {
			continue
		}
		from, open := nanos(s.GetSince()), g.from
		if open.IsZero() {
			open = g.since
		}
		if !g.done && open.Before(from) {
			from = open
		}
		if from.Before(g.since) {
			from = g.since
		}
		g.done, g.opened, g.from = false, d.now(), from
	}
}

func (d *database) areNew(list []*whispererv1.DeliveryFact) bool {
	there := map[store.DeliveryKey]bool{}
	for _, f := range list {
		key := rowOf(f).key
		if there[key] || d.deliveries[key] != nil {
			return false
		}
		there[key] = true
	}
	return true
}

func (d *database) tellParked(f *whispererv1.DeliveryFact) {
	if f.GetState() == string(webhook.Parked) {
		d.notify("parked", uuid.UUID(f.GetHookId()))
	}
}

func rowOf(f *whispererv1.DeliveryFact) delivery {
	return delivery{
		key:  store.DeliveryKey{ID: uuid.UUID(f.GetDeliveryId()), PublishedAt: nanos(f.GetPublishedAt())},
		hook: uuid.UUID(f.GetHookId()), tenant: f.GetTenant(), eventID: f.GetEventId(), typ: f.GetEventType(), entity: f.GetEntity(),
		seq: webhook.Sequence(f.GetEventSeq()), state: webhook.DeliveryState(f.GetState()), reason: webhook.Reason(f.GetReason()),
		attempts: int(f.GetAttempts()), round: int(f.GetRoundAttempts()), replay: f.GetReplay(), nextAt: nanos(f.GetNextAt()),
		firstAt: nanos(f.GetAttempt().GetStartedAt()), roundAt: nanos(f.GetRoundStartedAt()), updated: nanos(f.GetAt()),
	}
}

// attempt simulates mergeAttempts.
func (d *database) attempt(f *whispererv1.DeliveryFact) {
	a := f.GetAttempt()
	if a == nil {
		return
	}
	key := attemptKey{uuid.UUID(f.GetDeliveryId()), nanos(f.GetPublishedAt()), a.GetNumber()}
	if old, there := d.attempts[key]; !there || old == webhook.Unknown {
		d.attempts[key] = webhook.AttemptOutcome(a.GetOutcome())
	}
}

// merge simulates mergeDeliveries.
func (d *database) merge(list []*whispererv1.DeliveryFact) {
	rows := map[store.DeliveryKey][]delivery{}
	for _, f := range list {
		row := rowOf(f)
		rows[row.key] = append(rows[row.key], row)
		d.attempt(f)
		defer d.tellParked(f)
	}
	for _, key := range slices.SortedFunc(maps.Keys(rows), compareKeys) {
		said := rows[key]
		slices.SortStableFunc(said, func(a, b delivery) int {
			return cmp.Or(order(b.replay, a.replay), order(b.state == webhook.Delivered, a.state == webhook.Delivered),
				cmp.Compare(b.attempts, a.attempts), cmp.Compare(stage(b.state), stage(a.state)), b.updated.Compare(a.updated))
		})
		row := said[0]
		for _, other := range said[1:] {
			row.attempts, row.firstAt = max(row.attempts, other.attempts), least(row.firstAt, other.firstAt)
		}
		old := d.deliveries[key]
		if old == nil {
			d.put(nil, row)
			continue
		}
		next := *old
		if newer(old, &row) {
			next.state, next.reason, next.nextAt, next.round, next.roundAt, next.updated, next.replay =
				row.state, row.reason, row.nextAt, row.round, row.roundAt, row.updated, row.replay
		}
		next.attempts, next.firstAt = max(old.attempts, row.attempts), least(old.firstAt, row.firstAt)
		d.put(old, next)
	}
}

func newer(old, row *delivery) bool {
	later := cmp.Or(cmp.Compare(row.attempts, old.attempts), row.updated.Compare(old.updated)) > 0
	switch {
	case old.state == webhook.Delivered:
		return row.replay && row.attempts > old.attempts
	case row.state == webhook.Delivered:
		return true
	case old.state == webhook.Dead || old.state == webhook.Cancelled || old.state == webhook.Superseded:
		return row.replay && later
	}
	return cmp.Or(cmp.Compare(row.attempts, old.attempts), order(row.replay, old.replay), cmp.Compare(stage(row.state), stage(old.state)), row.updated.Compare(old.updated)) > 0
}

// stage returns the order of states that follow each other without an attempt in between.
func stage(s webhook.DeliveryState) int {
	switch s {
	case webhook.Waiting:
		return 0
	case webhook.Parked:
		return 1
	case webhook.Delivered, webhook.Dead, webhook.Cancelled, webhook.Superseded:
	}
	return 2
}

func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// least simulates LEAST, which ignores nulls.
func least(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// writeEvents simulates WriteEvents.
func (d *database) writeEvents(events []webhook.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sorted := slices.SortedFunc(slices.Values(events), func(a, b webhook.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	said := map[store.EventKey]bool{}
	for _, e := range sorted {
		key := store.EventKey{Tenant: e.Tenant, ID: e.ID}
		there := said[key]
		said[key] = true
		for _, old := range d.events[key] {
			there = there || old.PublishedAt.Equal(e.PublishedAt) ||
				old.Seq < e.Seq && old.PublishedAt.After(e.PublishedAt.Add(-store.SameEvent)) && !old.PublishedAt.After(e.PublishedAt)
		}
		if !there {
			d.events[key] = append(d.events[key], e)
		}
	}
}
