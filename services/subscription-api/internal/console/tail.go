package console

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// Live pages use server-sent events (WHATWG HTML, section 9.2): the page is sent again whenever it changed.
const (
	// tailEvery is the minimum interval of rendering a live page.
	tailEvery = time.Second
	// tailRest makes costly pages refresh less often: the pause is this many times as long as rendering took.
	tailRest = 20
	// tailLife is the lifetime of a connection. The browser reconnects automatically.
	tailLife = 20 * time.Second
	// The maximum number of live pages: in total, per tenant and per token. tailPatience is how long a new one waits
	// for one that is just ending.
	maxTails, maxTenantTails, maxTokenTails = 256, 64, 16
	tailPatience                            = 100 * time.Millisecond
)

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// errNotFollowed says that the handler no longer returns a page.
var errNotFollowed = errors.New("no page to follow")

// followed reports whether the request is that of a browser's EventSource.
func followed(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Accept") == eventStream
}

// lasts reports whether the reply is a page that can be refreshed.
func (p *reply) lasts() bool {
	return p.status == http.StatusOK && p.location == "" && p.file == nil && !p.fragment
}

// tail sends live updates of a page that was rendered once already. The handler checks each time whether the reader
// may still see it.
func (c *console) tail(w http.ResponseWriter, v *visit, limit time.Duration, h handler, first reply) {
	release, err := c.tails.Take(v.r.Context(), v.Tenant, v.Token.ID.String())
	if err != nil {
		w.Header().Set("Retry-After", "5")
		status := http.StatusServiceUnavailable
		if errors.Is(err, daemon.ErrShare) {
			status = http.StatusTooManyRequests
		}
		http.Error(w, "too many pages are followed", status)
		return
	}
	defer release()
	html, err := c.render(v, first)
	if err != nil {
		c.Log.Error("failed to render console page", zap.String("template", first.template), traceOf(v.r), zap.Error(err))
		http.Error(w, "Something went wrong here. It has been logged.", http.StatusInternalServerError)
		return
	}
	// The ResponseWriters of some tests have no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(tailLife + limit + pageTimeout))
	w.Header().Set("Content-Type", eventStream+"; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no") // otherwise proxies would buffer the stream
	ctx, cancel := context.WithTimeout(v.r.Context(), tailLife)
	defer cancel()
	if err := c.follow(ctx, w, v, limit, h, html); err != nil && ctx.Err() == nil {
		c.Log.Debug("stopped following page", traceOf(v.r), zap.Error(err))
	}
}

// follow sends the page, and again whenever it changed.
func (c *console) follow(ctx context.Context, w http.ResponseWriter, v *visit, limit time.Duration, h handler, html []byte) error {
	flush := http.NewResponseController(w).Flush
	timer := time.NewTimer(tailEvery)
	defer timer.Stop()
	for before := []byte(nil); ; {
		if !bytes.Equal(html, before) {
			before = html
			if _, err := w.Write(sse(html)); err != nil {
				return err
			}
			if err := flush(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-daemon.Stopping(ctx):
			return nil
		case <-timer.C:
		}
		began := time.Now()
		var err error
		if html, err = c.again(ctx, v, limit, h); err != nil {
			return err
		}
		timer.Reset(max(tailEvery, tailRest*time.Since(began)))
	}
}

// again renders the page of a visit once more.
func (c *console) again(ctx context.Context, v *visit, limit time.Duration, h handler) ([]byte, error) {
	return daemon.Within(ctx, limit, func(ctx context.Context) ([]byte, error) {
		seen := visit{r: v.r, form: v.form}
		answer, err := h(ctx, &seen)
		if err != nil {
			return nil, err
		}
		if !answer.lasts() {
			return nil, errNotFollowed
		}
		return c.render(&seen, answer)
	})
}

// sse formats a message, with each line of its data on a line of its own. The browser reconnects after half a second.
func sse(html []byte) []byte {
	var out bytes.Buffer
	out.WriteString("retry: 500\n")
	lines := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimSpace(string(html)))
	for line := range strings.SplitSeq(lines, "\n") {
		out.WriteString("data: " + line + "\n")
	}
	out.WriteString("\n")
	return out.Bytes()
}
