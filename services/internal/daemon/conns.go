package daemon

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Reasons for closing connections, as labels of a metric.
const (
	closedTotal   = "total"
	closedAddress = "address"
	closedStop    = "stop"
)

// conns is a listener that bounds the open connections and knows which of them the server is waiting for.
type conns struct {
	net.Listener

	max, perAddr int
	proxies      Proxies
	log          *zap.Logger
	closed       *prometheus.CounterVec
	warn         rate.Sometimes

	mu      sync.Mutex
	open    int
	waiting list.List // of *conn; the one that has kept us waiting longest is first
	addrs   map[netip.Addr]*addrConns
}

// addrConns are the connections of one address.
type addrConns struct {
	open    int
	waiting list.List
}

func newConns(o ServerOptions) (*conns, error) {
	l := &conns{
		max: fewer(o.MaxConns, o.Name, o.Log), perAddr: o.MaxConnsPerAddr, proxies: o.Proxies, log: o.Log.With(zap.String("server", o.Name)),
		warn: rate.Sometimes{Interval: time.Minute}, addrs: map[netip.Addr]*addrConns{},
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whisperer_http_connections_closed_total", ConstLabels: prometheus.Labels{"server": o.Name},
			Help: "Connections closed because too many were open, in total or from one address, or because the program was stopping.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{closedTotal, closedAddress, closedStop} {
		l.closed.WithLabelValues(reason)
	}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "whisperer_http_connections", ConstLabels: prometheus.Labels{"server": o.Name}, Help: "Open connections.",
	}, l.count)
	return l, errors.Join(o.Metrics.Register(l.closed), o.Metrics.Register(open))
}

func (l *conns) count() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.open)
}

// Accept returns the next connection that the limits permit.
func (l *conns) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		own := &conn{Conn: c, conns: l, addr: addrOf(c.RemoteAddr().String())}
		own.proxied = l.proxies.contain(own.addr)
		victim, reason := l.admit(own)
		if victim != nil {
			l.closed.WithLabelValues(reason).Inc()
			_ = victim.Conn.Close()
			l.warn.Do(func() {
				l.log.Warn("closing connections: too many are open", zap.String("bound", reason), zap.Stringer("address", victim.addr),
					zap.Int("most", l.max), zap.Int("most_per_address", l.perAddr))
			})
		}
		if victim != own {
			return own, nil
		}
	}
}

// admit counts the connection and returns the connection to be closed in exchange: nil if there is room, and c itself
// if all others are being served.
func (l *conns) admit(c *conn) (victim *conn, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	group := l.addrs[c.group()]
	switch {
	case l.perAddr > 0 && !c.proxied && group != nil && group.open >= l.perAddr:
		victim, reason = oldest(&group.waiting, c), closedAddress
	case l.max > 0 && l.open >= l.max:
		victim, reason = oldest(&l.waiting, c), closedTotal
	}
	if victim == c {
		c.gone = true
		return victim, reason
	}
	if victim != nil {
		l.remove(victim)
	}
	if group = l.addrs[c.group()]; group == nil {
		group = &addrConns{}
		l.addrs[c.group()] = group
	}
	l.open++
	group.open++
	l.wait(c)
	return victim, reason
}

// oldest returns the first connection of the list, or c if the list is empty.
func oldest(waiting *list.List, c *conn) *conn {
	if first := waiting.Front(); first != nil {
		if w, ok := first.Value.(*conn); ok {
			return w
		}
	}
	return c
}

// wait records that the server is waiting for the client, unless it already was. The caller holds the lock.
func (l *conns) wait(c *conn) {
	if c.gone || c.inAll != nil {
		return
	}
	c.since = time.Now()
	c.inAll, c.inAddr = l.waiting.PushBack(c), l.addrs[c.group()].waiting.PushBack(c)
}

// work records that the client is waiting for the server. The caller holds the lock.
func (l *conns) work(c *conn) {
	if c.inAll == nil {
		return
	}
	l.waiting.Remove(c.inAll)
	l.addrs[c.group()].waiting.Remove(c.inAddr)
	c.inAll, c.inAddr = nil, nil
}

// remove forgets a connection. The caller holds the lock.
func (l *conns) remove(c *conn) {
	if c.gone {
		return
	}
	l.work(c)
	c.gone = true
	l.open--
	group := l.addrs[c.group()]
	if group.open--; group.open == 0 {
		delete(l.addrs, c.group())
	}
}

// closeWaiting closes the connections that the server has been waiting for at least this long.
func (l *conns) closeWaiting(long time.Duration) {
	var victims []*conn
	l.mu.Lock()
	for first := l.waiting.Front(); first != nil; first = l.waiting.Front() {
		c, ok := first.Value.(*conn)
		if !ok || time.Since(c.since) < long {
			break
		}
		l.remove(c)
		victims = append(victims, c)
	}
	l.mu.Unlock()
	for _, c := range victims {
		l.closed.WithLabelValues(closedStop).Inc()
		_ = c.Conn.Close()
	}
}

// conn is a connection that sets a deadline for each write.
type conn struct {
	net.Conn

	conns   *conns
	addr    netip.Addr
	proxied bool

	// The lock of conns guards the following fields.
	inAll, inAddr *list.Element // nil while the client waits for the server
	since         time.Time
	gone          bool
	whole         time.Time // deadline of the complete response
}

// group returns the key under which connections are counted. All addresses of an IPv6 /64 network count as one
// client.
func (c *conn) group() netip.Addr { return groupOf(c.addr) }

// set records whether the server is waiting for the client, or the client for the server, and reports whether the
// server was waiting before.
func (c *conn) set(waiting bool) (before bool) {
	c.conns.mu.Lock()
	defer c.conns.mu.Unlock()
	before = c.inAll != nil
	if waiting {
		c.conns.wait(c)
	} else {
		c.conns.work(c)
	}
	return before
}

// SetWriteDeadline bounds the whole response.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.conns.mu.Lock()
	defer c.conns.mu.Unlock()
	c.whole = t
	return c.Conn.SetWriteDeadline(t)
}

// Write gives the client as much time as it needs at the minimum rate.
func (c *conn) Write(p []byte) (int, error) {
	deadline := time.Now().Add(allowed(len(p)))
	c.conns.mu.Lock()
	whole := c.whole
	c.conns.mu.Unlock()
	if whole.IsZero() || deadline.Before(whole) {
		if err := c.Conn.SetWriteDeadline(deadline); err != nil {
			return 0, err
		}
	}
	waited := c.set(true)
	n, err := c.Conn.Write(p)
	if !waited {
		c.set(false)
	}
	return n, err
}

// CloseWrite lets the server wait until the client has read the response before it closes the connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection and forgets it.
func (c *conn) Close() error {
	c.conns.mu.Lock()
	c.conns.remove(c)
	c.conns.mu.Unlock()
	return c.Conn.Close()
}

// allowed returns how long a client may take for so many bytes.
func allowed(bytes int) time.Duration {
	return stallTime + time.Duration(bytes)*time.Second/minRate
}
