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
	// page is the maximum number of a hook's deliveries that are taken at once.
	page = 2000
	// minPage and maxPage bound the time that a page should take a worker. With longer pages, others would wait at the end;
	// with shorter ones, PostgreSQL would have more work.
	minPage, maxPage = 500 * time.Millisecond, 2 * time.Second
	// slow is the interval between attempts from which on each attempt's time is stored in PostgreSQL at once.
	slow = time.Second
)

// work is a parked delivery on its way to its next attempt.
type work = *store.ParkedDelivery

// held is a hook that this worker drains. The worker holds the hook's lease and has taken some of its deliveries.
type held struct {
	*round

	hook  *webhook.Hook
	lease store.DrainLease
	rate  *rate.Limiter
	probe chan struct{} // one probe at a time; the others wait for its result
	// stopped reports that the hook or this worker can do no more, or that the hook's turn is over.
	stopped atomic.Bool
	// open is the number of deliveries that were taken and are not settled, and todo the number of those that were not tried
	// yet. attemptedAt is when the last attempt began, in Unix nanoseconds.
	open, todo, attemptedAt atomic.Int64
	// low is the number of untried deliveries at which more should be taken.
	low atomic.Int64

	mu sync.Mutex
	// ready holds the lines with a delivery that can be tried, and lines all lines with deliveries that were taken, by key.
	ready []*line
	lines map[string]*line
	// kept holds the keys of blocked lines without taken deliveries. They are deleted once no page is on its way that may
	// contain further deliveries of theirs.
	kept    []string
	workers int // running tryAll goroutines, at most the hook's concurrency
	handed  map[work]handed
	closed  bool // the lease is being given up: hand takes over nothing more

	more atomic.Bool // there may be deliveries to take

	// The following fields belong to the round's goroutine.
	moving    bool // there are deliveries beyond the settled events
	collapse  collapse
	over      bool // its turn is over
	unloaded  []work
	forming   []work // the batch being formed
	alone     int    // a delivery with at least this many retries is sent without others
	size      int    // of the next page
	began     time.Time
	taken     time.Time
	idleSince time.Time
}

// line holds the deliveries of one key, which are tried one after another.
type line struct {
	work [][]work // the deliveries of each element are sent in one request
	open int      // number taken and not settled
	// blocked reports that the others have to wait for one that was tried. Only the goroutine that tries the line's deliveries
	// uses it.
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
		// Attempts are spaced evenly, so that no window of the period has more than the limit. An attempt during which a worker
		// died is not recorded, so the next one may come too early.
		x.rate = rate.NewLimiter(perSecond(limit), 1)
		if last := l.LastAttemptAt; !last.IsZero() {
			if last.After(now) { // the other worker's clock is ahead
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

// key returns the key that an event shares with those among which order has to be kept; "" for none.
func (x *held) key(e *webhook.Event) string {
	if x.hook.Config.Batch != nil && x.ordered() { // a batch may contain events of many entities
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

// want returns how many deliveries should be taken for the hook now.
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
	if limit := x.hook.Config.RateLimit; limit != nil { // what its rate allows in maxPage
		n = max(1, min(page, int(float64(perSecond(limit))*maxPage.Seconds())))
		if batch != nil {
			n = min(page, n*batch.MaxEvents)
		}
	}
	if batch != nil { // the deliveries of a batch may not be next to each other
		n = max(n, 8*batch.MaxEvents)
	}
	if 2*int(x.todo.Load()) > n {
		return 0
	}
	return n
}

// resize adjusts the size of the next page to the time that the last one took.
func (x *held) resize() {
	switch took := time.Since(x.taken); {
	case took < minPage:
		x.size = min(page, 2*x.size)
	case took > maxPage:
		x.size = max(1, x.size/2)
	}
	x.taken = time.Now()
}

// may reports whether the hook is unchanged and this worker may still act for it.
func (x *held) may() bool { return x.life.Valid() && x.Hooks.Get(x.hook.ID) == x.hook }

// take registers deliveries that were taken.
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

// forget deletes the lines in kept that have no taken deliveries. PostgreSQL knows by now that it must keep their deliveries
// back.
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

// put schedules deliveries, which form one batch if they are several, after those with the same key, and in parallel to others.
func (x *held) put(list ...work) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.queue(list...)
}

// queue does what put does. The caller holds x.mu.
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

// tryAll tries ready deliveries until there are none.
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

// leaveHand removes a settled delivery from the counts.
func (x *held) leaveHand(w work) {
	if key := x.key(w.Event); key != "" {
		x.mu.Lock()
		ln := x.lines[key]
		switch ln.open--; {
		case ln.open > 0:
		case ln.blocked: // a page taken before PostgreSQL knew of the block may still contain deliveries with the key
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

// tried removes n deliveries from those that were not tried yet.
func (x *held) tried(n int) {
	left, low := x.todo.Add(-int64(n)), x.low.Load()
	if left <= low && left+int64(n) > low {
		signal(x.short)
	}
}

// try makes the next attempt of a delivery, if the hook can take it.
func (x *held) try(ln *line, w work) {
	defer x.tried(1)
	if !x.complete(w) {
		return
	}
	if x.stopped.Load() || ln.blocked {
		x.settle(w, store.Back)
		return
	}
	over, ok := x.turn(w.Expired(x.Bus.Time(time.Now()))) // a delivery that is not sent needs no rate
	defer over()
	if !ok {
		x.giveBack(w)
		return
	}
	x.attempt(ln, w)
}

// complete reads the delivery's event, if it is missing. It returns false if the event no longer exists, and the delivery is
// therefore finished.
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

// turn waits until the hook's rate permits the next attempt, unless free is set, and reports whether the hook can take the
// attempt. The caller must call over after the attempt.
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

// wait waits until the hook's rate permits the next attempt. It returns false if this worker may no longer make it.
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

// begin notes that an attempt begins.
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
	both := func() { // calls settle once the outcome is known, and is durable or failed to become so
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
	case state == webhook.Parked: // refused or abandoned: the delivery stays parked
		x.giveBack(w)
		return
	case state == webhook.Waiting && x.ordered(): // it keeps back the deliveries that must follow it
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
