package console

import (
	"context"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

const (
	// patience is how long a page waits for a count. The browser fetches counts that take longer after the page has
	// loaded.
	patience = 100 * time.Millisecond
	// countTimeout bounds a count.
	countTimeout = 15 * time.Second
	// countLife is how long a count that took longer than patience is cached. Cheap counts are repeated each time.
	countLife = 5 * time.Second
	// countSlots is how many counts run at once, so that other requests find a connection.
	countSlots = 3
	// maxCounts is the number of counts from which on expired ones are removed.
	maxCounts = 1000
)

// countCache runs expensive counts. Each runs only once at a time, whoever waits for it.
type countCache struct {
	slots chan struct{}

	mu   sync.Mutex
	list map[string]*runningCount
}

func newCountCache() *countCache {
	return &countCache{slots: make(chan struct{}, countSlots), list: map[string]*runningCount{}}
}

// runningCount is a count that is running, or finished recently.
type runningCount struct {
	done  chan struct{}
	value any
	err   error
	// until is when a finished count expires.
	until time.Time
}

// count returns the result of do for the key. If it is not available within the limit, ready is false, and the count
// continues for whoever asks next.
func count[T any](ctx context.Context, c *countCache, key string, limit time.Duration, do func(context.Context) (T, error)) (value T, ready bool, err error) {
	running := c.start(ctx, key, func(ctx context.Context) (any, error) { return do(ctx) })
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-running.done:
	case <-ctx.Done():
		return value, false, ctx.Err()
	case <-timer.C:
		return value, false, nil
	}
	value, _ = running.value.(T)
	return value, running.err == nil, running.err
}

func (c *countCache) start(ctx context.Context, key string, do func(context.Context) (any, error)) *runningCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if running, ok := c.list[key]; ok && !running.over(now) {
		return running
	}
	if len(c.list) >= maxCounts {
		for k, old := range c.list {
			if old.over(now) {
				delete(c.list, k)
			}
		}
	}
	running := &runningCount{done: make(chan struct{})}
	c.list[key] = running
	go func() {
		defer close(running.done)
		c.slots <- struct{}{}
		running.value, running.err = daemon.Within(context.WithoutCancel(ctx), countTimeout, do)
		<-c.slots
		if running.err == nil && time.Since(now) > patience {
			running.until = time.Now().Add(countLife)
		}
	}()
	return running
}

// over reports whether the count is finished and has expired.
func (c *runningCount) over(now time.Time) bool {
	select {
	case <-c.done:
		return !now.Before(c.until)
	default:
		return false
	}
}
