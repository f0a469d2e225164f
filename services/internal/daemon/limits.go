package daemon

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimited bounds how many are remembered by Limits; beyond that all begin anew.
const maxLimited = 10_000

// Limits lets each of many do something now and then: so many times at once, and again so often. Make one with NewLimits.
type Limits struct {
	every time.Duration
	burst int

	mu     sync.Mutex
	byName map[string]*rate.Limiter
}

// NewLimits makes limits that let each do something once in every, and burst times at once.
func NewLimits(every time.Duration, burst int) *Limits {
	return &Limits{every: every, burst: burst, byName: map[string]*rate.Limiter{}}
}

// Wait is how long the one of that name has to wait, 0 if they may go on; that counts, then.
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
