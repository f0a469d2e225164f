package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxLearned is how many receivers are known to speak HTTP/1.1 at once.
const maxLearned = 4096

// errSpeaksHTTP2 is of a receiver that was thought to speak HTTP/1.1.
var errSpeaksHTTP2 = errors.New("the receiver speaks HTTP/2")

// outlet is how requests of one TLS identity get out: those of HTTP/1.1 on connections of ours, those of HTTP/2 by
// net/http. By TLS, a receiver says what it speaks in the handshake, so that the first request goes to net/http, and those
// after it go where they belong.
type outlet struct {
	dialer     *dialer
	idle       *pool
	http1      learned
	negotiated *http.Transport
}

func newOutlet(d *dialer, options Options) *outlet {
	o := &outlet{dialer: d, idle: newPool(options.MaxIdlePerHost)}
	o.negotiated = &http.Transport{
		Proxy: nil,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return d.dial(ctx, progressOf(ctx), address)
		},
		DialTLSContext:         o.negotiate,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeaders,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     maxReceiveStream,
			MaxReceiveBufferPerConnection: maxReceiveConnection,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   options.DialTimeout,
			WriteByteTimeout:              webhook.MaxTimeout,
		},
	}
	return o
}

// negotiate makes a connection by TLS for net/http and learns what the receiver speaks.
func (o *outlet) negotiate(ctx context.Context, _, address string) (net.Conn, error) {
	conn, err := o.dialer.dialTLS(ctx, progressOf(ctx), address)
	if err != nil {
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol != protocolHTTP2 {
		o.http1.add(address)
	}
	return conn, nil
}

// wire returns a connection that speaks HTTP/1.1 with the target, an idle one if there is one. Its errors are *failures,
// the context's, and errSpeaksHTTP2.
func (o *outlet) wire(ctx context.Context, out *Response, t Target, by time.Time) (*wire, error) {
	if err := ctx.Err(); err != nil {
		return nil, err //nolint:wrapcheck // the caller's own
	}
	to := place{address: t.address, secure: t.secure()}
	if w, ok := o.idle.take(to); ok {
		return w, nil
	}
	conn, err := o.dial(ctx, out, to, by)
	if err != nil {
		return nil, err
	}
	w, err := newWire(conn, to)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("use connection: %w", err)
	}
	o.idle.enter(w)
	return w, nil
}

func (o *outlet) dial(ctx context.Context, out *Response, to place, by time.Time) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	p := &progress{}
	defer p.tell(&out.Timings)
	if !to.secure {
		return o.dialer.dial(ctx, p, to.address)
	}
	conn, err := o.dialer.dialTLS(ctx, p, to.address)
	if err != nil {
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol == protocolHTTP2 {
		o.http1.forget(to.address)
		_ = conn.Close()
		return nil, errSpeaksHTTP2
	}
	return conn, nil
}

// close closes what is idle.
func (o *outlet) close() {
	o.idle.close()
	o.negotiated.CloseIdleConnections()
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

// add puts an address in; when there are too many, all others are to be learned anew.
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
