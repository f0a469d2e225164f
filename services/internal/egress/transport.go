package egress

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxLearned is how many receivers are remembered to speak HTTP/1.1.
const maxLearned = 4096

// Errors for a receiver that speaks a different protocol than assumed.
var (
	errSpeaksHTTP1 = errors.New("the receiver speaks HTTP/1.1")
	errSpeaksHTTP2 = errors.New("the receiver speaks HTTP/2")
)

// transport sends the requests of one TLS identity: HTTP/1.1 on our own connections, HTTP/2 through net/http. With
// TLS, the handshake tells which protocol the receiver speaks. So the first connection is made for net/http; if it
// turns out to speak HTTP/1.1, net/http gives it up.
type transport struct {
	dialer *dialer
	idle   *pool
	http1  learned
	http2  transports
}

func newTransport(d *dialer, options Options) *transport {
	o := &transport{dialer: d, idle: newPool(options.MaxIdlePerHost, options.ConnectionAge)}
	o.http2 = transports{age: options.ConnectionAge, make: o.newHTTP2Transport, seed: maphash.MakeSeed()}
	return o
}

// newHTTP2Transport returns an http.Transport that only speaks HTTP/2.
func (o *transport) newHTTP2Transport() *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return nil, errSpeaksHTTP1 },
		DialTLSContext:         o.negotiate,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle / 4,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeaders,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     maxReceiveStream,
			MaxReceiveBufferPerConnection: maxReceiveConnection,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
			WriteByteTimeout:              webhook.MaxTimeout,
		},
	}
}

// negotiate makes a TLS connection for net/http and learns which protocol the receiver speaks. An HTTP/1.1 connection
// goes into our own pool, for this request or another.
func (o *transport) negotiate(ctx context.Context, _, address string) (net.Conn, error) {
	conn, err := o.dialer.dialTLS(ctx, progressOf(ctx), address)
	if err != nil {
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol == protocolHTTP2 {
		return conn, nil
	}
	o.http1.add(address)
	w, err := newHTTPConn(conn, connKey{address: address, secure: true}, progressOf(ctx).asked.Load())
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("use connection: %w", err)
	}
	o.idle.enter(w)
	o.idle.put(w, idleTimeout)
	return nil, errSpeaksHTTP1
}

// conn returns an HTTP/1.1 connection to the target, an idle one if possible. Its errors are *failures, the context's
// error, and errSpeaksHTTP2.
func (o *transport) conn(ctx context.Context, out *Response, t Target, by time.Time) (*httpConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err //nolint:wrapcheck // the caller's own
	}
	to := connKey{address: t.address, secure: t.secure()}
	if w, ok := o.idle.take(to); ok {
		return w, nil
	}
	conn, asked, err := o.dial(ctx, out, to, by)
	if err != nil {
		return nil, err
	}
	w, err := newHTTPConn(conn, to, asked)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("use connection: %w", err)
	}
	o.idle.enter(w)
	return w, nil
}

func (o *transport) dial(ctx context.Context, out *Response, to connKey, by time.Time) (conn net.Conn, asked int32, err error) {
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	p := &progress{}
	defer p.tell(&out.Timings)
	if !to.secure {
		conn, err = o.dialer.dial(ctx, p, to.address)
		return conn, notAsked, err
	}
	secured, err := o.dialer.dialTLS(ctx, p, to.address)
	if err != nil {
		return nil, notAsked, err
	}
	if secured.ConnectionState().NegotiatedProtocol == protocolHTTP2 {
		o.http1.forget(to.address)
		_ = secured.Close()
		return nil, notAsked, errSpeaksHTTP2
	}
	return secured, p.asked.Load(), nil
}

// close closes idle connections.
func (o *transport) close() {
	o.idle.close()
	o.http2.close()
}

// learned is a set of addresses.
type learned struct {
	mu  sync.RWMutex
	set map[string]struct{}
}

func (l *learned) has(address string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, ok := l.set[address]
	return ok
}

// add adds an address. When there are too many, it forgets all others, which are then learned again.
func (l *learned) add(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set == nil || len(l.set) >= maxLearned {
		l.set = map[string]struct{}{}
	}
	l.set[address] = struct{}{}
}

func (l *learned) forget(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.set, address)
}
