package limiter

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// bulkhead holds the attempts of one hook. Its lists are in order of arrival.
type bulkhead struct {
	all     *Limiter
	hook    uuid.UUID
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]

	mu       sync.Mutex
	gone     bool // dropped from the limiter: look the hook up again
	capacity int
	running  []*entry
	// fresh and drained hold the attempts that wait for a slot. They take turns.
	fresh, drained []*entry
	freshBytes     int
	runningBytes   int
	drainedNext    bool
	// progress is when an attempt last ended, or when the bulkhead became full. used is when one last began or ended.
	progress, used time.Time
	// latency is a moving average of the attempts' durations.
	latency time.Duration
}

// entry is an attempt in a bulkhead.
type entry struct {
	Attempt
	// since is when the attempt arrived, or got its slot.
	since time.Time
	done  func(error) // reports the result to the breaker
	slow  bool        // Slow was called, or is about to be
}

// waiting returns the number of waiting attempts. The caller holds l.mu.
func (l *bulkhead) waiting() int { return len(l.fresh) + len(l.drained) }

// keep adds n to the number of waiting fresh attempts, and their size to the total. n may be negative. The caller holds l.mu.
func (l *bulkhead) keep(n, size int) {
	l.freshBytes += n * size
	l.all.waiting.add(n, size)
}

// run adds n to the number of running attempts, and their size to the total. n may be negative. The caller holds l.mu.
func (l *bulkhead) run(n, size int) {
	l.runningBytes += n * size
	l.all.running.add(n, size)
}

// full reports whether there is no free slot. The caller holds l.mu.
func (l *bulkhead) full() bool {
	all := &l.all.running
	return len(l.running) >= l.capacity ||
		len(l.running) > 0 && (all.n.Load() >= maxRunning || int64(l.runningBytes) >= maxRunningBytes-all.bytes.Load())
}

// tooBusy reports whether a new attempt would wait longer than patience, or take the room of other hooks. The caller holds
// l.mu.
func (l *bulkhead) tooBusy(size int, now time.Time) bool {
	switch {
	case now.Sub(l.progress) > l.stall(),
		time.Duration(l.waiting()+1)*l.latency/time.Duration(l.capacity) > patience,
		l.all.crowded.Load() && l.waiting() >= l.capacity:
		return true
	}
	all := &l.all.waiting
	return int64(len(l.fresh)) >= maxWaiting-all.n.Load() || int64(l.freshBytes+size) > maxWaitingBytes-all.bytes.Load()
}

// stall returns the time within which an attempt should end. The caller holds l.mu.
func (l *bulkhead) stall() time.Duration { return min(max(stalled, 2*l.latency), patience) }

// admit gives an entry a slot, and the caller must then run it; or admit returns the reason why not. The caller holds l.mu, and
// there is a free slot.
func (l *bulkhead) admit(e *entry, now time.Time) webhook.Reason {
	done, err := l.breaker.Allow()
	if err != nil {
		return webhook.ReasonBreaker
	}
	e.since, e.done, l.used = now, done, now
	if len(l.running) == 0 {
		l.all.busyMu.Lock()
		l.all.busy[l] = struct{}{}
		l.all.busyMu.Unlock()
	}
	l.running = append(l.running, e)
	l.run(1, e.Size)
	if l.full() {
		l.progress = now
	}
	return webhook.ReasonNone
}

// work runs an entry, and then those that waited for its slot. Reusing the goroutine saves growing its stack again.
func (l *bulkhead) work(e *entry) {
	for e != nil {
		err := e.Run()
		e.done(err)
		e = l.finish(e)
	}
}

// finish frees the slot of an entry. It returns the next entry, which the caller must run.
func (l *bulkhead) finish(e *entry) (next *entry) {
	now := time.Now()
	var refused []*entry
	l.mu.Lock()
	at := slices.Index(l.running, e)
	l.running = slices.Delete(l.running, at, at+1)
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
	if len(l.running) == 0 {
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

// pop removes the next waiting entry. Fresh and drained ones take turns. The caller holds l.mu, and an entry is waiting.
func (l *bulkhead) pop() *entry {
	from := &l.fresh
	if len(l.drained) > 0 && (l.drainedNext || len(l.fresh) == 0) {
		from = &l.drained
	}
	l.drainedNext = from == &l.fresh
	e := (*from)[0]
	(*from)[0] = nil // let the garbage collector free it: the array keeps its first elements
	*from = (*from)[1:]
	if !e.Drain {
		l.keep(-1, e.Size)
	}
	return e
}

// look marks attempts that have run or waited for long, and parks those that have waited too long or whose hook has changed
// meanwhile.
func (l *bulkhead) look(now time.Time) {
	var slow []*entry
	l.mu.Lock()
	for _, there := range [2][]*entry{l.running, l.fresh} {
		for _, e := range there {
			if now.Sub(e.since) <= quick {
				break
			}
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

// late removes the entries that should not wait any more, and returns them with the reason. The caller holds l.mu.
func (l *bulkhead) late(now time.Time) (late []*entry, reason webhook.Reason) {
	if l.waiting() == 0 {
		return nil, webhook.ReasonNone
	}
	h := l.all.hook(l.hook)
	reason = webhook.ReasonConcurrency
	if h != nil && h.Status == webhook.Paused {
		reason = webhook.ReasonPaused
	}
	hanging := now.Sub(l.progress) > l.stall()
	crowded := l.all.crowded.Load() && len(l.fresh) > l.capacity
	leaves := func(e *entry) bool {
		if e.Hook == h && (e.Drain || !hanging && !crowded && now.Sub(e.since) <= patience) {
			return false
		}
		if !e.Drain {
			l.keep(-1, e.Size)
		}
		late = append(late, e)
		return true
	}
	l.fresh, l.drained = slices.DeleteFunc(l.fresh, leaves), slices.DeleteFunc(l.drained, leaves)
	return late, reason
}
