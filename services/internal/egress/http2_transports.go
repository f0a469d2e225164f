package egress

import (
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// shards is how many net/http transports a transport has, so that not all HTTP/2 connections are replaced at the same
// moment.
const shards = 16

// transports are net/http transports, each for a share of the addresses. A transport is replaced when it has reached
// its age: net/http does not bound the age of a connection and would use one for as long as requests come.
type transports struct {
	make func() *http.Transport
	age  time.Duration
	seed maphash.Seed

	mu      sync.Mutex
	current [shards]generation
}

type generation struct {
	transport *http.Transport // nil before the first use
	until     time.Time
}

// of returns the transport for an address.
func (t *transports) of(address string) *http.Transport {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	g := &t.current[maphash.String(t.seed, address)%shards]
	if g.transport == nil || !now.Before(g.until) {
		retireTransport(g.transport)
		*g = generation{transport: t.make(), until: now.Add(spread(t.age))}
	}
	return g.transport
}

// retireTransport closes a transport's idle connections now, and those in use when their requests are surely over.
func retireTransport(old *http.Transport) {
	if old == nil {
		return
	}
	old.CloseIdleConnections()
	time.AfterFunc(webhook.MaxTimeout+time.Second, old.CloseIdleConnections)
}

// close closes idle connections.
func (t *transports) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.current {
		if g.transport != nil {
			g.transport.CloseIdleConnections()
		}
	}
}
