package egress

import (
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// shards is how many transports of net/http a transport has at once: not all HTTP/2 connections are made anew in the same
// moment.
const shards = 16

// transports are those of net/http, each for some of the addresses. One that has come of age is replaced, because net/http
// has no bound of its own for the age of a connection: an old one would be used for as long as requests come.
type transports struct {
	make func() *http.Transport
	age  time.Duration
	seed maphash.Seed

	mu      sync.Mutex
	current [shards]generation
}

type generation struct {
	transport *http.Transport // nil before the first
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

// retireTransport closes a transport's connections, those with requests under way when these are surely over.
func retireTransport(old *http.Transport) {
	if old == nil {
		return
	}
	old.CloseIdleConnections()
	time.AfterFunc(webhook.MaxTimeout+time.Second, old.CloseIdleConnections)
}

// close closes what is idle.
func (t *transports) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.current {
		if g.transport != nil {
			g.transport.CloseIdleConnections()
		}
	}
}
