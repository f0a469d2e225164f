package drainer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// look is the interval at which all backlogs are checked for hooks that can take deliveries again without any notification.
	look = time.Second
	// pace is the minimum interval between two steps. calm is the minimum interval when notifications come one after another,
	// so that deliveries parked at about the same time are taken together.
	pace, calm = 5 * time.Millisecond, 40 * time.Millisecond
	// atOnce bounds the hooks that one worker drains in parallel, and leaseAtOnce those whose leases one step takes.
	atOnce, leaseAtOnce = 1024, 128
	// turn is the time after which a hook that is being drained makes room for a waiting one, and seldomTurn the same for a hook
	// with a rate limit, unless another tenant's hook waits; see endTurns.
	turn, seldomTurn = 2 * time.Second, 30 * time.Second
	// linger is how long the lease of a hook is kept while nothing of it is parked.
	linger = 3 * time.Second
	// maxOpen bounds the deliveries that were taken and are not settled.
	maxOpen = 20_000
	// maxBytes bounds the events of parked deliveries in memory, and maxLoad those that are read at once.
	maxBytes, maxLoad = 32 << 20, 4 << 20
)

// round is the lifetime of one registered drainer, until it expires or ends.
type round struct {
	*Drainer

	id    uuid.UUID
	life  *lease.Held
	ctx   context.Context //nolint:containedctx // ends with the round
	stop  context.CancelFunc
	parts sync.WaitGroup

	leases atomic.Pointer[[]*held] // read by renew
	bytes  atomic.Int64            // size of the events in memory
	calls  chan func()             // functions to be called by the loop
	inHand atomic.Int64            // number of deliveries that the fan-out has handed over

	settling  sync.Mutex
	settled   []settled
	attempted map[*held]bool // hooks whose last attempt is to be stored
	toSettle  chan struct{}  // receives a token when there may be something to settle

	// The following fields belong to the loop's goroutine.
	held    map[uuid.UUID]*held
	waiting turns
	waits   map[uuid.UUID]bool
	ending  map[uuid.UUID]bool
	listed  bool // all backlogs are to be listed
	// uncertain reports that the drainer may have taken more deliveries than it knows. Its leases are then kept until it is
	// closed, or expire after it, because another holder of a lease would pass over these deliveries.
	uncertain bool
	kept      []store.DrainLease
	// bounds holds the bounds of tenants with ordered hooks, and asked the tenants for which new ones are needed. asking
	// reports that they are being found. Bounds that were asked for before outdated are invalid for the tenant.
	bounds   map[string]*bounds
	outdated map[string]time.Time
	asked    map[string]bool
	asking   bool
}

// call makes the loop call do, unless the round is over.
func (r *round) call(do func()) {
	select {
	case r.calls <- do:
	case <-r.ctx.Done():
	}
}

func (x *held) leaseNow() store.DrainLease {
	l := x.lease
	if at := x.attemptedAt.Load(); at > 0 && x.hook.Config.RateLimit != nil {
		l.LastAttemptAt = time.Unix(0, at)
	}
	return l
}

// renew extends the drainer's registration and all its leases.
func (r *round) renew(ctx context.Context) (bool, error) {
	var list []store.DrainLease
	if held := r.leases.Load(); held != nil {
		for _, x := range *held {
			list = append(list, x.leaseNow())
		}
	}
	err := r.Store.RenewDrainer(ctx, r.id, list, lease.Time)
	if errors.Is(err, store.ErrExpired) {
		return false, nil
	}
	return err == nil, err
}

// publish makes the current leases visible to renew, and to Deliver.
func (r *round) publish() {
	list := slices.Collect(maps.Values(r.held))
	r.leases.Store(&list)
	by := maps.Clone(r.held)
	r.draining.Store(&by)
}

// run drains until its context ends, and then gives everything back.
func (r *round) run() {
	tick := time.NewTicker(look)
	defer tick.Stop()
	r.listed = true
	for r.ctx.Err() == nil {
		began := time.Now()
		r.step()
		select {
		case <-r.ctx.Done():
		case <-tick.C:
			r.listed = true
		case id := <-r.wake:
			r.look(id)
		case do := <-r.calls:
			do()
		case <-r.short:
			signal(r.short)
		}
		r.gather(tick.C)
		select { // more notifications may come in a moment
		case <-r.short:
		case do := <-r.calls:
			do()
		case <-r.ctx.Done():
		case <-time.After(calm - time.Since(began)):
		}
		daemon.Sleep(r.ctx, pace-time.Since(began))
	}
	r.giveBack()
}

// gather handles all pending notifications, so that simultaneous ones cause one step, in whatever order they are received.
func (r *round) gather(tick <-chan time.Time) {
	for {
		select {
		case <-tick:
			r.listed = true
		case id := <-r.wake:
			r.look(id)
		case do := <-r.calls:
			do()
		default:
			return
		}
	}
}

// giveBack stops all hooks, and returns when no delivery is open.
func (r *round) giveBack() {
	for len(r.held) > 0 {
		for _, x := range r.held {
			x.stop()
		}
		r.release()
		select {
		case <-r.short: // a delivery was settled
		case <-time.After(calm):
		}
	}
}

// look queues a hook to be drained, or has its deliveries ended, unless it is already being drained.
func (r *round) look(id uuid.UUID) {
	if x := r.held[id]; x != nil {
		x.more.Store(true)
		if x.hook.Config.Batch != nil { // what waits for others of its batch is looked at again and again
			x.idleSince = time.Now()
		}
		return
	}
	h := r.Hooks.Get(id)
	switch {
	case r.waits[id] || r.ending[id]:
	case h == nil || h.Status == webhook.Disabled:
		r.ending[id] = true
		r.endings.Go(func() { r.end(id) })
	default:
		if able, _ := r.Limiter.Able(h); able {
			r.waits[id] = true
			r.waiting.add(h.Tenant, id)
		}
	}
}

// step does everything that can be done now.
func (r *round) step() {
	if r.listed {
		r.listed = false
		r.list()
		r.parkLate()
	}
	r.release()
	for _, do := range []func() error{r.lease, r.take, r.load} {
		if err := do(); err != nil && r.ctx.Err() == nil {
			r.told.Tell("drain failed", err)
			daemon.Sleep(r.ctx, look/4)
			break
		}
	}
	r.ask()
}

func (r *round) list() {
	list, err := r.Store.ListBacklogs(r.ctx)
	if err != nil {
		if r.ctx.Err() == nil {
			r.told.Tell("backlogs could not be listed", err)
		}
		return
	}
	for _, id := range list {
		r.look(id)
	}
}

// giveBackUntried gives back the deliveries that were not scheduled yet.
func (x *held) giveBackUntried() {
	for _, w := range x.unloaded { // deliveries that were not offered are not counted in bytes
		w.Size = 0
	}
	for _, w := range slices.Concat(x.forming, x.unloaded) {
		x.settle(w, store.Back)
		x.todo.Add(-1)
	}
	x.forming, x.unloaded = nil, nil
}

// release gives up the hooks that have no more deliveries, that were changed, or whose turn is over.
func (r *round) release() {
	var list []store.DrainLease
	var empty []uuid.UUID
	now := time.Now()
	r.endTurns(now)
	for id, x := range r.held {
		if !x.may() {
			x.stop()
		}
		if x.stopped.Load() {
			x.giveBackUntried()
		}
		switch {
		case x.open.Load() > 0:
			x.idleSince = now
			continue
		case x.stopped.Load():
		case x.more.Load() || now.Sub(x.idleSince) < linger || now.UnixNano()-x.attemptedAt.Load() < int64(linger):
			continue
		}
		if !x.close() { // a delivery has just been handed over
			continue
		}
		if !x.stopped.Load() {
			empty = append(empty, id)
		}
		delete(r.held, id)
		list = append(list, x.leaseNow())
		if x.over || r.Hooks.Get(id) != x.hook {
			r.look(id)
		}
	}
	if len(list) == 0 {
		return
	}
	r.publish()
	if r.uncertain {
		r.kept = append(r.kept, list...)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), lease.Margin)
	defer cancel()
	if err := r.Store.ReleaseHooks(ctx, r.id, list); err != nil { // the leases expire
		r.Log.Warn("failed to release leases: they will expire", zap.Int("hooks", len(list)), zap.Error(err))
	}
	if len(empty) > 0 {
		_ = r.Store.ForgetBacklogs(ctx, empty...) // otherwise the hook is checked once more
	}
}
