package egress

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Limits on what is kept of a receiver's answer.
const (
	// MaxBody is how many bytes of the body are kept.
	MaxBody = 16 << 10
	// MaxHeader is how many bytes of header names and values are kept.
	MaxHeader = 8 << 10
	// scratchSize is how many bytes of a body are read, so that the connection can be reused after an answer that is
	// a little too long. After a longer one the connection is closed.
	scratchSize = MaxBody + 16<<10
)

// Response is the result of a request. Exactly one of three holds: a usable answer came (Class is webhook.ClassNone
// and Cancelled is false), the request failed (Class says how, and Err explains it to people), or the caller
// cancelled it (Cancelled).
//
// The status decides. Once it has arrived, what happens to the body only affects Truncated, with two exceptions that
// turn a success into a failure: the body, or the part of it that we read, has not ended when the timeout is over
// (webhook.ClassTimeout); or the receiver answered early and then did not take the rest of the request
// (webhook.ClassIncomplete). A status without content (1xx, 204, 205, 304) ends with its headers.
type Response struct {
	// Status is the HTTP status, or 0 if no answer came.
	Status int
	// Header has at most MaxHeader bytes of the answer's headers, in valid UTF-8 without NUL.
	Header http.Header
	// Body has at most MaxBody bytes of the answer's body as they came; nothing is decompressed.
	Body []byte
	// Truncated says that Body or Header is not all that the receiver sent or meant to send; BodyCut says that of
	// Body alone.
	Truncated bool
	BodyCut   bool
	Class     webhook.ErrorClass
	// Err explains Class in one sentence that is safe to show to anybody; it is nil for a success.
	Err error
	// Cancelled says that the caller's context ended before an answer came, or before all of the request was sent to
	// a receiver that had answered with a success. It says nothing about the receiver.
	Cancelled bool
	// RetryAfter is what the receiver asked for, at most webhook.MaxRetryAfter; it is only valid if HasRetryAfter is
	// true.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// Started and Duration cover everything, from before the name was resolved to the end of the body.
	Started  time.Time
	Duration time.Duration
	// Timings are those of the connection made for this request; DNS, Connect and TLS are zero if a pooled one was
	// used.
	Timings webhook.Timings

	success webhook.Success
}

// Success reports whether the answer counts as delivered.
func (r Response) Success() bool {
	return r.Class == webhook.ClassNone && !r.Cancelled && r.Status != 0
}

// classify sets the Class of a status.
func (r *Response) classify(status int) {
	switch s := status; {
	case s < 200: // 101: we never ask to switch protocols, and what follows is not a body
		r.Class, r.Err = webhook.ClassProtocol, errors.New("the receiver did not answer in valid HTTP")
	case r.success.Counts(s):
	case s <= 299:
		r.Class, r.Err = webhook.ClassStatus, fmt.Errorf("the receiver answered %s, which the hook's config.success does not count as delivered", statusText(s))
	case s == http.StatusNotModified: // answers a conditional request, which we never send
		r.Class, r.Err = webhook.ClassRedirect, fmt.Errorf("the receiver answered %s, which is no answer to a delivery", statusText(s))
	case s <= 399:
		r.Class, r.Err = webhook.ClassRedirect, fmt.Errorf("the receiver answered %s: redirects are not followed", statusText(s))
	default:
		r.Class, r.Err = webhook.ClassStatus, fmt.Errorf("the receiver answered %s", statusText(s))
	}
}

// receive keeps the relevant parts of an answer. It returns how the body ended: io.EOF if it was read to its end, nil
// if there was more than is read.
func (c *Client) receive(out *Response, resp *http.Response) (end error) {
	out.Status = resp.StatusCode
	var cut bool
	out.Header, cut = keepHeader(resp.Header)
	if values := resp.Header["Retry-After"]; len(values) > 0 {
		out.RetryAfter, out.HasRetryAfter = retryAfter(values, time.Now())
	}
	out.classify(resp.StatusCode)
	switch {
	case resp.StatusCode < 200:
		return nil
	case resp.StatusCode == http.StatusResetContent: // RFC 9110 section 15.3.6: it is framed differently, and some omit that
		if out.Truncated = cut; resp.ContentLength == 0 {
			return io.EOF
		}
		return nil
	}
	out.Body, out.BodyCut, end = c.readBody(resp)
	out.Truncated = out.BodyCut || cut
	return end
}

func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// readBody returns the beginning of the body, whether there was more, and how it ended.
func (c *Client) readBody(resp *http.Response) (body []byte, truncated bool, end error) {
	if resp.ContentLength == 0 {
		return nil, false, io.EOF
	}
	if resp.ContentLength > 0 && resp.ContentLength <= MaxBody {
		// One byte more than the length, so that the reader sees the end; otherwise the connection is not reused.
		buf := make([]byte, resp.ContentLength+1)
		n, err := readFull(resp.Body, buf)
		return buf[:n], !errors.Is(err, io.EOF), err
	}
	scratch, _ := c.scratch.Get().(*[scratchSize]byte)
	defer c.scratch.Put(scratch)
	n, err := readFull(resp.Body, scratch[:])
	return slices.Clone(scratch[:min(n, MaxBody)]), !errors.Is(err, io.EOF) || n > MaxBody, err
}

// readFull reads until buf is full (nil), the reader ends (io.EOF, and nothing else), or it fails.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err //nolint:wrapcheck // only looked at
}

// keepHeader returns the headers unchanged if they are valid and fit. Otherwise it keeps as many as fit, by name,
// with invalid characters replaced. cut says that something was left out.
func keepHeader(h http.Header) (kept http.Header, cut bool) {
	size, clean := 0, true
	for name, values := range h {
		for _, v := range values {
			size += len(name) + len(v)
			clean = clean && isText(v)
		}
	}
	if size <= MaxHeader && clean {
		return h, false
	}
	kept, size = http.Header{}, 0
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			if !isText(v) {
				v = strings.ReplaceAll(strings.ToValidUTF8(v, string(utf8.RuneError)), "\x00", string(utf8.RuneError))
			}
			if size += len(name) + len(v); size > MaxHeader {
				return kept, true
			}
			kept[name] = append(kept[name], v)
		}
	}
	return kept, false
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
