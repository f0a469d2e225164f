package egress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
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

	maxIdle              = 1024        // connections, over all hosts; each holds its buffers
	idleTimeout          = time.Minute // shorter than most receivers' own, so that they rarely close first
	bufferSize           = 16 << 10    // of a connection, each way; with 4 KiB a body of that size costs 1.4 times as much
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
	guard     guard
	dialer    *dialer
	options   Options
	transport *http.Transport
	// identities have transports of their own.
	identities identities
	userAgent  []string
	scratch    sync.Pool // of *[scratchSize]byte
}

// NewClient returns a client with a connection pool of its own.
func NewClient(o Options) *Client {
	o = o.withDefaults()
	d := newDialer(o)
	c := &Client{
		guard: d.guard, dialer: d, options: o, identities: identities{byKey: map[[sha256.Size]byte]*ownTransport{}},
		userAgent: []string{strings.TrimSuffix("Whisperer/"+o.Version, "/")},
		scratch:   sync.Pool{New: func() any { return new([scratchSize]byte) }},
	}
	c.transport = c.newTransport(d)
	return c
}

// newTransport makes the transport of one TLS identity.
func (c *Client) newTransport(d *dialer) *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            d.dial,
		DialTLSContext:         d.dialTLS,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    c.options.MaxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeaders,
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream:     maxReceiveStream,
			MaxReceiveBufferPerConnection: maxReceiveConnection,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   c.options.DialTimeout,
			WriteByteTimeout:              webhook.MaxTimeout,
		},
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
	c.transport.CloseIdleConnections()
	c.identities.close()
}

// Target is a URL that has been checked and taken apart, to be made once for many requests. The zero Target is none.
type Target struct {
	template *http.Request // with the URL and the host; nil if there is none
	url      string
	refusal  error
	identity *identity // nil for none
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
	return Target{url: loc.canonical, template: &http.Request{
		URL: loc.url, Host: loc.url.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}}, nil
}

// Request is one request to send.
type Request struct {
	// Method is POST, PUT, PATCH or GET; empty for POST.
	Method string
	Target Target
	// Header belongs to Do, which may add User-Agent: it must be neither shared nor used after.
	Header http.Header
	// Body must not be changed after.
	Body []byte
	// Timeout bounds everything, the body of the answer included: webhook.DefaultTimeout if it is zero,
	// webhook.MaxTimeout at most. The headers have to come within 10 s of it, or 5 s before its end where that is later.
	Timeout time.Duration
}

// exchange is what one call of Do needs on the heap. It is not used again: the transport may hold on to it after.
type exchange struct {
	progress progress
	body     bytes.Reader
	content  []byte
	resends  int
}

// Do sends one request and waits for the answer. It never follows a redirect and never sends twice what a receiver may
// have seen: the transport may resend what the receiver has declared unprocessed (HTTP/2), or of which no byte was
// written because an idle connection turned out to be closed.
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

func (c *Client) send(ctx context.Context, out *Response, r Request) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = webhook.DefaultTimeout
	}
	timeout = min(timeout, webhook.MaxTimeout)
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(min(timeout, max(headerTimeout, timeout-bodyTimeout)), func() { cancel(context.DeadlineExceeded) })
	defer limit.Stop()
	x := &exchange{content: r.Body}
	req := c.request(context.WithValue(bounded, progressKey{}, &x.progress), r, x)
	// RoundTrip, not http.Client: that one follows redirects, keeps cookies and costs more.
	resp, err := c.transportFor(r.Target.identity).RoundTrip(req)
	late := errors.Is(context.Cause(bounded), context.DeadlineExceeded)
	switch {
	case err == nil:
		out.Timings.FirstByte = time.Since(out.Started)
		limit.Reset(timeout - out.Timings.FirstByte)
		c.receive(out, resp)
		out.endless(bounded)
	case ctx.Err() != nil:
		out.Cancelled, out.Err = true, ctx.Err()
	case late:
		out.fail(context.DeadlineExceeded, x.progress.stage.Load())
	default:
		out.fail(err, x.progress.stage.Load())
	}
	out.Timings.DNS = time.Duration(x.progress.dns.Load())
	out.Timings.Connect = time.Duration(x.progress.connect.Load())
	out.Timings.TLS = time.Duration(x.progress.tls.Load())
}

// endless makes a failure of a success that the receiver did not end within the timeout: it may not have done what it
// promised. A failure is one by its status already.
func (r *Response) endless(bounded context.Context) {
	if r.Class == webhook.ClassNone && r.Truncated && errors.Is(context.Cause(bounded), context.DeadlineExceeded) {
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
	case hasForbidden(r.Header):
		return &failure{class: webhook.ClassRequest, text: "the request has a header that belongs to the connection"}
	}
	switch r.Method {
	case "", http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodGet:
		return nil
	default:
		return &failure{class: webhook.ClassRequest, text: "the request has a method that is not sent"}
	}
}

func (c *Client) request(ctx context.Context, r Request, x *exchange) *http.Request {
	req := r.Target.template.WithContext(ctx)
	if req.Method = r.Method; req.Method == "" {
		req.Method = http.MethodPost
	}
	if req.Header = r.Header; req.Header == nil {
		req.Header = http.Header{}
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = c.userAgent
	}
	if len(r.Body) > 0 {
		x.body.Reset(r.Body)
		// io.NopCloser is what net/http looks through to write headers and body at once.
		req.Body, req.GetBody, req.ContentLength = io.NopCloser(&x.body), x.rewind, int64(len(r.Body))
	}
	return req
}

// rewind gives the transport the body once more. It asks only for what the receiver has not processed, because requests
// carry no Idempotency-Key; a receiver that says so again and again is not believed.
func (x *exchange) rewind() (io.ReadCloser, error) {
	if x.resends++; x.resends > maxResends {
		return nil, errors.New("stream error: the receiver keeps on refusing the request")
	}
	return io.NopCloser(bytes.NewReader(x.content)), nil
}

// connectionHeaders would change how the request is sent, or make net/http resend it silently.
var connectionHeaders = []string{
	"Connection", "Expect", "Idempotency-Key", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"X-Idempotency-Key",
}

func hasForbidden(h http.Header) bool {
	for name := range h {
		for _, forbidden := range connectionHeaders {
			if len(name) == len(forbidden) && strings.EqualFold(name, forbidden) {
				return true
			}
		}
	}
	return false
}
