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
	// maxAddrs is how many addresses of a name are tried.
	maxAddrs = 8
	// nextAddr is how long one address is tried before the next one is tried in parallel (RFC 8305 section 5).
	nextAddr = 250 * time.Millisecond
)

// Resolver looks up the addresses of a name; *net.Resolver implements it.
type Resolver interface {
	// LookupNetIP returns the addresses of host; network is "ip", for both families.
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// absoluteResolver looks up names as absolute ones, ignoring this machine's search domains.
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

// protocolHTTP2 is HTTP/2's name in the TLS handshake (RFC 9113 section 3.1).
const protocolHTTP2 = "h2"

// progress records how far the connection made for a request has come, and how long each stage took. net/http makes
// connections in its own goroutines, which may outlive the request.
type progress struct {
	stage             atomic.Int32
	dns, connect, tls atomic.Int64
	// asked says whether the receiver requested a client certificate in this connection's handshake, and what it got.
	asked atomic.Int32
}

type progressKey struct{}

// progressOf returns the progress of the request with this context.
func progressOf(ctx context.Context) *progress {
	if p, ok := ctx.Value(progressKey{}).(*progress); ok {
		return p
	}
	return &progress{}
}

// tell fills in the duration of each stage.
func (p *progress) tell(t *webhook.Timings) {
	t.DNS, t.Connect, t.TLS = time.Duration(p.dns.Load()), time.Duration(p.connect.Load()), time.Duration(p.tls.Load())
}

// step begins a stage and returns the function that ends it.
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
		d.resolver = &net.Resolver{PreferGo: true} // the C library's resolver takes 127.1 and 0x7f.1 for addresses
		if !d.guard.allowsAny() {
			d.resolver = absoluteResolver{d.resolver}
		}
	}
	// Check the address that the kernel is about to connect to once more, so that no code path bypasses the rules.
	d.net.Control = func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil || !d.guard.permits(netip.AddrPortFrom(to.Addr().Unmap(), to.Port())) {
			return errForbidden()
		}
		return nil
	}
	return d
}

// dial resolves the name once, refuses it if any of its addresses is forbidden, and connects to one of them. Its
// errors are *failures.
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
		out[i] = netip.AddrPortFrom(addr.Unmap(), uint16(port)) // net.Resolver returns IPv4 addresses mapped to IPv6
		if !d.guard.permits(out[i]) {
			return nil, errForbidden()
		}
	}
	return out, nil
}

// dialTLS makes a connection and performs the TLS handshake. Its errors are *failures.
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

// choose selects the certificate to present to a receiver that requests one, as crypto/tls does.
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

// isTimeout reports whether err is a deadline, of a context or of the network.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
