package daemon

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimited bounds how many names Limits remembers; beyond that, all limits start over.
const maxLimited = 10_000

// Limits limits how often each of many names may do something, with a token bucket per name. Create one with
// NewLimits.
type Limits struct {
	every time.Duration
	burst int

	mu     sync.Mutex
	byName map[string]*rate.Limiter
}

// NewLimits returns limits that allow each name one action per every, and bursts of burst actions.
func NewLimits(every time.Duration, burst int) *Limits {
	return &Limits{every: every, burst: burst, byName: map[string]*rate.Limiter{}}
}

// Wait returns how long the name has to wait. If it returns 0, the action may go ahead and is counted.
func (l *Limits) Wait(name string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.byName[name]
	if limiter == nil {
		if len(l.byName) >= maxLimited {
			clear(l.byName)
		}
		limiter = rate.NewLimiter(rate.Every(l.every), l.burst)
		l.byName[name] = limiter
	}
	if limiter.Allow() {
		return 0
	}
	return l.every
}
