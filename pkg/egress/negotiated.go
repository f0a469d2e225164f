package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// resendable is what one request by net/http needs on the heap. It is not used again: the transport may hold on to it after.
type resendable struct {
	progress progress
	body     bytes.Reader
	content  []byte
	resends  int
}

// sendNegotiated sends a request by net/http, in the protocol that the TLS handshake settles.
func (c *Client) sendNegotiated(ctx context.Context, out *Response, r Request, o *outlet, b bounds) {
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(time.Until(b.headers), func() { cancel(context.DeadlineExceeded) })
	defer limit.Stop()
	x := &resendable{content: r.Body}
	// RoundTrip, not http.Client: that one follows redirects, keeps cookies and costs more.
	resp, err := o.negotiated.RoundTrip(x.request(context.WithValue(bounded, progressKey{}, &x.progress), r))
	late := errors.Is(context.Cause(bounded), context.DeadlineExceeded)
	switch {
	case err == nil:
		out.Timings.FirstByte = time.Since(out.Started)
		limit.Reset(time.Until(b.end))
		_ = c.receive(out, resp)
		_ = resp.Body.Close()
		if errors.Is(context.Cause(bounded), context.DeadlineExceeded) {
			out.endless()
		}
	case ctx.Err() != nil:
		out.Cancelled, out.Err = true, ctx.Err()
	case late:
		out.fail(context.DeadlineExceeded, x.progress.stage.Load())
	default:
		out.fail(err, x.progress.stage.Load())
	}
	x.progress.tell(&out.Timings)
}

func (x *resendable) request(ctx context.Context, r Request) *http.Request {
	req := r.Target.template.WithContext(ctx)
	req.Method, req.Header = r.Method, r.Header.ofHTTP()
	if len(r.Body) > 0 {
		x.body.Reset(r.Body)
		req.Body, req.GetBody, req.ContentLength = io.NopCloser(&x.body), x.rewind, int64(len(r.Body))
	}
	return req
}

// rewind gives the transport the body once more. It asks only for what the receiver has not processed, because requests
// carry no Idempotency-Key; a receiver that says so again and again is not believed.
func (x *resendable) rewind() (io.ReadCloser, error) {
	if x.resends++; x.resends > maxResends {
		return nil, errors.New("stream error: the receiver keeps on refusing the request")
	}
	return io.NopCloser(bytes.NewReader(x.content)), nil
}
