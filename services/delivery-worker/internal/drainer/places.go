package drainer

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
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
type bounds struct{ places []store.Places }

// bound finds the bounds of a partition that are true now, and the tenants of those given whose hooks they are for.
//
// Between what the order management system tells and what we tell ourselves there is no order.
func (d *Drainer) bound(ctx context.Context, partition int, tenants []string) (b *bounds, of []string, err error) {
	b = &bounds{}
	for _, s := range webhook.Streams() {
		lag, err := d.Stream.LagOf(ctx, bus.FanoutOf(s), partition)
		if err != nil {
			return nil, nil, err
		}
		begin, end := webhook.SequenceIn(s, 0), webhook.SequenceIn(s+1, 0)-1
		// beyond the last one is an event of just now, or of a stream that was lost and made anew: nobody has any of those in hand
		b.places = append(b.places,
			store.Places{After: webhook.SequenceIn(s, lag.Last), UpTo: end, Before: d.Stream.Time(time.Now()).Add(-stored)},
			store.Places{After: begin, UpTo: webhook.SequenceIn(s, lag.Settled), Backfilled: s == webhook.OMS})
	}
	for _, tenant := range tenants { // what was put off is settled, and may come before: this is asked after the lag
		putOff, err := d.Stream.HasPutOff(ctx, tenant)
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

// asking are the bounds of tenants that have ordered hooks, and the tenants of those that want to know of new ones.
type asking struct {
	mu      sync.Mutex
	known   map[string]*bounds
	tenants map[string]bool
	come    chan struct{}
}

func newAsking() *asking {
	return &asking{known: map[string]*bounds{}, tenants: map[string]bool{}, come: make(chan struct{}, 1)}
}

// of returns the bounds of a tenant; nil where they are not known yet.
func (a *asking) of(tenant string) *bounds {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known[tenant]
}

func (a *asking) tell(b *bounds, tenants []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, tenant := range tenants {
		a.known[tenant] = b
	}
}

func (a *asking) ask(tenant string) {
	a.mu.Lock()
	a.tenants[tenant] = true
	a.mu.Unlock()
	signal(a.come)
}

func (a *asking) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.Collect(maps.Keys(a.tenants))
	clear(a.tenants)
	return list
}

// follow finds bounds for as long as there are hooks that want to know.
func (r *round) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.asked.come:
		}
		partitions := map[int][]string{}
		for _, tenant := range r.asked.all() {
			n := r.Stream.Partition(tenant)
			partitions[n] = append(partitions[n], tenant)
		}
		for n, tenants := range partitions {
			b, of, err := r.bound(ctx, n, tenants)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil: // what was settled before still is
				r.Log.Warn("settled event position is unknown: ordered hooks wait", zap.Error(err))
				for _, tenant := range tenants {
					r.asked.ask(tenant)
				}
			default:
				r.asked.tell(b, of)
				r.moved.Store(true)
				r.wakeUp()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleTime):
		}
	}
}

// settledPlaces returns the places up to which events are settled, without those of lost streams. Beyond them more may come.
func settledPlaces(list []store.Places) []store.Places {
	var out []store.Places
	for _, p := range list {
		if p.Before.IsZero() {
			out = append(out, p)
		}
	}
	return out
}

// backfilled bounds the wants of hooks that are given what is from before they existed, as far as that has come.
func (r *round) backfilled(ctx context.Context, wants []store.Want, hooks []uuid.UUID) (running map[uuid.UUID]uint64, err error) {
	if len(hooks) == 0 {
		return nil, nil
	}
	if running, err = r.Store.Backfilled(ctx, hooks); err != nil {
		return nil, err
	}
	for i := range wants {
		if upTo, there := running[wants[i].Lease.Hook]; there {
			wants[i].BackfilledTo = max(webhook.Sequence(upTo), 1) // 0 is no bound, and no event has it
		}
	}
	return running, nil
}
