package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// batcher processes inputs with the same key in batches. Inputs that arrive while a batch is in progress form the next one. An
// input that arrives alone is processed at once.
type batcher[In, Out any] struct {
	// do returns an outcome for each input of a batch, which has at most most inputs.
	do   func(ctx context.Context, key string, list []In) []outcome[Out]
	most int
	// limit is the time limit of a batch.
	limit time.Duration

	mu sync.Mutex
	// waiting holds the inputs for the next batch of each key that is being worked on.
	waiting map[string][]*waiter[In, Out]
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

// work processes batches of a key until no inputs are left.
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

// next takes the next batch. If it is empty, the key's work is finished.
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
