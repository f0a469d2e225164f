// Package limiter isolates hooks from each other. Each hook has a bulkhead of its own, so that a receiver which hangs, drips or
// fails does not affect other hooks. If a receiver is merely slow, its deliveries wait in its bulkhead, up to a limit.
// Deliveries that a bulkhead cannot take soon are parked.
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

// Limits of waiting and running attempts.
const (
	// patience is the longest time that an attempt waits for a slot, unless it comes from the parked queue.
	patience = 5 * time.Second
	// quick is the longest time for which an attempt may wait or run without being marked as slow.
	quick = 250 * time.Millisecond
	// brisk is the longest average time between the ends of two attempts, with all slots in use, for which a receiver does not
	// count as slow. The fan-out waits for such a receiver, because parking and draining would take longer.
	brisk = 500 * time.Microsecond
	// stalled is the shortest time after which a full bulkhead counts as hanging if none of its attempts ends. It is longer if
	// attempts have been taking long, up to patience. Nothing waits for a receiver that hangs.
	stalled = 500 * time.Millisecond
	// lookEvery is the interval at which bulkheads are checked for attempts that have waited or run too long.
	lookEvery = 100 * time.Millisecond
	// maxWaiting and maxWaitingBytes bound the waiting attempts of all bulkheads together. No bulkhead gets more than what is
	// left for the others, so that there is always some room.
	maxWaiting      = 4096
	maxWaitingBytes = 16 << 20
	// maxRunning and maxRunningBytes bound the running attempts of all bulkheads together. One attempt per bulkhead may always
	// run. No bulkhead gets more bytes than what is left for the others.
	maxRunning      = 4096
	maxRunningBytes = 16 << 20
	// window is the period over which the breaker counts attempts.
	window = time.Minute
)

// Attempt is an attempt that wants a slot of its hook. Exactly one of Run and Park is called, once.
type Attempt struct {
	Hook *webhook.Hook
	// Size is the number of bytes kept in memory while the attempt waits and runs.
	Size int
	// Run makes the attempt on a goroutine of its own, and holds the slot until it returns. The error is nil if the receiver
	// accepted the request, context.Canceled if the outcome says nothing about the receiver, and any other error if the
	// receiver failed.
	Run func() error
	// Park is called, with the reason, if the hook cannot take the attempt now.
	Park func(webhook.Reason)
	// Slow, if not nil, is called once if the attempt has to wait for a slow receiver, or waits or runs for long.
	Slow func()
	// Drain reports that the attempt comes from the parked queue. Such an attempt waits for a slot for any length of time, and
	// is refused only if the hook cannot take attempts at all.
	Drain bool
	// Retry reports that the attempt is not the delivery's first.
	Retry bool
}

// Breaker holds the conditions under which a receiver counts as failing.
type Breaker struct {
	// MinAttempts and FailureRatio are the minimum number of attempts within window, and the share of failures among them, that
	// open the breaker.
	MinAttempts  int
	FailureRatio float64
	// Open is how long the breaker stays open before it lets one probe through.
	Open time.Duration
}

func (b Breaker) new() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, Interval: window, BucketPeriod: window / 6, Timeout: b.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			ended := c.TotalSuccesses + c.TotalFailures // without the attempts in progress
			return int(ended) >= b.MinAttempts && float64(c.TotalFailures) >= b.FailureRatio*float64(ended)
		},
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
	})
}

// Limiter holds the bulkheads of one worker's hooks.
type Limiter struct {
	breaker Breaker
	// hook returns the current version of a hook, or nil if it was removed.
	hook func(uuid.UUID) *webhook.Hook
	// waiting and running are the attempts in all bulkheads together.
	waiting, running load
	crowded          atomic.Bool

	mu        sync.Mutex
	bulkheads map[uuid.UUID]*bulkhead

	busyMu sync.Mutex
	busy   map[*bulkhead]struct{} // the bulkheads with running attempts
}

// load is a number of attempts and their total size.
type load struct{ n, bytes atomic.Int64 }

func (l *load) add(n, size int) {
	l.n.Add(int64(n))
	l.bytes.Add(int64(n * size))
}

// New returns a Limiter that looks hooks up with the given function. Call Run to start it.
func New(b Breaker, hook func(uuid.UUID) *webhook.Hook) *Limiter {
	return &Limiter{breaker: b, hook: hook, bulkheads: map[uuid.UUID]*bulkhead{}, busy: map[*bulkhead]struct{}{}}
}

// Crowd sets whether the workers together hold so many messages that attempts should rather be parked than wait.
func (ls *Limiter) Crowd(crowded bool) { ls.crowded.Store(crowded) }

// Enter runs an attempt now or within patience, or parks it. It does not block.
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
		e.slow = l.latency > brisk*time.Duration(l.capacity) // Enter calls Slow
		l.fresh = append(l.fresh, e)
		l.keep(1, e.Size)
	}
	return webhook.ReasonNone, e.slow
}

// unable returns the reason why the hook's own state or settings forbid the attempt.
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
		return webhook.ReasonNone // the retry that the hook's other deliveries wait for
	}
	return reason
}

// Able reports whether the hook could take an attempt from the parked queue now. probing reports that it takes only one, as a
// probe whether its receiver has recovered.
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

// Run checks the bulkheads until ctx ends.
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
				if l.breaker.State() == gobreaker.StateClosed || ls.hook(l.hook) == nil {
					ls.drop(l, now.Add(-2*window))
				}
			}
		}
	}
}

// every returns all bulkheads, and working those with running attempts.
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

// Forget drops the bulkhead of a hook that was removed, unless it has attempts.
func (ls *Limiter) Forget(id uuid.UUID) {
	ls.mu.Lock()
	l := ls.bulkheads[id]
	ls.mu.Unlock()
	if l != nil {
		ls.drop(l, time.Now())
	}
}

// drop removes a bulkhead that was idle since the given time. A closed breaker has no counts left from so long ago.
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

// Breakers returns the number of hooks whose breaker is open, and of those whose breaker waits for the result of a probe.
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

// Load returns the numbers of running and waiting attempts.
func (ls *Limiter) Load() (running, waiting int) {
	for _, l := range ls.working() {
		l.mu.Lock()
		running += len(l.running)
		waiting += l.waiting()
		l.mu.Unlock()
	}
	return running, waiting
}
