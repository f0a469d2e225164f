package egress

import (
	"net"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Pool is a pool for tests of what it closes when.
type Pool struct{ pool *pool }

// MaxIdle is how many connections a pool keeps.
const MaxIdle = maxIdle

// IdleTimeout is how long it keeps each.
const IdleTimeout = idleTimeout

// KeepAlive is how long a connection is used again whose receiver sent these Keep-Alive headers.
func KeepAlive(values ...string) time.Duration { return keepAlive(values) }

// NewPool returns a pool that keeps so many connections to one receiver.
func NewPool(perKey int) Pool { return Pool{pool: newPool(perKey, webhook.MaxRetryAfter)} }

// Use makes a pool know of a connection; the function that it returns puts it back.
func (p Pool) Use(address string, conn net.Conn) (back func()) {
	w := &httpConn{Conn: conn, key: connKey{address: address}}
	p.pool.enter(w)
	return func() { p.pool.put(w, idleTimeout) }
}

// Close closes what is idle.
func (p Pool) Close() { p.pool.close() }
