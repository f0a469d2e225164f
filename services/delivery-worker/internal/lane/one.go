package lane

import (
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// lane is one hook's.
type lane struct {
	all     *Lanes
	hook    uuid.UUID
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu       sync.Mutex
	gone     bool // dropped: whoever found it before looks again
	capacity int
	running  list
	// fresh and drained wait for a slot; they get it in turns.
	fresh, drained list
	freshBytes     int
	runningBytes   int
	drainedNext    bool
	// progress is when an attempt last ended, or when the lane became full; used, when one began or ended.
	progress, used time.Time
	// latency is a moving average of attempts' durations.
	latency time.Duration
}

// entry is work in a lane.
type entry struct {
	Attempt
	since      time.Time
	done       func(error) // tells the breaker
	slow       bool        // Slow was called, or is about to be
	prev, next *entry
}

// list has entries in the order of their coming.
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

// waiting counts what waits; the lock is held.
func (l *lane) waiting() int { return l.fresh.n + l.drained.n }

// keep counts fresh work that begins to wait, or with negative numbers no longer does; the lock is held.
func (l *lane) keep(n, size int) {
	l.freshBytes += n * size
	l.all.total.waiting.Add(int64(n))
	l.all.total.waitingBytes.Add(int64(n * size))
}

// full reports whether there is no slot; the lock is held.
func (l *lane) full() bool {
	t := &l.all.total
	return l.running.n >= l.capacity ||
		l.running.n > 0 && (t.running.Load() >= maxRunning || int64(l.runningBytes) >= maxRunningBytes-t.runningBytes.Load())
}

// run counts attempts that begin to run, or with negative numbers no longer do; the lock is held.
func (l *lane) run(n, size int) {
	l.runningBytes += n * size
	l.all.total.running.Add(int64(n))
	l.all.total.runningBytes.Add(int64(n * size))
}

// tooBusy reports whether a newcomer would wait longer than patience, or take the room of others; the lock is held.
func (l *lane) tooBusy(size int, now time.Time) bool {
	t := &l.all.total
	switch {
	case now.Sub(l.progress) > l.stall(),
		time.Duration(l.waiting()+1)*l.latency/time.Duration(l.capacity) > patience,
		t.crowded.Load() && l.waiting() >= l.capacity:
		return true
	}
	return int64(l.fresh.n) >= maxWaiting-t.waiting.Load() || int64(l.freshBytes+size) > maxWaitingBytes-t.waitingBytes.Load()
}

// stall is how long the lane may go without an attempt ending; the lock is held.
func (l *lane) stall() time.Duration { return min(max(stalled, 2*l.latency), patience) }

// admit gives an entry, which has to run then, a slot, or says why not; the lock is held and there is a free slot.
func (l *lane) admit(e *entry, now time.Time) webhook.Reason {
	done, err := l.breaker.Allow()
	if err != nil {
		return webhook.ReasonBreaker
	}
	e.since, e.done = now, done
	l.used = now
	if l.running.n == 0 {
		l.all.busyMu.Lock()
		l.all.busy[l] = struct{}{}
		l.all.busyMu.Unlock()
	}
	l.running.push(e)
	l.run(1, e.Size)
	if l.full() {
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
	l.run(-1, e.Size)
	l.progress, l.used = now, now
	l.latency += (now.Sub(e.since) - l.latency) / 8
	for l.waiting() > 0 && !l.full() {
		first := l.pop()
		switch {
		case l.admit(first, now) != webhook.ReasonNone:
			refused = append(refused, first)
		case next == nil:
			next = first
		default:
			go l.work(first)
		}
	}
	if l.running.n == 0 {
		l.all.busyMu.Lock()
		delete(l.all.busy, l)
		l.all.busyMu.Unlock()
	}
	l.mu.Unlock()
	for _, r := range refused {
		r.Park(webhook.ReasonBreaker)
	}
	return next
}

// pop takes the next that waits, fresh and drained ones in turns; the lock is held and there is one.
func (l *lane) pop() *entry {
	from := &l.fresh
	if l.drained.n > 0 && (l.drainedNext || l.fresh.n == 0) {
		from = &l.drained
	}
	l.drainedNext = from == &l.fresh
	e := from.oldest
	from.remove(e)
	if !e.Drain {
		l.keep(-1, e.Size)
	}
	return e
}

// look parks what has waited too long, or for a hook that has changed meanwhile, and marks what has run long.
func (l *lane) look(now time.Time) {
	var slow []*entry
	l.mu.Lock()
	for _, there := range [2]*list{&l.running, &l.fresh} {
		for e := there.oldest; e != nil && now.Sub(e.since) > quick; e = e.next {
			if !e.slow {
				e.slow = true
				slow = append(slow, e)
			}
		}
	}
	late, reason := l.late(now)
	l.mu.Unlock()
	for _, e := range slow {
		if e.Slow != nil {
			e.Slow()
		}
	}
	for _, e := range late {
		e.Park(reason)
	}
}

// late takes out what should not wait any more, and says why; the lock is held.
func (l *lane) late(now time.Time) (late []*entry, reason webhook.Reason) {
	if l.waiting() == 0 {
		return nil, webhook.ReasonNone
	}
	h := l.all.hooks.Get(l.hook)
	reason = webhook.ReasonConcurrency
	if h != nil && h.Status == webhook.Paused {
		reason = webhook.ReasonPaused
	}
	hanging := now.Sub(l.progress) > l.stall()
	crowded := l.all.total.crowded.Load() && l.fresh.n > l.capacity
	for _, waiting := range [2]*list{&l.fresh, &l.drained} {
		for e := waiting.oldest; e != nil; e = e.next {
			if e.Hook == h && (e.Drain || !hanging && !crowded && now.Sub(e.since) <= patience) {
				continue
			}
			waiting.remove(e)
			if !e.Drain {
				l.keep(-1, e.Size)
			}
			late = append(late, e)
		}
	}
	return late, reason
}
