package egress

import (
	"container/list"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// connKey says what a pooled connection may be used for.
type connKey struct {
	address string // host and port
	secure  bool   // uses TLS
}

// pool keeps idle connections for the next request to the same receiver. It needs no goroutine: a timer closes
// connections that were idle for idleTimeout, and take checks that nothing has arrived on a connection.
type pool struct {
	perKey int
	age    time.Duration // maximum age of connections

	mu    sync.Mutex
	byKey map[connKey][]*httpConn // most recently used last
	all   list.List               // of *httpConn; most recently used first
	sweep *time.Timer             // nil while nothing is idle
	epoch int                     // number of calls of close
}

func newPool(perKey int, age time.Duration) *pool {
	return &pool{perKey: perKey, age: age, byKey: map[connKey][]*httpConn{}}
}

// take returns the most recently used connection to a receiver, or false if no usable one is left.
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

// enter registers a new connection that is in use, so that a later close applies to it as well.
func (p *pool) enter(w *httpConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.epoch = p.epoch
	w.age = time.Now().Add(spread(p.age))
}

// spread returns the age less up to a quarter at random, so that connections made together do not all expire
// together.
func spread(age time.Duration) time.Duration {
	return age - rand.N(age/4+1) //nolint:gosec // no secret
}

// put returns a connection whose last answer was read completely to the pool, to be reused within keep. If there is
// no room, it closes this connection when the receiver has enough others, or else the least recently used one.
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

// oldest returns the least recently used connection, or nil if none is idle. p.mu must be held.
func (p *pool) oldest() *httpConn {
	last := p.all.Back()
	if last == nil {
		return nil
	}
	w, _ := last.Value.(*httpConn)
	return w
}

// remove takes a connection out of the pool. p.mu must be held.
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

// close closes idle connections now, and connections in use when they are put back.
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

// removeUntil removes the least recently used connections until stays returns true for one. p.mu must be held.
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
