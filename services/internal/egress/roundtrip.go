package egress

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxRequestBody bounds what such a library sends, in bytes.
const maxRequestBody = 64 << 10

// HTTPClient is for libraries that make requests of their own: it sends them as Do does, for as long as the request's
// context lets it, with the TLS identity, nil for none. Redirects are not followed. Of an answer there is no more than Do
// keeps, and what got no usable answer is an error that is safe to show, inside of an *url.Error.
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
