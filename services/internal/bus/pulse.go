package bus

import (
	"sync/atomic"
	"time"
)

// stoppedFor is how long a process does not run before the server may have handed to others what it had handed to this one: the
// ackWait of events, less the time between two heartbeats.
const stoppedFor = 10 * time.Second

// pulse notices that the process was stopped, or its machine suspended, by the heartbeats of subscriptions that did not come.
type pulse struct {
	beat, woke atomic.Int64 // in Unix nanoseconds of the wall clock: the monotonic one stands still with the machine
}

// feel notes that the process runs now.
func (p *pulse) feel() {
	now := time.Now().UnixNano()
	if last := p.beat.Swap(now); last != 0 && now-last >= int64(stoppedFor) {
		p.woke.Store(now)
	}
}

// Stopped reports whether this process was stopped since the time for so long that others may have been handed what it works on.
// What it found out in between, such as that a deadline has passed, says nothing. Subscriptions have to be open.
func (b *Bus) Stopped(since time.Time) bool {
	b.pulse.feel()
	return b.pulse.woke.Load() >= since.UnixNano()
}
