package egress

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxRequestBody bounds the body of a library's request, in bytes.
const maxRequestBody = 64 << 10

// HTTPClient returns a client for libraries that make their own requests. It sends them as Do does, until the
// request's context ends, with the given TLS identity (nil for none), and does not follow redirects. An answer has
// only as much as Do keeps. If there is no usable answer, the *url.Error wraps an error that is safe to show.
func (c *Client) HTTPClient(id *webhook.TLS) *http.Client {
	return &http.Client{
		Transport:     &roundTripper{client: c, id: id},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type roundTripper struct {
	client *Client
	id     *webhook.TLS
}

// RoundTrip implements http.RoundTripper.
func (t *roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	target, err := t.client.Prepare(r.URL.String())
	if err == nil {
		target, err = t.client.WithTLS(target, t.id)
	}
	if err != nil {
		return nil, err
	}
	request := Request{Method: r.Method, Target: target, Header: HeaderOf(r.Header)}
	if deadline, ok := r.Context().Deadline(); ok {
		request.Timeout = max(time.Until(deadline), time.Millisecond)
	}
	if r.Body != nil {
		defer r.Body.Close()
		if request.Body, err = io.ReadAll(io.LimitReader(r.Body, maxRequestBody)); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
	}
	got := t.client.Do(r.Context(), request)
	if got.Status == 0 || got.Class != webhook.ClassNone && got.Class != webhook.ClassStatus && got.Class != webhook.ClassRedirect {
		return nil, got.Err
	}
	return &http.Response{
		Status: statusText(got.Status), StatusCode: got.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: got.Header,
		Body: io.NopCloser(bytes.NewReader(got.Body)), ContentLength: int64(len(got.Body)), Request: r,
	}, nil
}
