// Package lane keeps hooks apart: each has a lane of its own, so that a receiver which hangs, drips or fails costs the
// others nothing. What a lane cannot take soon is parked, not waited for.
package lane

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Times that decide between waiting in a lane and parking.
const (
	// patience is the longest that work waits in a lane for a slot, and the longest that a running attempt counts as
	// quick.
	patience = time.Second
	// stalled is how long a full lane may go without any attempt ending before newcomers are parked at once.
	stalled = 500 * time.Millisecond
	// lookEvery is how often lanes are looked over for what has waited or run too long.
	lookEvery = 100 * time.Millisecond
)

// Attempt is work that wants to be done for a hook. Exactly one of Run and Park is called, once.
type Attempt struct {
	Hook *webhook.Hook
	// Run makes the attempt, on a goroutine of its own; its slot is free when it returns. The error is nil for a success
	// of the receiver, context.Canceled where nothing can be said of the receiver, and anything else for its failure.
	Run func() error
	// Park is called where the hook cannot take the attempt now, and says why.
	Park func(webhook.Reason)
	// Slow, if not nil, is called once when Run takes longer than patience.
	Slow func()
	// Drain says that the attempt is from the parked lane already: it waits for a slot as long as it takes, and is
	// refused only where the hook is not able at all.
	Drain bool
	// Retry says that the attempt is not the delivery's first.
	Retry bool
}

// Breaker says when a hook's receiver counts as failing. The zero value is DefaultBreaker.
type Breaker struct {
	// MinAttempts and FailureRatio within Window open the breaker.
	MinAttempts  int
	FailureRatio float64
	Window       time.Duration
	// Open is how long it stays open before one probe is let through.
	Open time.Duration
}

// DefaultBreaker opens at 10 attempts of which 70 % fail within a minute, for 10 s.
func DefaultBreaker() Breaker {
	return Breaker{MinAttempts: 10, FailureRatio: 0.7, Window: time.Minute, Open: 10 * time.Second}
}

// Lanes are the lanes of one worker.
type Lanes struct {
	breaker Breaker

	mu    sync.Mutex
	lanes map[uuid.UUID]*lane
}

// New makes lanes without any work in them. Run them.
func New(b Breaker) *Lanes {
	if b == (Breaker{}) {
		b = DefaultBreaker()
	}
	return &Lanes{breaker: b, lanes: map[uuid.UUID]*lane{}}
}

// lane is one hook's.
type lane struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu       sync.Mutex
	capacity int
	running  list
	waiting  []*entry
	// progress is when an attempt last ended, or when the lane became full.
	progress time.Time
	// latency is a moving average of attempts' durations.
	latency time.Duration
}

// entry is work in a lane; running ones are linked, the oldest first.
type entry struct {
	Attempt
	since      time.Time
	done       func(error) // tells the breaker
	slow       bool
	prev, next *entry
}

type list struct {
	oldest, newest *entry
	n              int
}

func (l *list) push(e *entry) {
	e.prev, e.next = l.newest, nil
	if l.newest != nil {
		l.newest.next = e
	} else {
		l.oldest = e
	}
	l.newest = e
	l.n++
}

func (l *list) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.oldest = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.newest = e.prev
	}
	l.n--
}

// Enter lets an attempt into its hook's lane: it runs now, or within patience, or is parked. Enter does not block.
func (ls *Lanes) Enter(a Attempt) {
	now := time.Now()
	if reason, refused := unable(a, now); refused {
		a.Park(reason)
		return
	}
	l := ls.lane(a.Hook)
	e := &entry{Attempt: a, since: now}
	reason := webhook.ReasonNone
	l.mu.Lock()
	switch {
	case l.running.n < l.capacity && len(l.waiting) == 0:
		if reason = l.admit(e, now); reason == webhook.ReasonNone {
			go l.work(e)
		}
	case a.Drain:
		l.waiting = append(l.waiting, e)
	case l.breaker.State() == gobreaker.StateOpen:
		reason = webhook.ReasonBreaker
	case l.tooBusy(now):
		reason = webhook.ReasonConcurrency
	default:
		l.waiting = append(l.waiting, e)
	}
	l.mu.Unlock()
	if reason != webhook.ReasonNone {
		a.Park(reason)
	}
}

// unable says why a hook cannot take the attempt, by what the hook is.
func unable(a Attempt, now time.Time) (webhook.Reason, bool) {
	config := &a.Hook.Config
	switch {
	case a.Hook.Status == webhook.Paused:
		return webhook.ReasonPaused, true
	case len(config.Maintenance) > 0 && config.InMaintenance(now):
		return webhook.ReasonMaintenance, true
	case a.Drain:
		return webhook.ReasonNone, false
	}
	reason, drained := config.Drained()
	if drained && a.Retry && reason == webhook.ReasonOrdered && config.RateLimit == nil {
		return webhook.ReasonNone, false // the one that the others wait for
	}
	return reason, drained
}

// Able reports whether the hook could take an attempt from the parked lane now; probing, that it takes just one, to see
// whether its receiver has recovered.
func (ls *Lanes) Able(h *webhook.Hook) (able, probing bool) {
	if _, refused := unable(Attempt{Hook: h, Drain: true}, time.Now()); refused {
		return false, false
	}
	state := ls.lane(h).breaker.State()
	return state != gobreaker.StateOpen, state == gobreaker.StateHalfOpen
}

func (ls *Lanes) lane(h *webhook.Hook) *lane {
	ls.mu.Lock()
	l := ls.lanes[h.ID]
	if l == nil {
		l = &lane{breaker: ls.newBreaker()}
		ls.lanes[h.ID] = l
	}
	ls.mu.Unlock()
	l.mu.Lock()
	l.capacity = h.Config.Concurrency
	l.mu.Unlock()
	return l
}

func (ls *Lanes) newBreaker() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	b := ls.breaker
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: 1, Interval: b.Window, BucketPeriod: b.Window / 6, Timeout: b.Open,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			ended := c.TotalSuccesses + c.TotalFailures // not those under way
			return int(ended) >= b.MinAttempts && float64(c.TotalFailures) >= b.FailureRatio*float64(ended)
		},
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
	})
}

// tooBusy reports whether a newcomer would wait longer than patience; the lock is held.
func (l *lane) tooBusy(now time.Time) bool {
	if now.Sub(l.progress) > stalled {
		return true
	}
	return time.Duration(len(l.waiting)+1)*l.latency/time.Duration(l.capacity) > patience
}

// admit gives an entry, which has to run then, a slot, or says why not; the lock is held and there is a free slot.
func (l *lane) admit(e *entry, now time.Time) webhook.Reason {
	done, err := l.breaker.Allow()
	if err != nil {
		return webhook.ReasonBreaker
	}
	e.since, e.done = now, done
	l.running.push(e)
	if l.running.n >= l.capacity {
		l.progress = now
	}
	return webhook.ReasonNone
}

// work runs an entry, and those that waited for its slot: a goroutine whose stack has grown is better used again.
func (l *lane) work(e *entry) {
	for e != nil {
		err := e.Run()
		e.done(err)
		e = l.finish(e)
	}
}

// finish frees the slot of an entry and gives it to the next, which is returned to be run.
func (l *lane) finish(e *entry) (next *entry) {
	now := time.Now()
	var refused []*entry
	l.mu.Lock()
	l.running.remove(e)
	l.progress = now
	l.latency += (now.Sub(e.since) - l.latency) / 8
	for len(l.waiting) > 0 && l.running.n < l.capacity {
		first := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		switch {
		case l.admit(first, now) != webhook.ReasonNone:
			refused = append(refused, first)
		case next == nil:
			next = first
		default:
			go l.work(first)
		}
	}
	l.mu.Unlock()
	for _, r := range refused {
		r.Park(webhook.ReasonBreaker)
	}
	return next
}

// Run looks the lanes over until ctx ends.
func (ls *Lanes) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, l := range ls.all() {
				l.look(now)
			}
		}
	}
}

func (ls *Lanes) all() []*lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	all := make([]*lane, 0, len(ls.lanes))
	for _, l := range ls.lanes {
		all = append(all, l)
	}
	return all
}

// look parks what has waited too long and marks what has run too long.
func (l *lane) look(now time.Time) {
	var slow, late []*entry
	l.mu.Lock()
	for e := l.running.oldest; e != nil && now.Sub(e.since) > patience; e = e.next {
		if !e.slow {
			e.slow = true
			slow = append(slow, e)
		}
	}
	if len(l.waiting) > 0 && (now.Sub(l.waiting[0].since) > patience || now.Sub(l.progress) > stalled) {
		late = l.unpatient(now)
	}
	l.mu.Unlock()
	for _, e := range slow {
		if e.Slow != nil {
			e.Slow()
		}
	}
	for _, e := range late {
		e.Park(webhook.ReasonConcurrency)
	}
}

// unpatient takes out of the queue what has waited too long; the lock is held.
func (l *lane) unpatient(now time.Time) (late []*entry) {
	stuck := now.Sub(l.progress) > stalled
	kept := l.waiting[:0]
	for _, e := range l.waiting {
		if !e.Drain && (stuck || now.Sub(e.since) > patience) {
			late = append(late, e)
		} else {
			kept = append(kept, e)
		}
	}
	clear(l.waiting[len(kept):])
	l.waiting = kept
	return late
}

// Forget drops the lane of a hook that is gone, unless work is still in it.
func (ls *Lanes) Forget(id uuid.UUID) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.lanes[id]; l != nil {
		l.mu.Lock()
		idle := l.running.n == 0 && len(l.waiting) == 0
		l.mu.Unlock()
		if idle {
			delete(ls.lanes, id)
		}
	}
}

// Breakers counts the lanes whose breaker is open, and those that wait for the outcome of a probe.
func (ls *Lanes) Breakers() (open, halfOpen int) {
	for _, l := range ls.all() {
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

// Load counts the attempts that run and wait in all lanes.
func (ls *Lanes) Load() (running, waiting int) {
	for _, l := range ls.all() {
		l.mu.Lock()
		running += l.running.n
		waiting += len(l.waiting)
		l.mu.Unlock()
	}
	return running, waiting
}
