package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// batcher does things of one key in batches: what comes while the batch before is under way makes the next one. What is alone
// is done at once.
type batcher[In, Out any] struct {
	// do answers each of at most most things.
	do   func(ctx context.Context, key string, list []In) []outcome[Out]
	most int
	// limit bounds a batch.
	limit time.Duration

	mu sync.Mutex
	// waiting are those that come next, by the keys that are worked on.
	waiting map[string][]*waiter[In, Out]
}

// outcome is what became of one thing.
type outcome[Out any] struct {
	value Out
	err   error
}

type waiter[In, Out any] struct {
	in     In
	gone   atomic.Bool // nobody waits any more
	answer chan outcome[Out]
}

// add does one thing, with others, and waits for it until ctx ends. What has begun then is done all the same.
func (t *batcher[In, Out]) add(ctx context.Context, key string, in In) (Out, error) {
	w := &waiter[In, Out]{in: in, answer: make(chan outcome[Out], 1)}
	t.mu.Lock()
	if t.waiting == nil {
		t.waiting = map[string][]*waiter[In, Out]{}
	}
	_, busy := t.waiting[key]
	t.waiting[key] = append(t.waiting[key], w)
	t.mu.Unlock()
	if !busy {
		go t.work(context.WithoutCancel(ctx), key)
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

// work does batches of a key until nothing waits.
func (t *batcher[In, Out]) work(ctx context.Context, key string) {
	for batch := t.next(key); len(batch) > 0; batch = t.next(key) {
		list := make([]In, len(batch))
		for i, w := range batch {
			list[i] = w.in
		}
		for i, d := range t.batch(ctx, key, list) {
			batch[i].answer <- d
		}
	}
}

// next takes what waits; nothing ends the work of the key.
func (t *batcher[In, Out]) next(key string) (batch []*waiter[In, Out]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.waiting[key]
	for len(list) > 0 && len(batch) < t.most {
		if w := list[0]; !w.gone.Load() {
			batch = append(batch, w)
		}
		list = list[1:]
	}
	if t.waiting[key] = list; len(batch) == 0 {
		delete(t.waiting, key)
	}
	return batch
}

// batch is do within the limit. A panic is an error of all.
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

// failed is one error for so many things.
func failed[Out any](n int, err error) []outcome[Out] {
	answers := make([]outcome[Out], n)
	for i := range answers {
		answers[i].err = err
	}
	return answers
}
