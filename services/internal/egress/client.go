package egress

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Defaults of Options, and limits without an option.
const (
	DefaultMaxIdlePerHost = 64
	// DefaultConnectionAge is the age from which on a connection takes no new requests. The next request then
	// resolves the name again, so that the client follows a receiver that has moved.
	DefaultConnectionAge = 2 * time.Minute

	maxIdle              = 1024             // connections over all hosts
	idleTimeout          = time.Minute      // shorter than that of most receivers, so that they rarely close first
	bufferSize           = 16 << 10         // for reading an answer; with 4 KiB, a body of that size costs 1.4 times as much
	maxResponseHeaders   = 64 << 10         // bytes, including interim responses
	pingAfter            = 30 * time.Second // without data on an HTTP/2 connection with open requests
	pingTimeout          = 5 * time.Second
	tlsSessions          = 1024     // cached for resumption
	maxReceiveStream     = 64 << 10 // bytes that an HTTP/2 receiver may send ahead of our reads
	maxReceiveConnection = 1 << 20
	maxResends           = 2 // of a request that the receiver has declared unprocessed
	maxProtocols         = 3 // protocols to try, if the receiver changes its preference meanwhile
)

// Options configure a Client. Zero values mean the defaults above.
type Options struct {
	Policy Policy
	// MaxIdlePerHost is how many idle connections are kept per host.
	MaxIdlePerHost int
	// ConnectionAge bounds the age of connections. Each connection gets up to a quarter less at random.
	ConnectionAge time.Duration
	// DialTimeout bounds resolving the name and connecting, taken together, and TLSHandshakeTimeout the handshake;
	// the request's own timeout applies as well. Both are for tests.
	DialTimeout         time.Duration
	TLSHandshakeTimeout time.Duration
	// Version is Whisperer's version, for User-Agent.
	Version string
	// RootCAs verify receivers' certificates; nil means the system's.
	RootCAs *x509.CertPool
	// Resolver is for tests; nil means the system's name servers.
	Resolver Resolver
}

// Client sends requests to receivers' URLs, which are not trusted. It is safe for concurrent use and keeps
// connections open between requests.
type Client struct {
	guard     guard
	dialer    *dialer
	options   Options
	transport *transport
	// identities hold one transport per TLS identity.
	identities identities
	userAgent  string
	scratch    sync.Pool // of *[scratchSize]byte
	codecs     sync.Pool // of *codec
}

// NewClient returns a client with its own connection pool.
func NewClient(o Options) *Client {
	o = o.withDefaults()
	d := newDialer(o)
	return &Client{
		guard: d.guard, dialer: d, options: o, transport: newTransport(d, o), identities: identities{byKey: map[[sha256.Size]byte]*ownTransport{}},
		userAgent: strings.TrimSuffix("Whisperer/"+o.Version, "/"),
		scratch:   sync.Pool{New: func() any { return new([scratchSize]byte) }},
		codecs:    sync.Pool{New: func() any { return newCodec() }},
	}
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	set(&o.ConnectionAge, DefaultConnectionAge)
	set(&o.DialTimeout, webhook.MaxTimeout)
	set(&o.TLSHandshakeTimeout, webhook.MaxTimeout)
	if o.MaxIdlePerHost <= 0 {
		o.MaxIdlePerHost = DefaultMaxIdlePerHost
	}
	return o
}

// Close closes idle connections. Requests in progress continue.
func (c *Client) Close() {
	c.transport.close()
	c.identities.close()
}

// Target is a checked and parsed URL, made once for many requests. The zero Target is invalid.
type Target struct {
	template *http.Request // has the URL and the host; nil if the target is invalid
	url      string
	address  string // host and port to connect to
	line     string // HTTP/1.1's request line after the method, and the Host header
	refusal  error
	identity *identity // nil for none
}

// secure reports whether the target uses TLS.
func (t Target) secure() bool { return t.template.URL.Scheme == "https" }

// address returns the host and port that a URL connects to.
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

// Host returns the URL's host, with its port if the URL has one. It is empty for a target that was refused.
func (t Target) Host() string {
	if t.template == nil {
		return ""
	}
	return t.template.URL.Host
}

// Path returns the path and query as HTTP/1.1's request line has them. It is empty for a target that was refused.
func (t Target) Path() string {
	path, _, _ := strings.Cut(strings.TrimPrefix(t.line, " "), " ")
	return path
}

// Prepare checks a URL as CheckURL does and returns the Target for it. Even with an error the Target can be used: Do
// answers it with webhook.ClassForbidden without connecting. So callers with a stored hook need no special case.
func (c *Client) Prepare(raw string) (Target, error) {
	loc, err := c.guard.locate(raw)
	if err != nil {
		return Target{url: raw, refusal: err}, err
	}
	return Target{
		url: loc.canonical, address: address(loc.url), line: " " + loc.path + " HTTP/1.1\r\nHost: " + loc.url.Host + "\r\n",
		template: &http.Request{URL: sentAs(loc.url, loc.path), Host: loc.url.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1},
	}, nil
}

// sentAs returns a URL that makes net/http send exactly this path and query, without changes of its own.
func sentAs(u *url.URL, path string) *url.URL {
	if u.RequestURI() == path {
		return u
	}
	sent := *u
	sent.Opaque, sent.RawQuery, sent.ForceQuery = strings.Cut(path, "?")
	if strings.HasPrefix(path, "//") { // net/http would take it for a host
		sent.Opaque = "//" + u.Host + sent.Opaque
	}
	return &sent
}

// Request is one request to send.
type Request struct {
	// Method is POST, PUT, PATCH, GET or OPTIONS; empty means POST.
	Method string
	Target Target
	// Header may get a User-Agent added, so it must not be shared or reused. HTTP/1.1 sends names in the given
	// spelling.
	Header Header
	// Body must not be changed afterwards.
	Body []byte
	// Timeout bounds the whole exchange, including the body of the answer. Zero means webhook.DefaultTimeout; more
	// than webhook.MaxTimeout means webhook.MaxTimeout.
	Timeout time.Duration
	// Success says which statuses count as delivered. The caller evaluates its condition.
	Success webhook.Success
}

// Do sends one request and waits for the answer. It never follows a redirect, and never repeats a request that the
// receiver may have seen. It only sends again what the receiver declared unprocessed (HTTP/2), or what it wrote no
// byte of because an idle connection turned out to be closed.
func (c *Client) Do(ctx context.Context, r Request) Response {
	out := Response{Started: time.Now(), success: r.Success}
	if err := r.check(); err != nil {
		out.fail(err, stageNone)
	} else {
		c.send(ctx, &out, r)
	}
	out.Duration = time.Since(out.Started)
	return out
}

// end returns when the whole answer must have arrived.
func (r Request) end(started time.Time) time.Time {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = webhook.DefaultTimeout
	}
	return started.Add(min(timeout, webhook.MaxTimeout))
}

// send sends a request by the protocol that the receiver speaks, as known from the TLS handshake. If the receiver has
// changed its preference, it tries the other protocol.
func (c *Client) send(ctx context.Context, out *Response, r Request) {
	o, end := c.transportFor(r.Target.identity), r.end(out.Started)
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	if _, ok := r.Header.find("User-Agent"); !ok {
		r.Header = append(r.Header, webhook.Header{Name: "User-Agent", Value: c.userAgent})
	}
	http1 := !r.Target.secure() || o.http1.has(r.Target.address)
	for range maxProtocols {
		var err error
		if http1 {
			err = c.sendHTTP1(ctx, out, r, o, end)
		} else {
			err = c.sendHTTP2(ctx, out, r, o, end)
		}
		if err == nil {
			return
		}
		http1 = errors.Is(err, errSpeaksHTTP1)
	}
	out.fail(&failure{class: webhook.ClassProtocol, text: "the receiver speaks another protocol on each connection"}, stageNone)
}

// partial turns a success into a failure if the receiver answered before it had the whole request and did not take
// the rest.
func (r *Response) partial() {
	if r.Class == webhook.ClassNone {
		r.Class = webhook.ClassIncomplete
		r.Err = fmt.Errorf("the receiver answered %s before it had all of the request, and did not take the rest", statusText(r.Status))
	}
}

// endless turns a success into a failure if the receiver did not finish the answer within the timeout: it may not
// have done what the status promises. Other statuses are failures already.
func (r *Response) endless() {
	if r.Class == webhook.ClassNone && r.Truncated {
		r.Class, r.Err = webhook.ClassTimeout, &failure{class: webhook.ClassTimeout, text: "the receiver did not end its answer in time"}
	}
}

// giveUp records that the caller cancelled the request.
func (r *Response) giveUp(ctx context.Context) {
	r.Cancelled, r.Class, r.Err = true, webhook.ClassNone, ctx.Err()
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
	case "", http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodGet, http.MethodOptions:
		return nil
	default:
		return &failure{class: webhook.ClassRequest, text: "the request has a method that is not sent"}
	}
}
