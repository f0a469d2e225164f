package drainer

import (
	"context"
	"sync"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// work is a parked delivery on its way to its next attempt.
type work struct {
	due webhook.Due
	// key is shared by those that keep an order among themselves; empty for none.
	key string
	// end is called once: with true when the delivery was tried, and what became of it is durable.
	end func(tried bool)
}

// lineup has work done side by side, and that of one key one after the other in the order of its coming.
type lineup struct {
	do    func(work)
	limit int           // of goroutines
	room  chan struct{} // a token for each that is not done
	ready chan *line

	mu      sync.Mutex
	lines   map[string]*line // of keys with work that is not done
	workers int
	open    sync.WaitGroup
}

// line is work of one key.
type line struct {
	key  string
	work []work
}

// newLineup does up to limit works at once and takes up to ahead before they are done.
func newLineup(limit, ahead int, do func(work)) *lineup {
	return &lineup{do: do, limit: limit, room: make(chan struct{}, ahead), ready: make(chan *line, ahead), lines: map[string]*line{}}
}

// put waits for room; false means that ctx ended before there was any.
func (l *lineup) put(ctx context.Context, w work) bool {
	select {
	case l.room <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln := l.lines[w.key]; ln != nil {
		ln.work = append(ln.work, w)
		return true
	}
	ln := &line{key: w.key, work: []work{w}}
	if w.key != "" {
		l.lines[w.key] = ln
	}
	l.ready <- ln // there are no more lines than tokens
	if l.workers < l.limit {
		l.workers++
		l.open.Go(l.run)
	}
	return true
}

func (l *lineup) run() {
	for ln := range l.ready {
		l.mu.Lock()
		w := ln.work[0]
		l.mu.Unlock()
		l.do(w)
		l.mu.Lock()
		if ln.work = ln.work[1:]; len(ln.work) > 0 {
			l.ready <- ln
		} else {
			delete(l.lines, ln.key)
		}
		l.mu.Unlock()
		<-l.room
	}
}

// finish returns when all is done. Nothing is put any more.
func (l *lineup) finish() {
	for range cap(l.room) { // all tokens: nobody holds one
		l.room <- struct{}{}
	}
	close(l.ready)
	l.open.Wait()
}
