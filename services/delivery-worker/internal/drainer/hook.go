package drainer

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

const (
	// page is how many deliveries of a hook are taken at once, at most.
	page = 2000
	// A page should take a worker about so long: others would wait for a longer one at the end, and each costs Postgres.
	minPage, maxPage = 500 * time.Millisecond, 2 * time.Second
	// slow is the time from one attempt to the next from which on the last one is remembered in Postgres at once.
	slow = time.Second
)

// work is a parked delivery on its way to its next attempt.
type work = *store.ParkedDelivery

// held is a hook that this worker drains: it has the hook's lease, and some of its deliveries in hand.
type held struct {
	*round

	hook  *webhook.Hook
	lease store.DrainLease
	rate  *rate.Limiter
	probe chan struct{} // one probe at a time; the others see what it led to
	// stopped says that the hook, or this worker, can do no more, or that its turn is over.
	stopped atomic.Bool
	// open are the deliveries that were taken and are not settled, todo those of them that were not tried yet; attemptedAt is
	// when the last attempt began, in nanoseconds.
	open, todo, attemptedAt atomic.Int64
	// low is how few deliveries to be tried are few enough to take more.
	low atomic.Int64

	mu sync.Mutex
	// ready are lines with deliveries that could be tried, lines those of keys that have some in hand.
	ready []*line
	lines map[string]*line
	// kept are the keys of lines that are blocked and have none in hand, until no page is on its way any more that may have some.
	kept    []string
	workers int // at most the hook's concurrency
	handed  map[work]handed
	closed  bool // its lease is given up

	more atomic.Bool // there may be some to take

	// Of the round alone.
	moving    bool // there are some beyond what is settled
	collapse  collapse
	over      bool // its turn
	unloaded  []work
	forming   []work // a batch
	alone     int    // from so many retries on, the last one at the latest, a delivery is not sent with others
	size      int    // of the next page
	began     time.Time
	taken     time.Time
	idleSince time.Time
}

// line has deliveries of one key, which are tried one after the other.
type line struct {
	work [][]work // each is tried at once
	open int      // taken and not settled
	// blocked says that the others have to wait for one that was tried: it is of the one goroutine that tries them.
	blocked bool
}

func (r *round) hold(h *webhook.Hook, l store.DrainLease) *held {
	now := time.Now()
	x := &held{
		round: r, hook: h, lease: l, rate: rate.NewLimiter(rate.Inf, 1), probe: make(chan struct{}, 1), lines: map[string]*line{},
		handed: map[work]handed{}, size: min(page, 2*h.Config.Concurrency), began: now, taken: now, idleSince: now,
	}
	x.more.Store(true)
	if b := h.Config.Batch; b != nil {
		x.size = min(page, x.size*b.MaxEvents)
		x.alone = max(1, min(webhook.MaxBatchFailures, h.Countdown().MaxRetries))
	}
	if limit := h.Config.RateLimit; limit != nil {
		// attempts are spaced evenly, so that no window of the period holds more than its limit; one whose worker died in it is
		// not known, and the next one comes sooner
		x.rate = rate.NewLimiter(perSecond(limit), 1)
		if last := l.LastAttemptAt; !last.IsZero() {
			if last.After(now) { // by the clock of another worker
				last = now
			}
			x.rate.AllowN(last, 1)
		}
	}
	return x
}

func perSecond(r *webhook.RateLimit) rate.Limit {
	return rate.Limit(float64(r.Limit) / r.Period.Seconds())
}

func (x *held) ordered() bool { return x.hook.Config.Ordering != webhook.OrderNone }

// key is shared by deliveries that keep an order among themselves.
func (x *held) key(e *webhook.Event) string {
	if x.hook.Config.Batch != nil && x.ordered() { // a batch has events of many
		return "hook"
	}
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
	able, probing := x.Limiter.Able(x.hook)
	batch := x.hook.Config.Batch
	switch {
	case !able || probing && x.open.Load() > 0:
		return 0
	case probing && batch == nil:
		return 1
	}
	n := x.size
	if limit := x.hook.Config.RateLimit; limit != nil { // what it can have in the time of a lease's renewal
		n = max(1, min(page, int(float64(perSecond(limit))*maxPage.Seconds())))
		if batch != nil {
			n = min(page, n*batch.MaxEvents)
		}
	}
	if batch != nil { // those of a batch may not be next to each other
		n = max(n, 8*batch.MaxEvents)
	}
	if 2*int(x.todo.Load()) > n {
		return 0
	}
	return n
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

// take counts deliveries that were taken.
func (x *held) take(list []work) {
	x.unloaded = list
	x.open.Add(int64(len(list)))
	x.todo.Add(int64(len(list)))
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range list {
		if key := x.key(w.Event); key != "" {
			if x.lines[key] == nil {
				x.lines[key] = &line{}
			}
			x.lines[key].open++
		}
	}
}

// forget forgets the lines of which nothing is in hand. Postgres knows by now what it is to keep back of them.
func (x *held) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, key := range x.kept {
		if ln := x.lines[key]; ln != nil && ln.open == 0 {
			delete(x.lines, key)
		}
	}
	x.kept = nil
}

// put has deliveries, which are of one batch if they are several, tried after those of their key, and beside all others.
func (x *held) put(list ...work) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.queue(list...)
}

// queue is put; the lock is held.
func (x *held) queue(list ...work) {
	ln := &line{}
	if key := x.key(list[0].Event); key != "" {
		ln = x.lines[key]
	}
	if ln.work = append(ln.work, list); len(ln.work) > 1 {
		return
	}
	x.ready = append(x.ready, ln)
	if x.workers < max(1, x.hook.Config.Concurrency) {
		x.workers++
		go x.tryAll()
	}
}

// tryAll tries what is ready.
func (x *held) tryAll() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.ready) > 0 {
		ln := x.ready[0]
		x.ready = x.ready[1:]
		list := ln.work[0]
		x.mu.Unlock()
		if x.hook.Config.Batch != nil {
			x.tryBatch(ln, list)
		} else {
			x.try(ln, list[0])
		}
		x.mu.Lock()
		if ln.work = ln.work[1:]; len(ln.work) > 0 {
			x.ready = append(x.ready, ln)
		}
	}
	x.workers--
}

// leaveHand counts a delivery that is settled.
func (x *held) leaveHand(w work) {
	if key := x.key(w.Event); key != "" {
		x.mu.Lock()
		ln := x.lines[key]
		switch ln.open--; {
		case ln.open > 0:
		case ln.blocked: // more of the key may be on its way here, from before Postgres knew that it is to be kept back
			x.kept = append(x.kept, key)
		default:
			delete(x.lines, key)
		}
		x.mu.Unlock()
	}
	if x.open.Add(-1) == 0 {
		signal(x.short)
	}
}

// tried counts deliveries that are tried.
func (x *held) tried(n int) {
	left, low := x.todo.Add(-int64(n)), x.low.Load()
	if left <= low && left+int64(n) > low {
		signal(x.short)
	}
}

// try makes the next attempt of a delivery, if the hook is able.
func (x *held) try(ln *line, w work) {
	defer x.tried(1)
	if !x.complete(w) {
		return
	}
	if x.stopped.Load() || ln.blocked {
		x.settle(w, store.Back)
		return
	}
	over, ok := x.turn(w.Expired(x.Bus.Time(time.Now()))) // what is not sent any more needs no rate
	defer over()
	if !ok {
		x.giveBack(w)
		return
	}
	x.attempt(ln, w)
}

// complete reads what is missing of a delivery's event; false means that there is no such event any more, and the delivery is over.
func (x *held) complete(w work) bool {
	w.Hook = x.hook
	if !w.EventMissing {
		return true
	}
	e, err := x.History.Event(x.ctx, w.Event)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		x.bury(w)
		return false
	case err != nil:
		if x.ctx.Err() == nil {
			x.Log.Warn("failed to read the event of a parked delivery", trace.Delivery(&w.Due), zap.Error(err))
		}
		x.stop()
	default:
		w.Event = &e
	}
	return true
}

// turn waits until the hook's rate lets it have the next attempt, unless that is free, and reports whether the hook is able to take
// it. over is to be called after the attempt.
func (x *held) turn(free bool) (over func(), ok bool) {
	over = func() {}
	if !free && !x.wait() {
		return over, false
	}
	able, probing := x.Limiter.Able(x.hook)
	if able && probing {
		x.probe <- struct{}{}
		over = func() { <-x.probe }
		able, _ = x.Limiter.Able(x.hook)
	}
	return over, able && !x.stopped.Load()
}

func (x *held) stop() {
	if !x.stopped.Swap(true) {
		signal(x.short)
	}
}

func (x *held) giveBack(list ...work) {
	x.stop()
	for _, w := range list {
		x.settle(w, store.Back)
	}
}

// wait returns true when the hook's rate lets it have the next attempt, and false as soon as this worker may not make it.
func (x *held) wait() bool {
	for reserved := x.rate.Reserve(); x.may() && !x.stopped.Load(); {
		left := reserved.Delay()
		if left == 0 {
			return true
		}
		if !daemon.Sleep(x.ctx, min(left, look/4)) {
			return false
		}
	}
	return false
}

// begin notes that the hook has an attempt now.
func (x *held) begin() {
	x.attemptedAt.Store(time.Now().UnixNano())
	if l := x.hook.Config.RateLimit; l != nil && l.Period/time.Duration(l.Limit) >= slow {
		x.remember()
	}
}

func (x *held) attempt(ln *line, w work) {
	x.begin()
	as, failed := store.Gone, error(nil)
	var half atomic.Bool
	both := func() { // the outcome is known, and it is durable or cannot be made so
		if half.Swap(true) {
			if failed != nil {
				as = store.Back
			}
			x.settle(w, as)
		}
	}
	bodies, may := x.bodiesOf(w)
	state := x.Deliverer.Drain(w.Due, bodies, may, func(err error) {
		failed = err
		both()
	})
	switch {
	case state == webhook.Parked: // refused, or given up: it stays where it is
		x.giveBack(w)
		return
	case state == webhook.Waiting && x.ordered(): // keeps back what has to come after it
		as = store.KeepsBack
		ln.blocked = true
	}
	both()
}

// bury ends a delivery that was parked for longer than its event's payload is kept.
func (x *held) bury(w work) {
	x.Log.Warn("parked delivery is dead: its payload has expired", trace.Delivery(&w.Due))
	x.Deliverer.Finish(&w.Due, webhook.Dead, webhook.ReasonPayloadGone, func(err error) {
		if err != nil {
			x.settle(w, store.Back)
		} else {
			x.settle(w, store.Gone)
		}
	})
}
