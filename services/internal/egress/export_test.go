package egress

import (
	"net"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Pool exposes a pool to tests of when it closes connections.
type Pool struct{ pool *pool }

// MaxIdle is how many connections a pool keeps.
const MaxIdle = maxIdle

// IdleTimeout is how long a pool keeps each connection.
const IdleTimeout = idleTimeout

// KeepAlive returns how long a connection may be reused whose receiver sent these Keep-Alive headers.
func KeepAlive(values ...string) time.Duration { return keepAlive(values) }

// NewPool returns a pool that keeps up to perKey connections to one receiver.
func NewPool(perKey int) Pool { return Pool{pool: newPool(perKey, webhook.MaxRetryAfter)} }

// Use adds a connection to the pool; the function that it returns puts it back.
func (p Pool) Use(address string, conn net.Conn) (back func()) {
	w := &httpConn{Conn: conn, key: connKey{address: address}}
	p.pool.enter(w)
	return func() { p.pool.put(w, idleTimeout) }
}

// Close closes idle connections.
func (p Pool) Close() { p.pool.close() }
