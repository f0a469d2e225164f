package drainer

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/limiter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// list is a parked queue that grants all leases, has no deliveries, and remembers what it was asked for.
type list struct {
	parked

	leased, released []store.DrainLease
	wanted           []store.Want
	loaded           []work
}

func (l *list) LeaseHooks(_ context.Context, _ uuid.UUID, _ string, wanted []store.DrainLease, _ time.Duration) ([]store.DrainLease, error) {
	l.leased = append(l.leased, wanted...)
	return wanted, nil
}

func (l *list) ReleaseHooks(_ context.Context, _ uuid.UUID, leases []store.DrainLease) error {
	l.released = append(l.released, leases...)
	return nil
}

func (l *list) Take(_ context.Context, _ uuid.UUID, wants []store.Want, _ []store.Places) ([]*store.ParkedDelivery, error) {
	l.wanted = append(l.wanted, wants...)
	return nil, nil
}

func (l *list) Load(_ context.Context, some []*store.ParkedDelivery, _ int) error {
	l.loaded = append(l.loaded, some...)
	return nil
}

// newRound returns a round on such a queue, with hooks of two tenants: many of "large", and a single one of "small".
func newRound(t *testing.T, many int) (r *round, queue *list, large []*webhook.Hook, small *webhook.Hook) {
	t.Helper()
	x := index.New(func(uuid.UUID, *webhook.Hook) {})
	rated := func(tenant string) *webhook.Hook {
		h := webhook.Hook{ID: uuid.New(), Tenant: tenant, Status: webhook.Active, EventTypes: []string{"order.created"}}
		h.Config.Concurrency, h.Config.Ordering = 1, webhook.OrderNone
		h.Config.RateLimit = &webhook.RateLimit{Limit: 1000, Period: time.Second}
		x.Put(h)
		return x.Get(h.ID)
	}
	for range many {
		large = append(large, rated("large"))
	}
	small = rated("small")
	queue = &list{}
	d := New(Deps{Hooks: x, Limiter: limiter.New(limiter.Breaker{}, x.Get), Store: queue, Log: zap.NewNop()})
	r = &round{
		Drainer: d, ctx: t.Context(), stop: func() {}, toSettle: make(chan struct{}, 1), attempted: map[*held]bool{},
		held: map[uuid.UUID]*held{}, waits: map[uuid.UUID]bool{}, ending: map[uuid.UUID]bool{},
	}
	r.life = lease.Hold(t.Context(), time.Now(), lease.Terms{
		Log:     zap.NewNop(),
		Renew:   func(context.Context) (bool, error) { return true, nil },
		Release: func(context.Context) error { return nil },
	})
	t.Cleanup(r.life.Release)
	return r, queue, large, small
}

// drain makes the round drain a hook since the given time, with open deliveries in hand.
func (r *round) drain(h *webhook.Hook, began time.Time, open int) *held {
	x := r.hold(h, store.DrainLease{Hook: h.ID, Alone: true})
	x.began = began
	x.open.Store(int64(open))
	r.held[h.ID] = x
	return x
}

func TestAHookOfAnotherTenantIsLeasedBeforeManyOfOneTenant(t *testing.T) {
	t.Parallel()
	r, queue, large, small := newRound(t, 10*leaseAtOnce)
	for _, h := range large {
		r.look(h.ID)
	}
	r.look(small.ID)
	require.NoError(t, r.lease())
	require.Len(t, queue.leased, leaseAtOnce)
	require.Contains(t, r.held, small.ID)
	for n := 2; n <= atOnce/leaseAtOnce+1; n++ {
		require.NoError(t, r.lease())
		require.Len(t, r.held, min(atOnce, n*leaseAtOnce))
	}
}

func TestAHookOfATenantWithManyMakesRoomForAnotherTenant(t *testing.T) {
	t.Parallel()
	r, queue, large, small := newRound(t, atOnce+10)
	for _, h := range large[:atOnce] {
		r.drain(h, time.Now().Add(-2*turn), 0)
	}
	for _, h := range large[atOnce:] {
		r.look(h.ID)
	}
	r.release()
	require.Empty(t, queue.released, "hooks with a rate have longer turns")
	r.look(small.ID)
	r.release()
	require.Len(t, queue.released, 1)
	r.release()
	require.Len(t, queue.released, 1, "there is room for the other tenant's hook")
}

func TestRoomForDeliveriesIsForTenantsWithFewOfThemFirst(t *testing.T) {
	t.Parallel()
	const each, left = 199, maxOpen - 100*199
	r, queue, large, small := newRound(t, 100)
	for _, h := range large {
		r.drain(h, time.Now(), each)
	}
	r.drain(small, time.Now(), 0)
	require.NoError(t, r.take())
	require.Len(t, queue.wanted, 1)
	require.Equal(t, small.ID, queue.wanted[0].Lease.Hook)
	require.Equal(t, left, queue.wanted[0].Limit)
}

func TestEventsAreReadForTenantsWithFewDeliveriesFirst(t *testing.T) {
	t.Parallel()
	r, queue, large, small := newRound(t, 10)
	for _, h := range append(large, small) {
		n := page
		if h == small {
			n = 1
		}
		x := r.drain(h, time.Now(), n)
		for range n {
			x.unloaded = append(x.unloaded, &store.ParkedDelivery{HookID: h.ID})
		}
	}
	r.Store = &once{list: queue, stop: func() { r.bytes.Store(maxBytes) }}
	require.NoError(t, r.load())
	require.Equal(t, small.ID, queue.loaded[0].HookID)
}

// once is a list that leaves no room after the first deliveries were loaded.
type once struct {
	*list

	stop func()
}

func (o *once) Load(ctx context.Context, some []*store.ParkedDelivery, bytes int) error {
	o.stop()
	return o.list.Load(ctx, some, bytes)
}
