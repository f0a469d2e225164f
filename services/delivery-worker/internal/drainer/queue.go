package drainer

import (
	"sync/atomic"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

const (
	// atOnce bounds the hooks that one worker drains side by side, and limitedAtOnce those with a rate limit: they are many,
	// since all that they get is parked first, and cost little, since mostly they wait for their rate.
	atOnce, limitedAtOnce = 64, 1024
	// turn is how long a hook is drained at least, if it has so much, and at most while others wait.
	turn, limitedTurn = 2 * time.Second, 30 * time.Second
	// page is how many parked deliveries are read at once, at most; of a hook with a rate limit it is what it takes in
	// pageTime, and limitedPage at least.
	page, limitedPage = 500, 16
	pageTime          = 2 * time.Second
)

// queue is the hooks that are being drained, up to a bound, and those that wait for that in their order.
type queue struct {
	bound   int
	turn    time.Duration
	running int
	list    []postgres.Backlog
	waiting atomic.Int64 // the length of list, for those that run
}

func (q *queue) add(b postgres.Backlog) {
	q.list = append(q.list, b)
	q.waiting.Store(int64(len(q.list)))
}

// next takes the first one out, if there is room for it to run.
func (q *queue) next() (b postgres.Backlog, ok bool) {
	if q.running == q.bound || len(q.list) == 0 {
		return b, false
	}
	b, q.list = q.list[0], q.list[1:]
	q.running++
	q.waiting.Store(int64(len(q.list)))
	return b, true
}
