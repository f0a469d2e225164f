package drainer

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// atOnce bounds the hooks that one worker drains side by side, and seldomAtOnce those that may have up to seldom deliveries a
	// second: they are many, since all that they get is parked first, and cost little, since mostly they wait for their rate.
	atOnce, seldomAtOnce = 64, 512
	seldom               = rate.Limit(100)
	// turn is how long a hook is drained at least, if it has so much, and at most while others wait.
	turn, seldomTurn = 2 * time.Second, 30 * time.Second
	// page is how many parked deliveries are read at once, at most.
	page, seldomPage = 500, 16
)

// queues are the hooks that a worker drains, each in one of two queues.
type queues struct{ quick, seldom *queue }

func newQueues() queues {
	return queues{quick: &queue{bound: atOnce, turn: turn, page: page}, seldom: &queue{bound: seldomAtOnce, turn: seldomTurn, page: seldomPage}}
}

// of returns the queue of a hook, which may be nil.
func (q queues) of(h *webhook.Hook) *queue {
	if h != nil && h.Status == webhook.Active && h.Config.RateLimit != nil && perSecond(h.Config.RateLimit) <= seldom {
		return q.seldom
	}
	return q.quick
}

// queue is the hooks that are being drained, up to a bound, and those that wait for that in their order.
type queue struct {
	bound   int
	turn    time.Duration
	page    int // of deliveries that are read at once
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
