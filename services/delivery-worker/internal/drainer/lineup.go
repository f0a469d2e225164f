package drainer

import (
	"sync"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// work is a parked delivery on its way to its next attempt.
type work = *store.ParkedDelivery

// lineup has work done side by side, and that of one key one after the other in the order of its coming.
type lineup struct {
	do    func(work)
	limit int // of goroutines

	mu      sync.Mutex
	ready   []*line
	lines   map[string]*line // of keys with work that is not done
	workers int
}

// line is work of one key.
type line struct {
	key  string
	work []work
}

// newLineup does up to limit works at once.
func newLineup(limit int, do func(work)) *lineup {
	return &lineup{do: do, limit: limit, lines: map[string]*line{}}
}

// put adds work, which keeps its order among that of its key; an empty key is none.
func (l *lineup) put(key string, w work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln := l.lines[key]; ln != nil {
		ln.work = append(ln.work, w)
		return
	}
	ln := &line{key: key, work: []work{w}}
	if key != "" {
		l.lines[key] = ln
	}
	l.ready = append(l.ready, ln)
	if l.workers < l.limit {
		l.workers++
		go l.run()
	}
}

func (l *lineup) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) > 0 {
		ln := l.ready[0]
		l.ready = l.ready[1:]
		w := ln.work[0]
		l.mu.Unlock()
		l.do(w)
		l.mu.Lock()
		if ln.work = ln.work[1:]; len(ln.work) > 0 {
			l.ready = append(l.ready, ln)
		} else {
			delete(l.lines, ln.key)
		}
	}
	l.workers--
}
