package drainer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// look is how often all backlogs are looked at: for hooks that have become able without any change being told.
	look = time.Second
	// pace is the shortest time from one step to the next, calm that from one for what was parked just now to the next.
	pace, calm = 5 * time.Millisecond, 40 * time.Millisecond
	// atOnce bounds the hooks that one worker drains side by side, and leaseAtOnce those whose leases one step takes.
	atOnce, leaseAtOnce = 1024, 128
	// turn is how long a hook is drained at least while others wait, if it has so much, and seldomTurn one that has a rate.
	turn, seldomTurn = 2 * time.Second, 30 * time.Second
	// linger is how long a lease is kept of a hook that has nothing parked.
	linger = 3 * time.Second
)

// round is the life of one drainer, as the parked queue knows it: until it has expired, or ends.
type round struct {
	*Drainer
	*settler

	id   uuid.UUID
	life *lease.Held
	ctx  context.Context //nolint:containedctx // ends with the round
	stop context.CancelFunc

	// asked has the bounds of ordered hooks; moved says that some are new.
	asked *asking
	moved atomic.Bool

	leases atomic.Pointer[[]*held] // for those who renew them
	bytes  atomic.Int64            // of events in memory

	// Of the loop alone.
	held    map[uuid.UUID]*held
	waiting []uuid.UUID // for their turn, in order
	waits   map[uuid.UUID]bool
	ending  map[uuid.UUID]bool
	ended   chan uuid.UUID
	listed  bool // all backlogs are to be listed
}

// free gives memory for events back.
func (r *round) free(bytes int) {
	if left := r.bytes.Add(int64(-bytes)); left+int64(bytes) >= maxBytes {
		r.wakeUp()
	}
}

func (x *held) leaseNow() store.DrainLease {
	l := x.lease
	if at := x.attempted.Load(); at > 0 && x.hook.Config.RateLimit != nil {
		l.LastAttemptAt = time.Unix(0, at)
	}
	return l
}

// renew prolongs the round's life with all leases.
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

// publish shows the leases to who renews them.
func (r *round) publish() {
	list := make([]*held, 0, len(r.held))
	for _, x := range r.held {
		list = append(list, x)
	}
	r.leases.Store(&list)
}

// run drains until its life, or ctx, ends, and gives everything back.
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
		case id := <-r.ended:
			delete(r.ending, id)
		case <-r.short:
			signal(r.short)
		}
		r.gather(tick.C)
		select { // there may be more of it in a moment
		case <-r.short:
		case <-r.ctx.Done():
		case <-time.After(calm - time.Since(began)):
		}
		r.rest(pace - time.Since(began))
	}
	r.giveBack()
}

// gather takes in all that has come, so that what comes at once has one consequence, whatever is looked at first.
func (r *round) gather(tick <-chan time.Time) {
	for {
		select {
		case <-tick:
			r.listed = true
		case id := <-r.wake:
			r.look(id)
		case id := <-r.ended:
			delete(r.ending, id)
		default:
			return
		}
	}
}

// giveBack stops all hooks and returns when nothing is in hand any more.
func (r *round) giveBack() {
	for len(r.held) > 0 {
		for _, x := range r.held {
			x.stop()
		}
		r.release()
		select {
		case <-r.short: // something was settled
		case <-time.After(calm):
		}
	}
}

func (r *round) rest(d time.Duration) {
	select {
	case <-r.ctx.Done():
	case <-time.After(d):
	}
}

// look has a hook drained, or its deliveries ended, if it is not being drained.
func (r *round) look(id uuid.UUID) {
	if x := r.held[id]; x != nil {
		x.more = true
		return
	}
	h := r.Hooks.Get(id)
	switch {
	case r.waits[id] || r.ending[id]:
	case h == nil || h.Status == webhook.Disabled:
		r.ending[id] = true
		r.endings.Go(func() { r.end(id) })
	default:
		if able, _ := r.Lanes.Able(h); able {
			r.waits[id] = true
			r.waiting = append(r.waiting, id)
		}
	}
}

// step does what can be done now.
func (r *round) step() {
	if r.listed {
		r.listed = false
		r.list()
	}
	if r.moved.Swap(false) {
		for _, x := range r.held {
			x.more, x.moving = x.more || x.moving, false
		}
	}
	r.release()
	for _, do := range []func() error{r.lease, r.take, r.load} {
		if err := do(); err != nil && r.ctx.Err() == nil {
			r.told.Tell("drain failed", err)
			r.rest(look / 4)
			return
		}
	}
}

func (r *round) list() {
	list, err := r.Store.Backlogs(r.ctx)
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

// release gives the hooks up that have nothing more, that changed, or whose turn is over.
func (r *round) release() {
	var list []store.DrainLease
	var empty []uuid.UUID
	now := time.Now()
	full := len(r.waiting) > 0 && len(r.held) >= atOnce
	for id, x := range r.held {
		if limit := x.hook.Config.RateLimit; full && now.Sub(x.began) > turn && (limit == nil || now.Sub(x.began) > seldomTurn) {
			x.over = true
			x.stop()
		}
		if !x.may() {
			x.stop()
		}
		if x.stopped.Load() {
			for _, w := range x.unloaded {
				r.settle(x, w, store.Back)
			}
			x.todo.Add(-int64(len(x.unloaded)))
			x.unloaded = nil
		}
		switch {
		case x.open.Load() > 0:
			x.idleSince = now
			continue
		case x.stopped.Load():
		case x.more || now.Sub(x.idleSince) < linger:
			continue
		default:
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), lease.Margin)
	defer cancel()
	if err := r.Store.ReleaseHooks(ctx, r.id, list); err != nil { // they expire
		r.Log.Warn("failed to release leases: they will expire", zap.Int("hooks", len(list)), zap.Error(err))
	}
	if len(empty) > 0 {
		_ = r.Store.ForgetBacklogs(ctx, empty...) // else it is looked at again
	}
}

// drainedAlone reports whether one worker at a time may drain the hook.
func drainedAlone(h *webhook.Hook) bool {
	_, alone := h.Config.Drained()
	return alone
}

// lease takes the leases of hooks that wait, as far as there is room.
func (r *round) lease() error {
	room := min(leaseAtOnce, atOnce-len(r.held))
	var wanted []store.DrainLease
	for len(wanted) < room && len(r.waiting) > 0 {
		id := r.waiting[0]
		r.waiting = r.waiting[1:]
		delete(r.waits, id)
		h := r.Hooks.Get(id)
		if h == nil || h.Status != webhook.Active {
			continue
		}
		if able, _ := r.Lanes.Able(h); !able {
			continue
		}
		wanted = append(wanted, store.DrainLease{Hook: id, Alone: drainedAlone(h)})
	}
	if len(wanted) == 0 {
		return nil
	}
	got, err := r.Store.LeaseHooks(r.ctx, r.id, r.Worker, wanted, lease.Time)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(got, func(l store.DrainLease) bool { return l.Foreign }) {
		if err := r.History.CatchUp(r.ctx); err != nil { // they are taken again
			_ = r.Store.ReleaseHooks(r.ctx, r.id, got)
			return err
		}
	}
	for _, l := range got {
		h := r.Hooks.Get(l.Hook)
		if h == nil || drainedAlone(h) != l.Alone { // it changed meanwhile: it is released
			h = &webhook.Hook{ID: l.Hook}
		}
		r.held[l.Hook] = r.hold(h, l)
	}
	r.publish()
	return nil
}
