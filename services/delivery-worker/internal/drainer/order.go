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
	// settleTime is how soon it is asked again how far events are settled, when an ordered hook has some that are not.
	settleTime = 25 * time.Millisecond
	// stored is how old an event is at least that is surely below the last sequence of the stream it is in, whatever the clocks.
	stored = time.Minute
)

// everywhere is where hooks without an order get their deliveries from.
var everywhere = []store.Places{{UpTo: math.MaxInt64}}

// bounds are up to where ordered hooks may have their deliveries: an event that is still in somebody's hands may come before
// those that are parked already. What was parked of all others is in the queue, and stays true.
type bounds struct {
	places []store.Places
	asked  time.Time // the ledger has all that was told before
}

// bound finds the bounds of a partition that are true now, and the tenants of those given whose hooks they are for.
//
// Between what the order management system tells and what we tell ourselves there is no order.
func (d *Drainer) bound(ctx context.Context, partition int, tenants []string) (b *bounds, of []string, err error) {
	b = &bounds{asked: time.Now()}
	for _, s := range webhook.Streams() {
		lag, err := d.Bus.LagOf(ctx, bus.FanoutOf(s), partition)
		if err != nil {
			return nil, nil, err
		}
		begin, end := webhook.SequenceIn(s, 0), webhook.SequenceIn(s+1, 0)-1
		// beyond the last one is an event of just now, or of a stream that was lost and made anew: nobody has any of those in hand
		b.places = append(b.places,
			store.Places{After: webhook.SequenceIn(s, lag.Last), UpTo: end, Before: d.Bus.Time(time.Now()).Add(-stored)},
			store.Places{After: begin, UpTo: webhook.SequenceIn(s, lag.Settled), Backfilled: s == webhook.OMS})
	}
	for _, tenant := range tenants { // what was put off is settled, and may come before: this is asked after the lag
		putOff, err := d.Bus.Retries().HasPutOff(ctx, tenant)
		if err != nil {
			return nil, nil, err
		}
		if !putOff {
			of = append(of, tenant)
		}
	}
	// it was parked by way of the ledger: a message there that a worker does not speak up for comes to another one in seconds
	return b, of, d.History.CatchUp(ctx)
}

// outdate has a tenant's ordered hooks wait for new bounds, and so for the ledger: it may lack what was sent by a worker that died or
// was cut off, and that would be sent again.
func (r *round) outdate(tenant string) {
	delete(r.bounds, tenant)
	r.outdated[tenant] = time.Now()
}

// ask has bounds found for the tenants that have been asked for, once in settleTime.
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

// know takes the bounds in that were found for some of the tenants.
func (r *round) know(tenants []string, b *bounds, of []string, err error) {
	if err != nil { // what was settled before still is
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
	for i := range wants { // who is given what is from before it existed gets that as far as it has come
		if upTo, there := running[hooks[i]]; there {
			wants[i].BackfilledTo = max(webhook.Sequence(upTo), 1) // 0 is no bound, and no event has it
		}
	}
	if err := r.takePage(wants, b.places); err != nil {
		return err
	}
	// what is beyond comes when events are settled that are in somebody's hands
	dry := slices.DeleteFunc(hooks, func(id uuid.UUID) bool { _, backfill := running[id]; return r.held[id].more.Load() || backfill })
	if len(dry) == 0 {
		return nil
	}
	// without the places of lost streams: nothing comes there
	settled := slices.DeleteFunc(slices.Clone(b.places), func(p store.Places) bool { return !p.Before.IsZero() })
	moving, err := r.Store.FindMoving(r.ctx, dry, settled)
	for _, id := range moving {
		r.held[id].moving = true
		r.asked[r.held[id].hook.Tenant] = true
	}
	return err
}
