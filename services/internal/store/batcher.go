package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// gatherLimit is the longest time that a batch waits for the callers whom the previous batch has answered.
const gatherLimit = 50 * time.Millisecond

// batcher processes inputs with the same key in batches. Inputs that arrive while a batch is in progress form the next one,
// together with the next inputs of that batch's callers. An input that arrives alone is processed at once.
type batcher[In, Out any] struct {
	// do returns an outcome for each input of a batch, which has at most most inputs.
	do   func(ctx context.Context, key string, list []In) []outcome[Out]
	most int
	// limit is the time limit of a batch.
	limit time.Duration

	mu sync.Mutex
	// queues holds a queue for each key that is being worked on.
	queues map[string]*queue[In, Out]
}

// queue holds the inputs for the next batch of a key.
type queue[In, Out any] struct {
	list []*waiter[In, Out]
	// wanted is the length of list at which full receives a token; 0 for none.
	wanted int
	full   chan struct{}
}

// outcome is the result for one input.
type outcome[Out any] struct {
	value Out
	err   error
}

type waiter[In, Out any] struct {
	in     In
	gone   atomic.Bool // the caller has stopped waiting
	answer chan outcome[Out]
}

// add processes one input, together with others, and waits for the outcome until ctx ends. Processing that has begun by then
// continues.
func (t *batcher[In, Out]) add(ctx context.Context, key string, in In) (Out, error) {
	w := &waiter[In, Out]{in: in, answer: make(chan outcome[Out], 1)}
	t.mu.Lock()
	q, busy := t.queues[key]
	if !busy {
		if t.queues == nil {
			t.queues = map[string]*queue[In, Out]{}
		}
		q = &queue[In, Out]{full: make(chan struct{}, 1)}
		t.queues[key] = q
	}
	if q.list = append(q.list, w); len(q.list) == q.wanted {
		q.full <- struct{}{}
	}
	t.mu.Unlock()
	if !busy {
		go t.work(context.WithoutCancel(ctx), key, q)
	}
	select {
	case d := <-w.answer:
		return d.value, d.err
	case <-ctx.Done():
		w.gone.Store(true)
		var none Out
		return none, ctx.Err()
	}
}

// work processes batches of a key until no inputs are left.
func (t *batcher[In, Out]) work(ctx context.Context, key string, q *queue[In, Out]) {
	for batch := t.next(key, q); len(batch) > 0; batch = t.next(key, q) {
		list := make([]In, len(batch))
		for i, w := range batch {
			list[i] = w.in
		}
		began := time.Now()
		for i, d := range t.batch(ctx, key, list) {
			batch[i].answer <- d
		}
		t.gather(q, len(batch), min(gatherLimit, time.Since(began)/2))
	}
}

// gather waits a moment for the next inputs of the last batch's callers. Otherwise these callers and those who waited meanwhile
// would take turns, and each batch would have only half of the inputs.
func (t *batcher[In, Out]) gather(q *queue[In, Out], answered int, limit time.Duration) {
	t.mu.Lock()
	if all := len(q.list) + answered; all > 1 && len(q.list) < t.most {
		q.wanted = min(t.most, all)
	}
	wait := q.wanted > 0
	t.mu.Unlock()
	if !wait {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-q.full:
	case <-timer.C:
	}
}

// next takes the next batch. If it is empty, the key's work is finished.
func (t *batcher[In, Out]) next(key string, q *queue[In, Out]) (batch []*waiter[In, Out]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q.wanted = 0
	select {
	case <-q.full: // it came too late for gather
	default:
	}
	for len(q.list) > 0 && len(batch) < t.most {
		if w := q.list[0]; !w.gone.Load() {
			batch = append(batch, w)
		}
		q.list = q.list[1:]
	}
	if len(batch) == 0 {
		delete(t.queues, key)
	}
	return batch
}

// batch calls do within the time limit. A panic becomes the error of all inputs.
func (t *batcher[In, Out]) batch(ctx context.Context, key string, list []In) (answers []outcome[Out]) {
	ctx, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			answers = failed[Out](len(list), fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	return t.do(ctx, key, list)
}

// failed returns n outcomes with the same error.
func failed[Out any](n int, err error) []outcome[Out] {
	answers := make([]outcome[Out], n)
	for i := range answers {
		answers[i].err = err
	}
	return answers
}
