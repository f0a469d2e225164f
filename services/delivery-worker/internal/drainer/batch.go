package drainer

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/deliver"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// byBatch moves deliveries that were sent together next to each other, and before all others, because everything that has to
// follow them comes after them. Batches are ordered by their first deliveries.
func byBatch(list []work) []work {
	first := map[uuid.NullUUID]int{{}: len(list)}
	for i, w := range list {
		if _, there := first[w.Batch]; !there {
			first[w.Batch] = i
		}
	}
	slices.SortStableFunc(list, func(a, b work) int { return first[a.Batch] - first[b.Batch] })
	return list
}

// offer schedules the next attempt of a delivery, in a batch if the hook gets batches.
func (x *held) offer(w work) {
	if x.hook.Config.Batch == nil {
		x.put(w)
		return
	}
	if !x.fits(w) {
		x.finishBatch()
	}
	x.forming = append(x.forming, w)
}

// fits reports whether a delivery may be added to the batch that is being formed.
func (x *held) fits(w work) bool {
	size := w.Size
	for _, other := range x.forming {
		if other.Batch != w.Batch || other.Round.Retries >= x.alone {
			return false
		}
		size += other.Size
	}
	return len(x.forming) < x.hook.Config.Batch.MaxEvents && size <= webhook.MaxBatchData && w.Round.Retries < x.alone
}

// finishBatch schedules the attempt of the batch that was formed.
func (x *held) finishBatch() {
	if len(x.forming) > 0 {
		x.put(x.forming...)
		x.forming = nil
	}
}

// tryBatch makes the next attempt of a batch, if the hook can take it.
func (x *held) tryBatch(ln *line, list []work) {
	defer x.tried(len(list))
	there := make([]work, 0, len(list))
	for _, w := range list {
		if x.complete(w) {
			there = append(there, w)
		}
	}
	switch {
	case len(there) == 0:
		return
	case x.stopped.Load() || ln.blocked:
		for _, w := range there {
			x.settle(w, store.Back)
		}
		return
	}
	over, ok := x.turn(false)
	defer over()
	if !ok || !x.join(there, len(there)) {
		x.giveBack(there...)
		return
	}
	x.attemptBatch(ln, there)
}

// join stores in the queue which deliveries are sent together, at most most per batch. If this worker dies, or the attempt
// fails, the worker that retries them then sends the same batch.
func (x *held) join(list []work, most int) bool {
	batches, known := make([]uuid.UUID, 0, len(list)), true
	for part := range slices.Chunk(list, most) {
		ids := make([]uuid.UUID, len(part))
		for i, w := range part {
			ids[i] = w.ID
		}
		id := webhook.BatchID(x.hook.ID, ids)
		for _, w := range part {
			batches, known = append(batches, id), known && w.Batch.Valid && w.Batch.UUID == id
		}
	}
	if known {
		return true
	}
	ok, err := daemon.Within(x.life.Context(), lease.Margin, func(ctx context.Context) (bool, error) { return x.Store.SetBatch(ctx, x.id, list, batches) })
	if err != nil && x.ctx.Err() == nil {
		x.Log.Warn("failed to remember a batch", zap.Stringer("hook_id", x.hook.ID), zap.Int("deliveries", len(list)), zap.Error(err))
	}
	return ok && err == nil
}

func (x *held) attemptBatch(ln *line, list []work) {
	x.begin()
	b := &deliver.Batch{May: x.may, Split: func(most int) bool { return x.join(list, most) }}
	for _, w := range list {
		b.Dues, b.Bodies = append(b.Dues, w.Due), append(b.Bodies, envelope.NewBodies(w.Event))
	}
	as, failed, half := make([]store.DrainedAs, len(list)), make([]error, len(list)), make([]atomic.Bool, len(list))
	both := func(i int) { // calls settle once the outcome is known, and is durable or failed to become so
		if half[i].Swap(true) {
			if failed[i] != nil {
				as[i] = store.Back
			}
			x.settle(list[i], as[i])
		}
	}
	b.Settled = func(i int, err error) {
		failed[i] = err
		both(i)
	}
	states := x.Deliverer.DrainBatch(b)
	if states == nil { // refused or abandoned: the deliveries stay parked
		x.giveBack(list...)
		return
	}
	for i, state := range states {
		as[i] = store.Gone
		if state == webhook.Waiting || state == webhook.Parked { // the delivery keeps its batch in the queue
			as[i] = store.KeepsBack
			ln.blocked = x.ordered()
		}
		both(i)
	}
}
