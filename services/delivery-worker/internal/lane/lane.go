// Package lane keeps hooks apart: each has a lane of its own, so that a receiver which hangs, drips or fails costs the
// others nothing. A receiver that is merely slow has its deliveries wait in its lane, up to a bound; what a lane cannot
// take soon is parked, not waited for.
package lane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Limits of what waits and runs.
const (
	// patience is the longest that work waits in a lane for a slot.
	patience = 5 * time.Second
	// quick is the longest that an attempt which runs or waits counts as such.
	quick = 250 * time.Millisecond
	// brisk is the longest that a lane may take for an attempt, when all its slots are in use, for its receiver not to count
	// as slow. Who waits for such a lane is better waited for: parking and draining would take longer.
	brisk = 500 * time.Microsecond
	// stalled is how long a full lane may go without any attempt ending before it counts as hanging; longer where its
	// attempts have been taking long, up to patience. Nothing waits in a lane that hangs.
	stalled = 500 * time.Millisecond
	// lookEvery is how often lanes are looked over for what has waited or run too long.
	lookEvery = 100 * time.Millisecond
	// maxWaiting and maxWaitingBytes bound what waits in all lanes together. No lane gets more than is left for the
	// others, so that there is always room for one that needs some.
	maxWaiting      = 4096
	maxWaitingBytes = 16 << 20
	// maxRunning bounds what runs in all lanes together, and maxRunningBytes the size of that, but for one attempt in each. No
	// lane gets more bytes than are left for the others.
	maxRunning      = 4096
	maxRunningBytes = 16 << 20
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

// Hooks is the hook index.
type Hooks interface {
	// Get returns a hook as it is now, nil for one that is gone.
	Get(id uuid.UUID) *webhook.Hook
}

// Lanes are the lanes of one worker.
type Lanes struct {
	breaker Breaker
	hooks   Hooks
	total   total

	mu    sync.Mutex
	lanes map[uuid.UUID]*lane

	busyMu sync.Mutex
	busy   map[*lane]struct{} // those with work in them
}

// total is what is in all lanes together.
type total struct {
	running, runningBytes atomic.Int64
	waiting, waitingBytes atomic.Int64
	crowded               atomic.Bool
}

// New makes lanes without any work in them. Run them.
func New(b Breaker, hooks Hooks) *Lanes {
	return &Lanes{breaker: b, hooks: hooks, lanes: map[uuid.UUID]*lane{}, busy: map[*lane]struct{}{}}
}

// Crowd says whether the workers together hold so much that lanes should rather park than keep.
func (ls *Lanes) Crowd(crowded bool) { ls.total.crowded.Store(crowded) }

// Enter lets an attempt into its hook's lane: it runs now, or within patience, or is parked. Enter does not block.
func (ls *Lanes) Enter(a Attempt) {
	now := time.Now()
	if reason, refused := unable(a, now); refused {
		a.Park(reason)
		return
	}
	e := &entry{Attempt: a, since: now}
	reason, slow := ls.enter(e, now)
	switch {
	case reason != webhook.ReasonNone:
		a.Park(reason)
	case slow && a.Slow != nil:
		a.Slow()
	}
}

func (ls *Lanes) enter(e *entry, now time.Time) (reason webhook.Reason, slow bool) {
	l := ls.lock(e.Hook)
	defer l.mu.Unlock()
	switch {
	case !l.full() && l.waiting() == 0:
		if reason = l.admit(e, now); reason == webhook.ReasonNone {
			go l.work(e)
		}
		return reason, false
	case e.Drain:
		l.drained.push(e)
	case l.breaker.State() == gobreaker.StateOpen:
		return webhook.ReasonBreaker, false
	case l.tooBusy(e.Size, now):
		return webhook.ReasonConcurrency, false
	default:
		e.slow = l.latency > brisk*time.Duration(l.capacity) // Enter says so
		l.fresh.push(e)
		l.keep(1, e.Size)
	}
	return webhook.ReasonNone, e.slow
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

// Able reports whether the hook could take an attempt from the parked queue now; probing, that it takes just one, to see
// whether its receiver has recovered.
func (ls *Lanes) Able(h *webhook.Hook) (able, probing bool) {
	if _, refused := unable(Attempt{Hook: h, Drain: true}, time.Now()); refused {
		return false, false
	}
	ls.mu.Lock()
	l := ls.lanes[h.ID]
	ls.mu.Unlock()
	if l == nil {
		return true, false
	}
	state := l.breaker.State()
	return state != gobreaker.StateOpen, state == gobreaker.StateHalfOpen
}

// lock returns the hook's lane, locked.
func (ls *Lanes) lock(h *webhook.Hook) *lane {
	for {
		ls.mu.Lock()
		l := ls.lanes[h.ID]
		if l == nil {
			l = &lane{all: ls, hook: h.ID, breaker: ls.breaker.new()}
			ls.lanes[h.ID] = l
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

// Run looks the lanes over until ctx ends.
func (ls *Lanes) Run(ctx context.Context) {
	look, forget := time.NewTicker(lookEvery), time.NewTicker(ls.breaker.Window)
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
				ls.drop(l, now.Add(-2*ls.breaker.Window))
			}
		}
	}
}

// every lists the lanes that there are, working those with work in them.
func (ls *Lanes) every() []*lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	list := make([]*lane, 0, len(ls.lanes))
	for _, l := range ls.lanes {
		list = append(list, l)
	}
	return list
}

func (ls *Lanes) working() []*lane {
	ls.busyMu.Lock()
	defer ls.busyMu.Unlock()
	list := make([]*lane, 0, len(ls.busy))
	for l := range ls.busy {
		list = append(list, l)
	}
	return list
}

// Forget drops the lane of a hook that is gone, unless work is still in it.
func (ls *Lanes) Forget(id uuid.UUID) {
	ls.mu.Lock()
	l := ls.lanes[id]
	ls.mu.Unlock()
	if l != nil {
		ls.drop(l, time.Now())
	}
}

// drop forgets a lane that was idle since a time: a breaker that is closed remembers nothing of so long ago.
func (ls *Lanes) drop(l *lane, since time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running.n > 0 || l.waiting() > 0 || l.used.After(since) {
		return
	}
	l.gone = true
	delete(ls.lanes, l.hook)
}

// Breakers counts the lanes whose breaker is open, and those that wait for the outcome of a probe.
func (ls *Lanes) Breakers() (open, halfOpen int) {
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

// Load counts the attempts that run and wait in all lanes.
func (ls *Lanes) Load() (running, waiting int) {
	for _, l := range ls.working() {
		l.mu.Lock()
		running += l.running.n
		waiting += l.waiting()
		l.mu.Unlock()
	}
	return running, waiting
}
