package drainer

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// settleTime is the interval between queries of how far events are settled, while an ordered hook has deliveries of
	// unsettled ones.
	settleTime = 25 * time.Millisecond
	// stored is the age at which an event certainly has a sequence below the last one of its stream, however the clocks differ.
	stored = time.Minute
)

// everywhere is the range of events for hooks without an order.
var everywhere = []store.Places{{UpTo: math.MaxInt64}}

// bounds is the range of events whose deliveries an ordered hook may take. An event beyond it may come after one that is still
// in flight and that will be parked later. All other parked deliveries are already in the queue, and remain valid.
type bounds struct {
	places []store.Places
	asked  time.Time // the ledger has all facts published before this time
}

// bound returns the current bounds of a partition, and those of the given tenants for whose hooks they are valid.
//
// There is no order between the events of the order management system and our own.
func (d *Drainer) bound(ctx context.Context, partition int, tenants []string) (b *bounds, of []string, err error) {
	b = &bounds{asked: time.Now()}
	for _, s := range webhook.Streams() {
		lag, err := d.Bus.LagOf(ctx, bus.FanoutOf(s), partition)
		if err != nil {
			return nil, nil, err
		}
		begin, end := webhook.SequenceIn(s, 0), webhook.SequenceIn(s+1, 0)-1
		// an event beyond the last sequence is either brand-new, or from a stream that was lost and re-created, so that it is
		// not in flight any more
		b.places = append(b.places,
			store.Places{After: webhook.SequenceIn(s, lag.Last), UpTo: end, Before: d.Bus.Time(time.Now()).Add(-stored)},
			store.Places{After: begin, UpTo: webhook.SequenceIn(s, lag.Settled), Backfilled: s == webhook.OMS})
	}
	for _, tenant := range tenants { // a postponed event counts as settled but may come first: ask after reading the lag
		putOff, err := d.Bus.Retries().HasPutOff(ctx, tenant)
		if err != nil {
			return nil, nil, err
		}
		if !putOff {
			of = append(of, tenant)
		}
	}
	// wait for the ledger: a message there for which no worker reports progress is redelivered to another worker within seconds
	return b, of, d.History.CatchUp(ctx)
}

// outdate makes a tenant's ordered hooks wait for new bounds, and so for the ledger. The ledger may lack deliveries of a worker
// that died or was cut off, which would otherwise be sent again.
func (r *round) outdate(tenant string) {
	delete(r.bounds, tenant)
	r.outdated[tenant] = time.Now()
}

// ask finds bounds for the tenants in asked, once per settleTime.
func (r *round) ask() {
	if r.asking || len(r.asked) == 0 {
		return
	}
	r.asking = true
	partitions := map[int][]string{}
	for _, tenant := range slices.Sorted(maps.Keys(r.asked)) {
		n := r.Bus.Partition(tenant)
		partitions[n] = append(partitions[n], tenant)
	}
	clear(r.asked)
	r.parts.Go(func() {
		for n, tenants := range partitions {
			b, of, err := r.bound(r.ctx, n, tenants)
			r.call(func() { r.know(tenants, b, of, err) })
		}
		daemon.Sleep(r.ctx, settleTime)
		r.call(func() { r.asking = false })
	})
}

// know stores the bounds that were found, for those of the tenants for which they are valid.
func (r *round) know(tenants []string, b *bounds, of []string, err error) {
	if err != nil { // the previous bounds are still valid
		r.told.Tell("settled event position is unknown: ordered hooks wait", err)
		for _, tenant := range tenants {
			r.asked[tenant] = true
		}
		return
	}
	for _, tenant := range of {
		if b.asked.Before(r.outdated[tenant]) {
			r.asked[tenant] = true
		} else {
			r.bounds[tenant] = b
		}
	}
	for _, x := range r.held {
		x.more.Store(x.more.Load() || x.moving)
		x.moving = false
	}
}

func (r *round) takeInOrder(b *bounds, wants []store.Want) error {
	hooks := make([]uuid.UUID, len(wants))
	for i, w := range wants {
		hooks[i] = w.Lease.Hook
	}
	running, err := r.Store.FindBackfills(r.ctx, hooks)
	if err != nil {
		return err
	}
	for i := range wants { // a hook with a backfill gets only the events that the backfill has reached
		if upTo, there := running[hooks[i]]; there {
			wants[i].BackfilledTo = max(webhook.Sequence(upTo), 1) // 0 is no bound, and no event has it
		}
	}
	if err := r.takePage(wants, b.places); err != nil {
		return err
	}
	// deliveries beyond the bounds can be taken once events in flight are settled
	dry := slices.DeleteFunc(hooks, func(id uuid.UUID) bool { _, backfill := running[id]; return r.held[id].more.Load() || backfill })
	if len(dry) == 0 {
		return nil
	}
	// nothing arrives in the places of lost streams
	settled := slices.DeleteFunc(slices.Clone(b.places), func(p store.Places) bool { return !p.Before.IsZero() })
	moving, err := r.Store.FindMoving(r.ctx, dry, settled)
	for _, id := range moving {
		r.held[id].moving = true
		r.asked[r.held[id].hook.Tenant] = true
	}
	return err
}
