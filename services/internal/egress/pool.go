package egress

import (
	"container/list"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// connKey is what a pooled connection may be used for.
type connKey struct {
	address string // host and port
	secure  bool   // by TLS
}

// pool keeps the connections that no request is using, so that the next one to the same receiver finds one. It needs no
// goroutine: a timer closes what was not used for idleTimeout, and whoever takes a connection looks whether it is quiet.
type pool struct {
	perKey int
	age    time.Duration // of connections, at most

	mu    sync.Mutex
	byKey map[connKey][]*httpConn // those used last are last
	all   list.List               // of *httpConn; those used last are in front
	sweep *time.Timer             // nil while nothing is idle
	epoch int                     // how often close was called
}

func newPool(perKey int, age time.Duration) *pool {
	return &pool{perKey: perKey, age: age, byKey: map[connKey][]*httpConn{}}
}

// take returns the connection to a receiver that was used last, or false if none is left that is still good.
func (p *pool) take(to connKey) (*httpConn, bool) {
	for {
		w, ok := p.pop(to)
		if !ok || time.Now().Before(w.idleUntil) && w.quiet() {
			return w, ok
		}
		w.drop()
	}
}

func (p *pool) pop(to connKey) (*httpConn, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.byKey[to]
	if len(idle) == 0 {
		return nil, false
	}
	w := idle[len(idle)-1]
	p.remove(w)
	w.reused = true
	return w, true
}

// enter makes a new connection known, which is being used: a close from now on is meant for it too.
func (p *pool) enter(w *httpConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.epoch = p.epoch
	w.age = time.Now().Add(spread(p.age))
}

// spread returns an age that is up to a quarter less, so that what begins at once does not end at once.
func spread(age time.Duration) time.Duration {
	return age - rand.N(age/4+1) //nolint:gosec // no secret
}

// put takes a connection back whose last answer was read to its end, to be used within keep. What there is no room for is
// closed: this one if its receiver has enough, else the one that was not used for longest.
func (p *pool) put(w *httpConn, keep time.Duration) {
	if surplus := p.push(w, keep); surplus != nil {
		surplus.retire()
	}
}

func (p *pool) push(w *httpConn, keep time.Duration) (surplus *httpConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.idleSince = time.Now()
	if w.epoch != p.epoch || len(p.byKey[w.key]) >= p.perKey || !w.idleSince.Before(w.age) {
		return w
	}
	if w.idleUntil = w.idleSince.Add(keep); w.age.Before(w.idleUntil) {
		w.idleUntil = w.age
	}
	w.element = p.all.PushFront(w)
	p.byKey[w.key] = append(p.byKey[w.key], w)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleTimeout, p.closeExpired)
	}
	if p.all.Len() > maxIdle {
		surplus = p.oldest()
		p.remove(surplus)
	}
	return surplus
}

// oldest is the connection that was not used for longest; nil if none is idle. p.mu is held.
func (p *pool) oldest() *httpConn {
	last := p.all.Back()
	if last == nil {
		return nil
	}
	w, _ := last.Value.(*httpConn)
	return w
}

// remove takes a connection out. p.mu is held.
func (p *pool) remove(w *httpConn) {
	p.all.Remove(w.element)
	idle := p.byKey[w.key]
	i := slices.Index(idle, w)
	if idle = slices.Delete(idle, i, i+1); len(idle) == 0 {
		delete(p.byKey, w.key)
		return
	}
	p.byKey[w.key] = idle
}

func (p *pool) closeExpired() {
	p.mu.Lock()
	expired := p.removeUntil(func(w *httpConn) bool { return time.Since(w.idleSince) < idleTimeout })
	p.sweep = nil
	if next := p.oldest(); next != nil {
		p.sweep = time.AfterFunc(idleTimeout-time.Since(next.idleSince), p.closeExpired)
	}
	p.mu.Unlock()
	retireAll(expired)
}

// close closes what is idle now, and what is in use when it is put back.
func (p *pool) close() {
	p.mu.Lock()
	p.epoch++
	idle := p.removeUntil(func(*httpConn) bool { return false })
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
	p.mu.Unlock()
	retireAll(idle)
}

// removeUntil takes connections out, those first that were not used for longest, until one is to stay. p.mu is held.
func (p *pool) removeUntil(stays func(*httpConn) bool) (removed []*httpConn) {
	for w := p.oldest(); w != nil && !stays(w); w = p.oldest() {
		p.remove(w)
		removed = append(removed, w)
	}
	return removed
}

func retireAll(conns []*httpConn) {
	for _, w := range conns {
		w.retire()
	}
}
