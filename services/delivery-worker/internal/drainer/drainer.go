// Package drainer takes deliveries out of the parked queue, in the order of events, at the hook's rate and concurrency, and
// only while the hook can take them. If the hook has an order or a rate limit, one worker at a time drains it. Otherwise the
// workers share the hook, and each takes some of its parked deliveries. New deliveries that only the rate limit of a hook delays
// are sent in their turn without being parked, by the worker that drains the hook.
//
// All hooks of a worker share statements to PostgreSQL: leases, pages and outcomes of many hooks go into one transaction.
package drainer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/deliver"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/limiter"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// endPage is the number of deliveries of a deleted or disabled hook that one statement ends.
	endPage = 5000
	// endAtOnce bounds the hooks whose deliveries are ended in parallel: thousands may be deleted at once, and the lease of
	// each has to be renewed in time.
	endAtOnce = 4
)

// parked is implemented by *store.QueueStore.
type parked interface {
	backlogs
	drainers
	leases
	queue
	outcomes
}

type backlogs interface {
	ListBacklogs(ctx context.Context) ([]uuid.UUID, error)
	ForgetBacklogs(ctx context.Context, hooks ...uuid.UUID) error
	EndDeliveries(ctx context.Context, hook uuid.UUID, limit int) (store.Ended, error)
	FindBackfills(ctx context.Context, hooks []uuid.UUID) (map[uuid.UUID]uint64, error)
}

type drainers interface {
	OpenDrainer(ctx context.Context, worker string, ttl time.Duration) (uuid.UUID, error)
	RenewDrainer(ctx context.Context, drainer uuid.UUID, leases []store.DrainLease, ttl time.Duration) error
	CloseDrainer(ctx context.Context, drainer uuid.UUID) error
}

type leases interface {
	LeaseHooks(ctx context.Context, drainer uuid.UUID, worker string, wanted []store.DrainLease, ttl time.Duration) ([]store.DrainLease, error)
	ReleaseHooks(ctx context.Context, drainer uuid.UUID, leases []store.DrainLease) error
	NoteAttempts(ctx context.Context, leases []store.DrainLease) error
}

type queue interface {
	Supersede(ctx context.Context, drainer uuid.UUID, lease store.DrainLease) (n int, more bool, err error)
	Take(ctx context.Context, drainer uuid.UUID, wants []store.Want, places []store.Places) ([]*store.ParkedDelivery, error)
	FindMoving(ctx context.Context, hooks []uuid.UUID, places []store.Places) ([]uuid.UUID, error)
	Load(ctx context.Context, list []*store.ParkedDelivery, bytes int) error
}

type outcomes interface {
	SetBatch(ctx context.Context, drainer uuid.UUID, list []*store.ParkedDelivery, batches []uuid.UUID) (ok bool, err error)
	Settle(ctx context.Context, drainer uuid.UUID, list []store.Drained) error
}

// Deps are a Drainer's collaborators; all are required.
type Deps struct {
	Deliverer *deliver.Deliverer
	Hooks     *index.Index
	Limiter   *limiter.Limiter
	Store     parked
	Leases    lease.Store
	Bus       *bus.Bus
	History   *ledger.Reader
	// Superseded counts deliveries that were superseded.
	Superseded func(n int)
	Log        *zap.Logger
	// Worker is this worker's name as a holder of leases.
	Worker string
}

// Drainer drains backlogs.
type Drainer struct {
	Deps

	told  *daemon.Teller // used by Run's goroutine only
	wake  chan uuid.UUID
	short chan struct{} // receives a token when a hook has few deliveries left, or none
	ends  chan struct{} // a slot for each hook whose deliveries are being ended
	// draining holds the hooks whose leases this worker has; nil for none.
	draining atomic.Pointer[map[uuid.UUID]*held]
	endings  sync.WaitGroup
}

// New returns a Drainer; call Run to start it.
func New(d Deps) *Drainer {
	return &Drainer{Deps: d, told: daemon.NewTeller(d.Log), wake: make(chan uuid.UUID, 4096), short: make(chan struct{}, 1), ends: make(chan struct{}, endAtOnce)}
}

// Wake makes the drainer check the hook's backlog now instead of within a second. It does not block.
func (d *Drainer) Wake(hook uuid.UUID) {
	select {
	case d.wake <- hook:
	default: // all hooks are checked soon anyway
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run drains until ctx ends, then waits for the attempts in progress.
func (d *Drainer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := d.round(ctx); err != nil && ctx.Err() == nil {
			d.told.Tell("nothing can be drained", err)
			daemon.Sleep(ctx, look)
		}
	}
	d.endings.Wait()
}

// round drains for the lifetime of one registration as a drainer in the parked queue.
func (d *Drainer) round(ctx context.Context) error {
	began := time.Now()
	id, err := d.Store.OpenDrainer(ctx, d.Worker, lease.Time)
	if err != nil {
		return err
	}
	r := &round{
		Drainer: d, id: id, calls: make(chan func()), toSettle: make(chan struct{}, 1), attempted: map[*held]bool{},
		held: map[uuid.UUID]*held{}, waits: map[uuid.UUID]bool{}, ending: map[uuid.UUID]bool{},
		bounds: map[string]*bounds{}, outdated: map[string]time.Time{}, asked: map[string]bool{},
	}
	r.life = lease.Hold(context.WithoutCancel(ctx), began, lease.Terms{ // finish attempts in progress even if ctx ends
		Name: "drainer", Renew: r.renew, Log: d.Log,
		Release: func(ctx context.Context) error {
			err := d.Store.CloseDrainer(ctx, id)
			if err == nil && len(r.kept) > 0 {
				err = d.Store.ReleaseHooks(ctx, id, r.kept)
			}
			return err
		},
	})
	defer r.life.Release()
	r.ctx, r.stop = context.WithCancel(ctx)
	defer r.stop()
	defer context.AfterFunc(r.life.Context(), r.stop)()
	settling, over := context.WithCancel(context.WithoutCancel(ctx))
	defer r.parts.Wait()
	defer over()
	r.parts.Go(func() { r.settleAll(settling) })
	r.run()
	d.draining.Store(nil)
	return nil
}

// end ends all deliveries of a hook that this worker does not know, or knows as disabled, if the database agrees. Otherwise
// they are left to workers that know the hook, as this one soon will.
func (r *round) end(hook uuid.UUID) {
	if err := r.endAll(hook); err != nil && r.ctx.Err() == nil {
		r.Log.Warn("failed to end deliveries", zap.Stringer("hook_id", hook), zap.Error(err))
	}
	r.call(func() { delete(r.ending, hook) })
}

func (r *round) endAll(hook uuid.UUID) error {
	select {
	case r.ends <- struct{}{}:
		defer func() { <-r.ends }()
	case <-r.ctx.Done():
		return nil
	}
	held, err := lease.Take(r.ctx, r.Leases, "drain:"+hook.String(), r.Worker, r.Log)
	if err != nil || held == nil {
		return err
	}
	defer held.Release()
	for {
		ended, err := r.Store.EndDeliveries(held.Context(), hook, endPage)
		if err != nil || ended.Reason == webhook.ReasonNone {
			return err
		}
		if ended.N == endPage {
			continue
		}
		if ended.Reason == webhook.ReasonHookDeleted {
			if err := r.Bus.Retries().Purge(held.Context(), hook); err != nil {
				return err
			}
		}
		return r.Store.ForgetBacklogs(held.Context(), hook)
	}
}
