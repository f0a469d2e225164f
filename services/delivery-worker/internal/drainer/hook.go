package drainer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// page is how many deliveries of a hook are taken at once, at most.
	page = 2000
	// A page should take a worker about so long: others would wait for a longer one at the end, and each costs Postgres.
	minPage, maxPage = 500 * time.Millisecond, 2 * time.Second
	// slow is the time from one attempt to the next from which on the last one is remembered in Postgres at once.
	slow = time.Second
)

// held is a hook that this worker drains: it has the hook's lease, and some of its deliveries in hand.
type held struct {
	*round

	hook    *webhook.Hook
	lease   store.DrainLease
	limiter *rate.Limiter
	lineup  *lineup
	probe   sync.Mutex // one probe at a time; the others see what it led to
	// stopped says that the hook, or this worker, can do no more, or that its turn is over.
	stopped atomic.Bool
	// open are the deliveries that were taken and are not settled, todo those of them that were not tried yet; attempted is
	// when the last attempt began, in nanoseconds.
	open, todo, attempted atomic.Int64

	// low is how few deliveries to be tried are few enough to take more.
	low atomic.Int64

	// Of ordered hooks: what is open of each key, and whether that has to wait for an earlier delivery.
	mu      sync.Mutex
	keys    map[string]int
	blocked map[string]bool

	// Of the round alone.
	more      bool // there may be some to take
	moving    bool // there are some beyond what is settled
	over      bool // its turn
	unloaded  []work
	size      int // of the next page
	began     time.Time
	taken     time.Time
	idleSince time.Time
}

func (r *round) hold(h *webhook.Hook, l store.DrainLease) *held {
	now := time.Now()
	x := &held{
		round: r, hook: h, lease: l, limiter: rate.NewLimiter(rate.Inf, 1), keys: map[string]int{}, blocked: map[string]bool{}, more: true,
		size: min(page, 2*h.Config.Concurrency), began: now, taken: now, idleSince: now,
	}
	if limit := h.Config.RateLimit; limit != nil {
		// attempts are spaced evenly, so that no window of the period holds more than its limit; one whose worker died in it is
		// not known, and the next one comes sooner
		x.limiter = rate.NewLimiter(perSecond(limit), 1)
		if last := l.LastAttemptAt; !last.IsZero() {
			if last.After(now) { // by the clock of another worker
				last = now
			}
			x.limiter.AllowN(last, 1)
		}
	}
	x.lineup = newLineup(max(1, h.Config.Concurrency), x.try)
	return x
}

func perSecond(r *webhook.RateLimit) rate.Limit {
	return rate.Limit(float64(r.Limit) / r.Period.Seconds())
}

func (x *held) ordered() bool { return x.hook.Config.Ordering != webhook.OrderNone }

// key is shared by deliveries that keep an order among themselves.
func (x *held) key(e *webhook.Event) string {
	switch x.hook.Config.Ordering {
	case webhook.OrderHook:
		return "hook"
	case webhook.OrderEntity:
		return e.Entity
	case webhook.OrderNone:
	}
	return ""
}

// want is how many deliveries the hook should be given now.
func (x *held) want() int {
	able, probing := x.Lanes.Able(x.hook)
	todo := int(x.todo.Load())
	switch {
	case !able || probing && x.open.Load() > 0:
		return 0
	case probing:
		return 1
	case x.hook.Config.RateLimit != nil: // what it can have in the time of a lease's renewal
		limit := max(1, min(page, int(float64(perSecond(x.hook.Config.RateLimit))*maxPage.Seconds())))
		if 2*todo > limit {
			return 0
		}
		return limit
	case 2*todo > x.size:
		return 0
	}
	return x.size
}

// resize makes the next page larger or smaller by what the last one took.
func (x *held) resize() {
	switch took := time.Since(x.taken); {
	case took < minPage:
		x.size = min(page, 2*x.size)
	case took > maxPage:
		x.size = max(1, x.size/2)
	}
	x.taken = time.Now()
}

// may reports whether the hook is still the same, and this worker the one that may act for it.
func (x *held) may() bool { return x.life.Valid() && x.Hooks.Get(x.hook.ID) == x.hook }

// try makes the next attempt of a delivery, if the hook is able.
func (x *held) try(w work) {
	defer func() {
		if x.todo.Add(-1) == x.low.Load() {
			x.wakeUp()
		}
	}()
	w.Hook = x.hook
	if w.EventMissing {
		switch e, err := x.Events.Event(x.ctx, w.Event); {
		case errors.Is(err, webhook.ErrNotFound):
			x.bury(w)
			return
		case err != nil:
			if x.ctx.Err() == nil {
				x.Log.Warn("failed to read the event of a parked delivery", zap.Stringer("delivery_id", w.ID), zap.Error(err))
			}
			x.stop()
		default:
			w.Event = &e
		}
	}
	if x.stopped.Load() || x.isBlocked(x.key(w.Event)) {
		x.settle(x, w, store.Back)
		return
	}
	if !w.Expired(x.Stream.Time(time.Now())) && !x.wait(x.ctx) { // what is not sent any more needs no rate
		x.giveBack(w)
		return
	}
	able, probing := x.Lanes.Able(x.hook)
	if able && probing {
		x.probe.Lock()
		defer x.probe.Unlock()
		able, _ = x.Lanes.Able(x.hook)
	}
	if !able || x.stopped.Load() {
		x.giveBack(w)
		return
	}
	x.attempt(w)
}

func (x *held) stop() {
	if !x.stopped.Swap(true) {
		x.wakeUp()
	}
}

func (x *held) giveBack(w work) {
	x.stop()
	x.settle(x, w, store.Back)
}

// wait returns true when the hook's rate lets it have the next attempt, and false as soon as this worker may not make it.
func (x *held) wait(ctx context.Context) bool {
	for reserved := x.limiter.Reserve(); x.may() && !x.stopped.Load(); {
		left := reserved.Delay()
		if left == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(left, look/4)):
		}
	}
	return false
}

func (x *held) attempt(w work) {
	x.attempted.Store(time.Now().UnixNano())
	if l := x.hook.Config.RateLimit; l != nil && l.Period/time.Duration(l.Limit) >= slow {
		x.remember(x)
	}
	as, failed := store.Gone, error(nil)
	var half atomic.Bool
	both := func() { // the outcome is known, and it is durable or cannot be made so
		if half.Swap(true) {
			if failed != nil {
				as = store.Back
			}
			x.settle(x, w, as)
		}
	}
	state, _ := x.Deliverer.Drain(w.Due, envelope.NewBodies(w.Event), x.may, func(err error) {
		failed = err
		both()
	})
	switch {
	case state == webhook.Parked: // refused, or given up: it stays where it is
		x.giveBack(w)
		return
	case state == webhook.Waiting && x.ordered(): // keeps back what has to come after it
		as = store.KeepsBack
		x.block(x.key(w.Event))
	}
	both()
}

// bury ends a delivery that was parked for longer than its event's payload is kept.
func (x *held) bury(w work) {
	x.Log.Warn("parked delivery is dead: its payload has expired", zap.Stringer("delivery_id", w.ID),
		zap.Stringer("hook_id", x.hook.ID), zap.String("event_id", w.Event.ID))
	x.Deliverer.Finish(&w.Due, webhook.Dead, webhook.ReasonPayloadGone, func(err error) {
		if err != nil {
			x.settle(x, w, store.Back)
		} else {
			x.settle(x, w, store.Gone)
		}
	})
}

// take counts deliveries that were taken, of each key.
func (x *held) take(list []work) {
	x.open.Add(int64(len(list)))
	x.todo.Add(int64(len(list)))
	if !x.ordered() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range list {
		x.keys[x.key(w.Event)]++
	}
}

// settled counts one that is in hand no more.
func (x *held) settled(w work) {
	if x.ordered() {
		x.mu.Lock()
		key := x.key(w.Event)
		if x.keys[key]--; x.keys[key] <= 0 { // Postgres gives no more of the key, if it is to be kept back
			delete(x.keys, key)
			delete(x.blocked, key)
		}
		x.mu.Unlock()
	}
	if x.open.Add(-1) == 0 {
		x.wakeUp()
	}
}

// block has what is in hand of the key kept back.
func (x *held) block(key string) {
	if key == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.blocked[key] = true
}

func (x *held) isBlocked(key string) bool {
	if key == "" {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.blocked[key]
}
