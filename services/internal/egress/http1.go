package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// sendHTTP1 sends a request on one of our own connections and fills in the result. net/http would pass it to two
// other goroutines and back, which costs more than everything else. The only error it returns is errSpeaksHTTP2: the
// receiver now prefers HTTP/2, and nothing was sent.
func (c *Client) sendHTTP1(ctx context.Context, out *Response, r Request, o *transport, end time.Time) error {
	d, _ := c.codecs.Get().(*codec)
	defer func() {
		d.clear()
		c.codecs.Put(d)
	}()
	left := d.compose(r)
	for {
		w, err := o.conn(ctx, out, r.Target, end)
		if err == nil {
			err = c.exchange(ctx, out, o, w, d, left, end)
		}
		switch {
		case err == nil:
		case errors.Is(err, errSpeaksHTTP2):
			return err
		case ctx.Err() != nil:
			out.giveUp(ctx)
		case errors.Is(err, errUntouched):
			continue
		default:
			out.fail(err, stageNone)
		}
		return nil
	}
}

// exchange writes what the codec holds and then the rest of the body, and reads the answer. It keeps the connection
// only if request and answer are complete, nothing followed the answer, and neither side wants to close.
func (c *Client) exchange(ctx context.Context, out *Response, o *transport, w *httpConn, d *codec, left []byte, end time.Time) error {
	if err := w.SetDeadline(end); err != nil {
		w.drop()
		return fmt.Errorf("set deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, w.interrupt) // set after the deadline, which would override the interrupt
	resp, rest, err := w.ask(d, left)           //nolint:bodyclose // that would read it to its end
	if err != nil {
		stop()
		w.drop()
		rest.settle(w, nil, true, false)
		if errors.Is(err, errUntouched) {
			return err
		}
		return explain(err, w.asked)
	}
	out.Timings.FirstByte = time.Since(out.Started)
	w.asked = notAsked // the receiver has accepted the certificate, or the lack of one
	bodyEnd := c.receive(out, resp)
	if isTimeout(bodyEnd) && !errors.Is(ctx.Err(), context.Canceled) {
		out.endless()
	}
	ended := errors.Is(bodyEnd, io.EOF)
	whole := rest.settle(w, resp, ended, out.Success())
	keep := stop() && whole && ended && !resp.Close && w.drained(d.in)
	switch {
	case !out.Success(), keep && rest.written == nil && len(d.out) <= taken, whole && w.sent(ctx, end):
	case ctx.Err() != nil:
		out.giveUp(ctx)
	default:
		out.partial()
	}
	if keep {
		o.idle.put(w, keepAlive(resp.Header["Keep-Alive"]))
	} else {
		w.drop()
	}
	return nil
}

// keepAlive returns how long an idle connection may be reused. If the receiver announces its own timeout, in the
// Keep-Alive header of RFC 2068 section 19.7.1 as Node.js and nginx do, we stop one second before it, or halfway if
// that is longer. A request that crosses the receiver's close is lost, and nobody knows whether it was read.
func keepAlive(values []string) time.Duration {
	for _, value := range values {
		for parameter := range strings.SplitSeq(value, ",") {
			name, seconds, _ := strings.Cut(strings.TrimSpace(parameter), "=")
			if said, ok := deltaSeconds(seconds); ok && strings.EqualFold(name, "timeout") {
				return min(max(said-time.Second, said/2), idleTimeout)
			}
		}
	}
	return idleTimeout
}
