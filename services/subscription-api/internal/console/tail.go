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
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// A list that is followed comes as server-sent events (WHATWG HTML, section 9.2): its rows, anew whenever they changed.
const (
	// tailEvery is how often a list that is followed is looked at.
	tailEvery = time.Second
	// admitEvery is how often it is asked whether the reader may still see it.
	admitEvery = 2 * time.Second
	// tailLife is how long a connection lives. It is shorter than what the server lets an answer take; the browser connects
	// again by itself.
	tailLife = 20 * time.Second
	// How many lists are followed at once: in all, of one tenant and by one token. tailPatience is how long a reader waits
	// for one that was left to end.
	maxTails, maxTenantTails, maxTokenTails = 256, 64, 16
	tailPatience                            = 100 * time.Millisecond
)

// rowsOf returns the rows of a list as they are now, as a template and what it shows.
type rowsOf func(ctx context.Context, v *visit) (template string, body any, err error)

func (c *console) tailDeliveries(ctx context.Context, v *visit) (string, any, error) {
	query := readDeliveryQuery(v.form)
	chosen, err := c.chooseDeliveries(ctx, v, &query)
	switch {
	case err != nil:
		return "", nil, err
	case chosen.Problem != "":
		return "", nil, errBadForm
	}
	found, err := c.Cases.Deliveries(ctx, &v.Caller, chosen.DeliveryFilter, usecase.Page{Limit: pageSize})
	if err != nil {
		return "", nil, err
	}
	rows, err := c.listRows(ctx, v, &chosen.DeliveryFilter, found.List)
	return "delivery-rows", rows, err
}

func (c *console) tailEvents(ctx context.Context, v *visit) (string, any, error) {
	query := readEventQuery(v.form)
	filter, problem := query.filter(v.now())
	if problem != "" {
		return "", nil, errBadForm
	}
	found, err := c.Cases.Events(ctx, &v.Caller, filter, usecase.Page{Limit: pageSize})
	if err != nil {
		return "", nil, err
	}
	rows, err := c.eventRows(ctx, v, found.List)
	return "event-rows", rows, err
}

// tail follows a list. Whoever may not see it is answered with a status that ends it; else it is tried again.
func (c *console) tail(rows rowsOf) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{r: r}
		_, err := c.answer(w, v, pageTimeout, c.admit(usecase.Viewer, nothing))
		switch {
		case errors.Is(err, errSignIn):
			w.WriteHeader(http.StatusNoContent) // tells the browser not to come again
			return
		case err != nil:
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		release, err := c.tails.Take(r.Context(), v.Tenant, v.Token.ID.String())
		if err != nil {
			w.Header().Set("Retry-After", "5")
			status := http.StatusServiceUnavailable
			if errors.Is(err, daemon.ErrShare) {
				status = http.StatusTooManyRequests
			}
			http.Error(w, "too many lists are followed", status)
			return
		}
		defer release()
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("X-Accel-Buffering", "no") // proxies would wait for more
		ctx, cancel := context.WithTimeout(r.Context(), tailLife)
		defer cancel()
		if err := c.follow(ctx, w, v, rows); err != nil && ctx.Err() == nil {
			c.Log.Debug("stopped following list", traceOf(r), zap.Error(err))
		}
	})
}

// nothing is a handler that only asks who the visitor is.
func nothing(context.Context, *visit) (reply, error) { return reply{}, nil }

func (c *console) follow(ctx context.Context, w http.ResponseWriter, v *visit, rows rowsOf) error {
	flush := http.NewResponseController(w).Flush
	ticker := time.NewTicker(tailEvery)
	defer ticker.Stop()
	var before []byte
	admitted := time.Now()
	for {
		if time.Since(admitted) >= admitEvery { // the session may have ended, the token may have been revoked
			admitted = time.Now()
			if _, err := daemon.Within(ctx, pageTimeout, func(ctx context.Context) (reply, error) {
				seen := *v
				return c.admit(usecase.Viewer, nothing)(ctx, &seen)
			}); err != nil {
				return err
			}
		}
		html, err := daemon.Within(ctx, pageTimeout, func(ctx context.Context) ([]byte, error) {
			release, err := c.Cases.LookUp(ctx, &v.Caller)
			if err != nil {
				return nil, err
			}
			defer release()
			name, body, err := rows(ctx, v)
			if err != nil {
				return nil, err
			}
			return c.render(v, fragment(name, body))
		})
		if err != nil {
			return err
		}
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
		case <-ticker.C:
		}
	}
}

// sse writes a message: each line of its data on a line of its own. The browser comes again after half a second.
func sse(html []byte) []byte {
	var out bytes.Buffer
	out.WriteString("retry: 500\n")
	for line := range strings.SplitSeq(strings.TrimSpace(string(html)), "\n") {
		if line = strings.TrimRight(line, "\r"); line != "" {
			out.WriteString("data: " + strings.ReplaceAll(line, "\r", " ") + "\n")
		}
	}
	out.WriteString("\n")
	return out.Bytes()
}
