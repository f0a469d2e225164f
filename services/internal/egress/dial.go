package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// maxAddrs is how many addresses of one name are tried.
	maxAddrs = 8
	// nextAddr is how long an address has, before the next one is tried beside it (RFC 8305 section 5).
	nextAddr = 250 * time.Millisecond
)

// Resolver answers what addresses a name has; *net.Resolver is one.
type Resolver interface {
	// LookupNetIP returns the addresses of host; network is "ip", for both families.
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// absoluteResolver asks for a name as it stands, never for one below a search domain of this machine.
type absoluteResolver struct{ Resolver }

func (r absoluteResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return r.Resolver.LookupNetIP(ctx, network, host+".") //nolint:wrapcheck // classified by the dialer
}

// Stages of making a connection.
const (
	stageNone int32 = iota // no connection is being made
	stageDNS
	stageConnect
	stageTLS
)

// protocolHTTP2 is HTTP/2's name in a TLS handshake (RFC 9113 section 3.1).
const protocolHTTP2 = "h2"

// progress is how far the connection made for a request has come, and what its parts took. net/http makes connections in
// goroutines of its own, which may outlive the request.
type progress struct {
	stage             atomic.Int32
	dns, connect, tls atomic.Int64
	// asked is what the receiver asked of us in the handshake of this connection.
	asked atomic.Int32
}

type progressKey struct{}

// progressOf is the progress of the request whose context it is.
func progressOf(ctx context.Context) *progress {
	if p, ok := ctx.Value(progressKey{}).(*progress); ok {
		return p
	}
	return &progress{}
}

// tell fills in what the parts took.
func (p *progress) tell(t *webhook.Timings) {
	t.DNS, t.Connect, t.TLS = time.Duration(p.dns.Load()), time.Duration(p.connect.Load()), time.Duration(p.tls.Load())
}

// step begins a stage; the function that it returns ends it.
func (p *progress) step(stage int32, took *atomic.Int64) func() {
	p.stage.Store(stage)
	started := time.Now()
	return func() {
		took.Store(int64(time.Since(started)))
		p.stage.Store(stageNone)
	}
}

// dialer makes connections to permitted addresses.
type dialer struct {
	guard     guard
	resolver  Resolver
	net       net.Dialer
	timeout   time.Duration
	handshake time.Duration
	tls       *tls.Config
	good      *reached
}

func newDialer(o Options) *dialer {
	d := &dialer{
		guard: newGuard(o.Policy), resolver: o.Resolver, timeout: o.DialTimeout, handshake: o.TLSHandshakeTimeout, good: &reached{},
		tls: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs, NextProtos: []string{protocolHTTP2, "http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
		},
	}
	if d.resolver == nil {
		d.resolver = &net.Resolver{PreferGo: true} // the C library's takes 127.1 and 0x7f.1 for addresses
		if !d.guard.allowsAny() {
			d.resolver = absoluteResolver{d.resolver}
		}
	}
	// Once more with what the kernel is about to connect to, so that no path leads around the rules.
	d.net.Control = func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !d.guard.permits(netip.AddrPortFrom(to.Addr().Unmap(), to.Port())) {
			return errForbidden()
		}
		return nil
	}
	return d
}

// dial resolves the name once, refuses it if any of its addresses is forbidden, and connects to one of them. Its errors
// are *failures.
func (d *dialer) dial(ctx context.Context, p *progress, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	addrs, err := d.resolve(ctx, p, address)
	if err != nil {
		return nil, err
	}
	defer p.step(stageConnect, &p.connect)()
	if len(addrs) == 1 {
		conn, err := d.net.DialContext(ctx, "tcp", addrs[0].String())
		if err != nil {
			return nil, classifyConnect(err)
		}
		return conn, nil
	}
	return d.race(ctx, address, addrs)
}

func (d *dialer) resolve(ctx context.Context, p *progress, address string) ([]netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &failure{class: webhook.ClassRequest, text: "the target's URL has no usable host", cause: err}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, &failure{class: webhook.ClassRequest, text: "the target's URL has no usable port", cause: err}
	}
	var addrs []netip.Addr
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{addr}
	} else {
		done := p.step(stageDNS, &p.dns)
		addrs, err = d.resolver.LookupNetIP(ctx, "ip", host)
		done()
		if err != nil {
			return nil, classifyDNS(err)
		}
	}
	if len(addrs) == 0 {
		return nil, &failure{class: webhook.ClassDNS, text: "the target's host name has no address"}
	}
	out := make([]netip.AddrPort, len(addrs))
	for i, addr := range addrs {
		out[i] = netip.AddrPortFrom(addr.Unmap(), uint16(port)) // net.Resolver gives IPv4 inside IPv6
		if !d.guard.permits(out[i]) {
			return nil, errForbidden()
		}
	}
	return out, nil
}

// dialTLS makes a connection and does the handshake. Its errors are *failures.
func (d *dialer) dialTLS(ctx context.Context, p *progress, address string) (*tls.Conn, error) {
	conn, err := d.dial(ctx, p, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		_ = conn.Close()
		return nil, &failure{class: webhook.ClassRequest, text: "the target's URL has no usable host", cause: err}
	}
	defer p.step(stageTLS, &p.tls)()
	ctx, cancel := context.WithTimeout(ctx, d.handshake)
	defer cancel()
	config := d.tls.Clone()
	if config.ServerName == "" {
		config.ServerName = host
	}
	config.GetClientCertificate = func(wanted *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		certificate, asked := choose(config.Certificates, wanted)
		p.asked.Store(asked)
		return certificate, nil
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, classifyTLS(err, p.asked.Load())
	}
	return secured, nil
}

// choose returns the certificate that a receiver is shown which asks for one, as crypto/tls does.
func choose(ours []tls.Certificate, wanted *tls.CertificateRequestInfo) (shown *tls.Certificate, asked int32) {
	switch {
	case len(ours) == 0:
		return &tls.Certificate{}, noCertificate
	case wanted.SupportsCertificate(&ours[0]) != nil:
		return &tls.Certificate{}, otherCertificate
	default:
		return &ours[0], ourCertificate
	}
}

func errForbidden() error {
	return &failure{class: webhook.ClassForbidden, text: "the target is blocked: private addresses need WHISPERER_EGRESS_ALLOW"}
}

// isTimeout reports a deadline, ours or the network's.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
