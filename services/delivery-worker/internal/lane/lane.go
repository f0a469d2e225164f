// Package lane keeps hooks apart: each has a lane of its own, so that a receiver which hangs, drips or fails costs the
// others nothing. What a lane cannot take soon is parked, not waited for.
package lane

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

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

// Lanes are the lanes of one worker.
type Lanes struct {
	mu    sync.Mutex
	lanes map[uuid.UUID]*lane
}

// New makes lanes without any work in them. Run them.
func New() *Lanes { return &Lanes{lanes: map[uuid.UUID]*lane{}} }

// lane is one hook's.
type lane struct {
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
	run        func()
	park       func(webhook.Reason)
	onSlow     func()
	since      time.Time
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

// Enter lets an attempt into the hook's lane. Either run is called, now or within patience, on a goroutine of its own,
// and the slot is free when it returns; or park is, because the hook cannot take the attempt now. slow, if not nil, is
// called once when run takes longer than patience. Enter does not block.
func (ls *Lanes) Enter(h *webhook.Hook, run func(), park func(webhook.Reason), slow func()) {
	if h.Status == webhook.Paused {
		park(webhook.ReasonPaused)
		return
	}
	l := ls.lane(h)
	now := time.Now()
	l.mu.Lock()
	e := &entry{run: run, park: park, onSlow: slow, since: now}
	switch {
	case l.running.n < l.capacity && len(l.waiting) == 0:
		l.start(e, now)
		l.mu.Unlock()
	case l.tooBusy(now):
		l.mu.Unlock()
		park(webhook.ReasonConcurrency)
	default:
		l.waiting = append(l.waiting, e)
		l.mu.Unlock()
	}
}

func (ls *Lanes) lane(h *webhook.Hook) *lane {
	ls.mu.Lock()
	l := ls.lanes[h.ID]
	if l == nil {
		l = &lane{}
		ls.lanes[h.ID] = l
	}
	ls.mu.Unlock()
	l.mu.Lock()
	l.capacity = h.Config.Concurrency
	l.mu.Unlock()
	return l
}

// tooBusy reports whether a newcomer would wait longer than patience; the lock is held.
func (l *lane) tooBusy(now time.Time) bool {
	if now.Sub(l.progress) > stalled {
		return true
	}
	return time.Duration(len(l.waiting)+1)*l.latency/time.Duration(l.capacity) > patience
}

// start runs an entry; the lock is held and there is a free slot.
func (l *lane) start(e *entry, now time.Time) {
	e.since = now
	l.running.push(e)
	if l.running.n >= l.capacity {
		l.progress = now
	}
	go func() {
		e.run()
		l.finish(e)
	}()
}

// finish frees the slot of an entry and gives it to the next.
func (l *lane) finish(e *entry) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running.remove(e)
	l.progress = now
	l.latency += (now.Sub(e.since) - l.latency) / 8
	for len(l.waiting) > 0 && l.running.n < l.capacity {
		next := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		l.start(next, now)
	}
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
	for len(l.waiting) > 0 && (now.Sub(l.waiting[0].since) > patience || now.Sub(l.progress) > stalled) {
		late = append(late, l.waiting[0])
		l.waiting = l.waiting[1:]
	}
	l.mu.Unlock()
	for _, e := range slow {
		if e.onSlow != nil {
			e.onSlow()
		}
	}
	for _, e := range late {
		e.park(webhook.ReasonConcurrency)
	}
}

// Free reports how many more attempts the hook's lane would start at once.
func (ls *Lanes) Free(h *webhook.Hook) int {
	l := ls.lane(h)
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.capacity-l.running.n-len(l.waiting))
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
