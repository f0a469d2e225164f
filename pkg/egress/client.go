package egress

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// What Options' zero values mean, and limits that have no option.
const (
	DefaultDialTimeout         = 5 * time.Second
	DefaultTLSHandshakeTimeout = 5 * time.Second
	DefaultMaxIdlePerHost      = 64

	maxIdle              = 1024        // connections, over all hosts
	idleTimeout          = time.Minute // shorter than most receivers' own, so that they rarely close first
	bufferSize           = 16 << 10    // of reading an answer; with 4 KiB a body of that size costs 1.4 times as much
	maxResponseHeaders   = 64 << 10    // bytes, interim answers included
	headerTimeout        = 10 * time.Second
	bodyTimeout          = 5 * time.Second  // what of a longer timeout is the body's
	pingAfter            = 30 * time.Second // of silence on an HTTP/2 connection with requests under way
	tlsSessions          = 1024             // remembered for resumption
	maxReceiveStream     = 64 << 10         // bytes that an HTTP/2 receiver may send before they are read
	maxReceiveConnection = 1 << 20
	maxResends           = 2 // of a request that the receiver has not processed
)

// Options configure a Client. Zero values mean the defaults above.
type Options struct {
	Policy Policy
	// MaxIdlePerHost is how many unused connections are kept to one host.
	MaxIdlePerHost int
	// DialTimeout bounds the look-up of the name and connecting together.
	DialTimeout         time.Duration
	TLSHandshakeTimeout time.Duration
	// Version of Whisperer, for User-Agent.
	Version string
	// RootCAs are who may sign receivers' certificates; nil for the system's.
	RootCAs *x509.CertPool
	// Resolver is for tests; nil for the system's name servers.
	Resolver Resolver
}

// Client sends requests to strangers' URLs. It is safe for concurrent use and keeps connections open between requests.
type Client struct {
	guard   guard
	dialer  *dialer
	options Options
	outlet  *outlet
	// identities have outlets of their own.
	identities identities
	userAgent  string
	scratch    sync.Pool // of *[scratchSize]byte
	desks      sync.Pool // of *desk
}

// NewClient returns a client with a connection pool of its own.
func NewClient(o Options) *Client {
	o = o.withDefaults()
	d := newDialer(o)
	return &Client{
		guard: d.guard, dialer: d, options: o, outlet: newOutlet(d, o), identities: identities{byKey: map[[sha256.Size]byte]*ownOutlet{}},
		userAgent: strings.TrimSuffix("Whisperer/"+o.Version, "/"),
		scratch:   sync.Pool{New: func() any { return new([scratchSize]byte) }},
		desks:     sync.Pool{New: func() any { return newDesk() }},
	}
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	set(&o.DialTimeout, DefaultDialTimeout)
	set(&o.TLSHandshakeTimeout, DefaultTLSHandshakeTimeout)
	if o.MaxIdlePerHost <= 0 {
		o.MaxIdlePerHost = DefaultMaxIdlePerHost
	}
	return o
}

// Close closes the connections that are not in use. Requests under way go on.
func (c *Client) Close() {
	c.outlet.close()
	c.identities.close()
}

// Target is a URL that has been checked and taken apart, to be made once for many requests. The zero Target is none.
type Target struct {
	template *http.Request // with the URL and the host; nil if there is none
	url      string
	address  string // what to connect to: host and port
	line     string // what of HTTP/1.1's request line comes after the method, and the Host header
	refusal  error
	identity *identity // nil for none
}

// secure reports whether the target is called by TLS.
func (t Target) secure() bool { return t.template.URL.Scheme == "https" }

// address returns what a URL wants to be connected to, host and port.
func address(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// URL returns the URL in its canonical form.
func (t Target) URL() string { return t.url }

// Host returns the URL's host, with its port where it names one; empty for a target that is refused.
func (t Target) Host() string {
	if t.template == nil {
		return ""
	}
	return t.template.URL.Host
}

// Prepare checks a URL as CheckURL does and returns the Target for it. With an error, the Target is one that Do answers
// with webhook.ClassForbidden, without any connection: a caller with a stored hook need not treat it apart.
func (c *Client) Prepare(raw string) (Target, error) {
	loc, err := c.guard.locate(raw)
	if err != nil {
		return Target{url: raw, refusal: err}, err
	}
	return Target{
		url: loc.canonical, address: address(loc.url), line: " " + loc.url.RequestURI() + " HTTP/1.1\r\nHost: " + loc.url.Host + "\r\n",
		template: &http.Request{URL: loc.url, Host: loc.url.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1},
	}, nil
}

// Request is one request to send.
type Request struct {
	// Method is POST, PUT, PATCH or GET; empty for POST.
	Method string
	Target Target
	// Header may be given a User-Agent: it must be neither shared nor used after. Names are canonical.
	Header Header
	// Body must not be changed after.
	Body []byte
	// Timeout bounds everything, the body of the answer included: webhook.DefaultTimeout if it is zero,
	// webhook.MaxTimeout at most. The headers have to come within 10 s of it, or 5 s before its end where that is later.
	Timeout time.Duration
}

// Do sends one request and waits for the answer. It never follows a redirect and never sends twice what a receiver may
// have seen: sent again is only what the receiver has declared unprocessed (HTTP/2), or of which no byte was written
// because an idle connection turned out to be closed.
func (c *Client) Do(ctx context.Context, r Request) Response {
	out := Response{Started: time.Now()}
	if err := r.check(); err != nil {
		out.fail(err, stageNone)
	} else {
		c.send(ctx, &out, r)
	}
	out.Duration = time.Since(out.Started)
	return out
}

// bounds are when the headers and all of an answer have to be there.
type bounds struct{ headers, end time.Time }

func (r Request) bounds(started time.Time) bounds {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = webhook.DefaultTimeout
	}
	timeout = min(timeout, webhook.MaxTimeout)
	return bounds{
		headers: started.Add(min(timeout, max(headerTimeout, timeout-bodyTimeout))),
		end:     started.Add(timeout),
	}
}

// send sends a request by HTTP/1.1 where that is what the receiver speaks, else by what the TLS handshake brings.
func (c *Client) send(ctx context.Context, out *Response, r Request) {
	o, b := c.outletFor(r.Target.identity), r.bounds(out.Started)
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	if _, ok := r.Header.find("User-Agent"); !ok {
		r.Header = append(r.Header, webhook.Header{Name: "User-Agent", Value: c.userAgent})
	}
	if !r.Target.secure() || o.http1.has(r.Target.address) {
		if err := c.sendHTTP1(ctx, out, r, o, b); !errors.Is(err, errSpeaksHTTP2) {
			return
		}
	}
	c.sendNegotiated(ctx, out, r, o, b)
}

// endless makes a failure of a success that the receiver did not end within the timeout: it may not have done what it
// promised. A failure is one by its status already.
func (r *Response) endless() {
	if r.Class == webhook.ClassNone && r.Truncated {
		r.Class, r.Err = webhook.ClassTimeout, &failure{class: webhook.ClassTimeout, text: "the receiver did not end its answer in time"}
	}
}

func (r *Response) fail(err error, stage int32) {
	f := classify(err, stage)
	r.Class, r.Err = f.class, f
}

// check refuses a request that must not be sent. Its errors are *failures.
func (r Request) check() error {
	switch {
	case r.Target.refusal != nil:
		cause := r.Target.refusal
		return &failure{class: webhook.ClassForbidden, text: "the target " + cause.Error(), cause: cause}
	case r.Target.template == nil:
		return &failure{class: webhook.ClassRequest, text: "the request has no target"}
	}
	if err := r.Header.check(); err != nil {
		return err
	}
	switch r.Method {
	case "", http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodGet:
		return nil
	default:
		return &failure{class: webhook.ClassRequest, text: "the request has a method that is not sent"}
	}
}
