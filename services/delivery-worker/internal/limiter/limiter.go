// Package limiter keeps hooks apart: each has a bulkhead of its own, so that a receiver which hangs, drips or fails costs
// the others nothing. A receiver that is merely slow has its deliveries wait in its bulkhead, up to a bound; what a
// bulkhead cannot take soon is parked, not waited for.
package limiter

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Limits of what waits and runs.
const (
	// patience is the longest that work waits for a slot.
	patience = 5 * time.Second
	// quick is the longest that an attempt which runs or waits counts as such.
	quick = 250 * time.Millisecond
	// brisk is the longest that a bulkhead may take for an attempt, when all its slots are in use, for its receiver not to
	// count as slow. Who waits for such a one is better waited for: parking and draining would take longer.
	brisk = 500 * time.Microsecond
	// stalled is how long a full bulkhead may go without any attempt ending before it counts as hanging; longer where its
	// attempts have been taking long, up to patience. Nothing waits for a receiver that hangs.
	stalled = 500 * time.Millisecond
	// lookEvery is how often bulkheads are looked over for what has waited or run too long.
	lookEvery = 100 * time.Millisecond
	// maxWaiting and maxWaitingBytes bound what waits in all bulkheads together. None gets more than is left for the others,
	// so that there is always room for one that needs some.
	maxWaiting      = 4096
	maxWaitingBytes = 16 << 20
	// maxRunning bounds what runs in all bulkheads together, and maxRunningBytes the size of that, but for one attempt in
	// each. None gets more bytes than are left for the others.
	maxRunning      = 4096
	maxRunningBytes = 16 << 20
	// window is over how long the breaker counts attempts.
	window = time.Minute
)

// Attempt is work that wants to be done for a hook. Exactly one of Run and Park is called, once.
type Attempt struct {
	Hook *webhook.Hook
	// Size is how many bytes are kept while the attempt waits and runs.
	Size int
	// Run makes the attempt, on a goroutine of its own; its slot is free when it returns. The error is nil for a success
	// of the receiver, context.Canceled where nothing can be said of the receiver, and anything else for its failure.
	Run func() error
	// Park is called where the hook cannot take the attempt now, and says why.
	Park func(webhook.Reason)
	// Slow, if not nil, is called once when the attempt has to wait for a receiver that is slow, or waits or runs for long.
	Slow func()
	// Drain says that the attempt is from the parked queue already: it waits for a slot as long as it takes, and is
	// refused only where the hook is not able at all.
	Drain bool
	// Retry says that the attempt is not the delivery's first.
	Retry bool
}

// Breaker says when a hook's receiver counts as failing.
type Breaker struct {
	// MinAttempts and FailureRatio within a minute open the breaker.
	MinAttempts  int
	FailureRatio float64
	// Open is how long it stays open before one probe is let through.
	Open time.Duration
}

func (b Breaker) new() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, Interval: window, BucketPeriod: window / 6, Timeout: b.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			ended := c.TotalSuccesses + c.TotalFailures // not those under way
			return int(ended) >= b.MinAttempts && float64(c.TotalFailures) >= b.FailureRatio*float64(ended)
		},
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
	})
}

// Limiter has the bulkheads of one worker's hooks.
type Limiter struct {
	breaker Breaker
	// hook returns a hook as it is now, nil for one that is gone.
	hook func(uuid.UUID) *webhook.Hook
	// waiting and running are what is in all bulkheads together.
	waiting, running load
	crowded          atomic.Bool

	mu        sync.Mutex
	bulkheads map[uuid.UUID]*bulkhead

	busyMu sync.Mutex
	busy   map[*bulkhead]struct{} // those with work in them
}

// load is how many attempts there are, and of which size.
type load struct{ n, bytes atomic.Int64 }

func (l *load) add(n, size int) {
	l.n.Add(int64(n))
	l.bytes.Add(int64(n * size))
}

// New makes a limiter without any work in it, which looks hooks up by the function. Run it.
func New(b Breaker, hook func(uuid.UUID) *webhook.Hook) *Limiter {
	return &Limiter{breaker: b, hook: hook, bulkheads: map[uuid.UUID]*bulkhead{}, busy: map[*bulkhead]struct{}{}}
}

// Crowd says whether the workers together hold so much that attempts should rather be parked than wait.
func (ls *Limiter) Crowd(crowded bool) { ls.crowded.Store(crowded) }

// Enter has an attempt run now, or within patience, or parked. It does not block.
func (ls *Limiter) Enter(a Attempt) {
	now := time.Now()
	if reason := unable(&a, now); reason != webhook.ReasonNone {
		a.Park(reason)
		return
	}
	reason, slow := ls.enter(&entry{Attempt: a, since: now})
	switch {
	case reason != webhook.ReasonNone:
		a.Park(reason)
	case slow && a.Slow != nil:
		a.Slow()
	}
}

func (ls *Limiter) enter(e *entry) (reason webhook.Reason, slow bool) {
	l := ls.lock(e.Hook)
	defer l.mu.Unlock()
	switch {
	case !l.full() && l.waiting() == 0:
		if reason = l.admit(e, e.since); reason == webhook.ReasonNone {
			go l.work(e)
		}
		return reason, false
	case e.Drain:
		l.drained = append(l.drained, e)
	case l.breaker.State() == gobreaker.StateOpen:
		return webhook.ReasonBreaker, false
	case l.tooBusy(e.Size, e.since):
		return webhook.ReasonConcurrency, false
	default:
		e.slow = l.latency > brisk*time.Duration(l.capacity) // Enter says so
		l.fresh = append(l.fresh, e)
		l.keep(1, e.Size)
	}
	return webhook.ReasonNone, e.slow
}

// unable says why a hook cannot take the attempt, by what the hook is.
func unable(a *Attempt, now time.Time) webhook.Reason {
	config := &a.Hook.Config
	switch {
	case a.Hook.Status == webhook.Paused:
		return webhook.ReasonPaused
	case len(config.Maintenance) > 0 && config.InMaintenance(now):
		return webhook.ReasonMaintenance
	case a.Drain:
		return webhook.ReasonNone
	}
	reason, _ := config.Drained()
	if a.Retry && reason == webhook.ReasonOrdered && !config.ParksRetries() {
		return webhook.ReasonNone // the one that the others wait for
	}
	return reason
}

// Able reports whether the hook could take an attempt from the parked queue now; probing, that it takes just one, to see
// whether its receiver has recovered.
func (ls *Limiter) Able(h *webhook.Hook) (able, probing bool) {
	if unable(&Attempt{Hook: h, Drain: true}, time.Now()) != webhook.ReasonNone {
		return false, false
	}
	ls.mu.Lock()
	l := ls.bulkheads[h.ID]
	ls.mu.Unlock()
	if l == nil {
		return true, false
	}
	state := l.breaker.State()
	return state != gobreaker.StateOpen, state == gobreaker.StateHalfOpen
}

// lock returns the hook's bulkhead, locked.
func (ls *Limiter) lock(h *webhook.Hook) *bulkhead {
	for {
		ls.mu.Lock()
		l := ls.bulkheads[h.ID]
		if l == nil {
			l = &bulkhead{all: ls, hook: h.ID, breaker: ls.breaker.new()}
			ls.bulkheads[h.ID] = l
		}
		ls.mu.Unlock()
		l.mu.Lock()
		if !l.gone {
			l.capacity = max(1, h.Config.Concurrency)
			return l
		}
		l.mu.Unlock()
	}
}

// Run looks the bulkheads over until ctx ends.
func (ls *Limiter) Run(ctx context.Context) {
	look, forget := time.NewTicker(lookEvery), time.NewTicker(window)
	defer look.Stop()
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			for _, l := range ls.working() {
				l.look(now)
			}
		case now := <-forget.C:
			for _, l := range ls.every() {
				ls.drop(l, now.Add(-2*window))
			}
		}
	}
}

// every lists the bulkheads that there are, working those with work in them.
func (ls *Limiter) every() []*bulkhead {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return slices.Collect(maps.Values(ls.bulkheads))
}

func (ls *Limiter) working() []*bulkhead {
	ls.busyMu.Lock()
	defer ls.busyMu.Unlock()
	return slices.Collect(maps.Keys(ls.busy))
}

// Forget drops the bulkhead of a hook that is gone, unless work is still in it.
func (ls *Limiter) Forget(id uuid.UUID) {
	ls.mu.Lock()
	l := ls.bulkheads[id]
	ls.mu.Unlock()
	if l != nil {
		ls.drop(l, time.Now())
	}
}

// drop forgets a bulkhead that was idle since a time: a breaker that is closed remembers nothing of so long ago.
func (ls *Limiter) drop(l *bulkhead, since time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.running) > 0 || l.waiting() > 0 || l.used.After(since) {
		return
	}
	l.gone = true
	delete(ls.bulkheads, l.hook)
}

// Breakers counts the hooks whose breaker is open, and those that wait for the outcome of a probe.
func (ls *Limiter) Breakers() (open, halfOpen int) {
	for _, l := range ls.every() {
		switch l.breaker.State() {
		case gobreaker.StateOpen:
			open++
		case gobreaker.StateHalfOpen:
			halfOpen++
		case gobreaker.StateClosed:
		}
	}
	return open, halfOpen
}

// Load counts the attempts that run and wait.
func (ls *Limiter) Load() (running, waiting int) {
	for _, l := range ls.working() {
		l.mu.Lock()
		running += len(l.running)
		waiting += l.waiting()
		l.mu.Unlock()
	}
	return running, waiting
}
