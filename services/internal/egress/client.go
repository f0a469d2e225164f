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

// What Options' zero values mean, and limits that have no option.
const (
	DefaultMaxIdlePerHost = 64
	// DefaultConnectionAge is how old a connection gets at most before a request that begins: then the name is looked up
	// again, so that a receiver that has moved is followed.
	DefaultConnectionAge = 2 * time.Minute

	maxIdle              = 1024             // connections, over all hosts
	idleTimeout          = time.Minute      // shorter than most receivers' own, so that they rarely close first
	bufferSize           = 16 << 10         // of reading an answer; with 4 KiB a body of that size costs 1.4 times as much
	maxResponseHeaders   = 64 << 10         // bytes, interim answers included
	pingAfter            = 30 * time.Second // of silence on an HTTP/2 connection with requests under way
	pingTimeout          = 5 * time.Second
	tlsSessions          = 1024     // remembered for resumption
	maxReceiveStream     = 64 << 10 // bytes that an HTTP/2 receiver may send before they are read
	maxReceiveConnection = 1 << 20
	maxResends           = 2 // of a request that the receiver has not processed
	maxProtocols         = 3 // that a request is sent by, where the receiver changes its mind in between
)

// Options configure a Client. Zero values mean the defaults above.
type Options struct {
	Policy Policy
	// MaxIdlePerHost is how many unused connections are kept to one host.
	MaxIdlePerHost int
	// ConnectionAge bounds the age of connections, which differs by up to a quarter from one to the next.
	ConnectionAge time.Duration
	// DialTimeout bounds the look-up of the name and connecting together, and TLSHandshakeTimeout the handshake, where a
	// request's own timeout does not end before. Both are for tests.
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
	guard     guard
	dialer    *dialer
	options   Options
	transport *transport
	// identities have transports of their own.
	identities identities
	userAgent  string
	scratch    sync.Pool // of *[scratchSize]byte
	codecs     sync.Pool // of *codec
}

// NewClient returns a client with a connection pool of its own.
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

// Close closes the connections that are not in use. Requests under way go on.
func (c *Client) Close() {
	c.transport.close()
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

// Path returns what a request asks for, as HTTP/1.1's request line has it: the path and the query. It is empty for a target that is refused.
func (t Target) Path() string {
	path, _, _ := strings.Cut(strings.TrimPrefix(t.line, " "), " ")
	return path
}

// Prepare checks a URL as CheckURL does and returns the Target for it. With an error, the Target is one that Do answers
// with webhook.ClassForbidden, without any connection: a caller with a stored hook need not treat it apart.
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

// sentAs returns the URL of a request that net/http sends with this path and query, whatever it would make of them itself.
func sentAs(u *url.URL, path string) *url.URL {
	if u.RequestURI() == path {
		return u
	}
	sent := *u
	sent.Opaque, sent.RawQuery, sent.ForceQuery = strings.Cut(path, "?")
	if strings.HasPrefix(path, "//") { // which would be taken for a host
		sent.Opaque = "//" + u.Host + sent.Opaque
	}
	return &sent
}

// Request is one request to send.
type Request struct {
	// Method is POST, PUT, PATCH, GET or OPTIONS; empty for POST.
	Method string
	Target Target
	// Header may be given a User-Agent: it must be neither shared nor used after. HTTP/1.1 sends the names as they are spelt.
	Header Header
	// Body must not be changed after.
	Body []byte
	// Timeout bounds everything, the body of the answer included: webhook.DefaultTimeout if it is zero,
	// webhook.MaxTimeout at most.
	Timeout time.Duration
	// Success is which statuses count as delivered; its condition is the caller's to judge.
	Success webhook.Success
}

// Do sends one request and waits for the answer. It never follows a redirect and never sends twice what a receiver may
// have seen: sent again is only what the receiver has declared unprocessed (HTTP/2), or of which no byte was written
// because an idle connection turned out to be closed.
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

// end is when all of an answer has to be there.
func (r Request) end(started time.Time) time.Time {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = webhook.DefaultTimeout
	}
	return started.Add(min(timeout, webhook.MaxTimeout))
}

// send sends a request by the protocol that the receiver speaks. It is told in the TLS handshake, and asked again if it has
// come to speak another one.
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

// partial makes a failure of a success that came before all of the request, which the receiver then did not take.
func (r *Response) partial() {
	if r.Class == webhook.ClassNone {
		r.Class = webhook.ClassIncomplete
		r.Err = fmt.Errorf("the receiver answered %s before it had all of the request, and did not take the rest", statusText(r.Status))
	}
}

// endless makes a failure of a success that the receiver did not end within the timeout: it may not have done what it
// promised. A failure is one by its status already.
func (r *Response) endless() {
	if r.Class == webhook.ClassNone && r.Truncated {
		r.Class, r.Err = webhook.ClassTimeout, &failure{class: webhook.ClassTimeout, text: "the receiver did not end its answer in time"}
	}
}

// giveUp says that the caller did.
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
