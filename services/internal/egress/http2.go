package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// resendable is what one request through net/http needs on the heap. It is not reused, because the transport may hold
// on to it afterwards.
type resendable struct {
	progress progress
	body     bytes.Reader
	content  []byte
	resends  int
	written  chan error // result of the last write of the request
}

// sendHTTP2 sends a request through net/http. The only error it returns is errSpeaksHTTP1: the receiver does not
// speak HTTP/2, and nothing was sent.
func (c *Client) sendHTTP2(ctx context.Context, out *Response, r Request, o *transport, end time.Time) error {
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(time.Until(end), func() { cancel(context.DeadlineExceeded) })
	defer limit.Stop()
	x := &resendable{content: r.Body}
	defer x.progress.tell(&out.Timings)
	// RoundTrip rather than http.Client, which follows redirects, keeps cookies and costs more.
	resp, err := o.http2.of(r.Target.address).RoundTrip(x.request(context.WithValue(bounded, progressKey{}, &x.progress), r))
	late := errors.Is(context.Cause(bounded), context.DeadlineExceeded)
	switch {
	case err == nil:
		c.receiveHTTP2(bounded, out, resp, x)
		if ctx.Err() != nil && out.Class == webhook.ClassIncomplete {
			out.giveUp(ctx)
		}
	case errors.Is(err, errSpeaksHTTP1):
		return err
	case ctx.Err() != nil:
		out.giveUp(ctx)
	case late:
		out.fail(context.DeadlineExceeded, x.progress.stage.Load())
	default:
		out.fail(explain(err, x.progress.asked.Load()), x.progress.stage.Load())
	}
	return nil
}

// receiveHTTP2 reads the answer. If a success came before the whole request was sent, it waits for the rest, because
// closing the answer would abort the request.
func (c *Client) receiveHTTP2(ctx context.Context, out *Response, resp *http.Response, x *resendable) {
	out.Timings.FirstByte = time.Since(out.Started)
	_ = c.receive(out, resp)
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		out.endless()
	}
	if out.Success() && !x.whole(ctx, resp.Body) {
		out.partial()
	}
	_ = resp.Body.Close()
}

// whole waits until the request is written and reports whether it was written completely. Meanwhile it discards the
// rest of the answer, because the receiver may only read on when it can send its answer.
func (x *resendable) whole(ctx context.Context, answer io.Reader) bool {
	if x.written == nil {
		return true
	}
	select {
	case err := <-x.written:
		return err == nil
	default:
	}
	go func() { _, _ = io.Copy(io.Discard, answer) }() // ends when the caller closes the answer
	select {
	case err := <-x.written:
		return err == nil
	case <-ctx.Done():
		return false
	}
}

// follow makes net/http report how writing the request ended. If the request is sent again, only the last result
// counts.
func (x *resendable) follow(ctx context.Context) context.Context {
	x.written = make(chan error, 1)
	forget := func() {
		select {
		case <-x.written: //nolint:errcheck // of the one before
		default:
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { forget() },
		WroteRequest: func(wrote httptrace.WroteRequestInfo) {
			forget()
			x.written <- wrote.Err
		},
	})
}

func (x *resendable) request(ctx context.Context, r Request) *http.Request {
	if len(r.Body) > 0 {
		ctx = x.follow(ctx)
	}
	req := r.Target.template.WithContext(ctx)
	req.Method, req.Header = r.Method, r.Header.ofHTTP()
	if len(r.Body) > 0 {
		x.body.Reset(r.Body)
		req.Body, req.GetBody, req.ContentLength = io.NopCloser(&x.body), x.rewind, int64(len(r.Body))
	}
	return req
}

// rewind gives the transport the body once more. The transport only asks for it if the receiver has not processed the
// request, because requests carry no Idempotency-Key. The number of resends is bounded.
func (x *resendable) rewind() (io.ReadCloser, error) {
	if x.resends++; x.resends > maxResends {
		return nil, errors.New("stream error: the receiver keeps on refusing the request")
	}
	return io.NopCloser(bytes.NewReader(x.content)), nil
}
