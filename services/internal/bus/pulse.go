package bus

import (
	"sync/atomic"
	"time"
)

// stoppedFor is the length of a suspension of this process after which the server may have redelivered its messages
// to others: the ackWait of events, less the time between two heartbeats.
const stoppedFor = 10 * time.Second

// pulse notices, by missing heartbeats of subscriptions, that the process or its machine was suspended.
type pulse struct {
	beat, woke atomic.Int64 // Unix nanoseconds of the wall clock: the monotonic clock stops while the machine is suspended
}

// feel records that the process is running now.
func (p *pulse) feel() {
	now := time.Now().UnixNano()
	if last := p.beat.Swap(now); last != 0 && now-last >= int64(stoppedFor) {
		p.woke.Store(now)
	}
}

// Stopped reports whether this process was suspended since the given time, for so long that the messages it works on
// may have been redelivered to others. What it observed meanwhile, such as a passed deadline, proves nothing. It only
// works while subscriptions are open.
func (b *Bus) Stopped(since time.Time) bool {
	b.pulse.feel()
	return b.pulse.woke.Load() >= since.UnixNano()
}
