package console

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	// maxForm bounds a submitted form in bytes.
	maxForm = 1 << 20
	// pageTimeout bounds how long a page waits for Postgres, so that a person learns within seconds that it is
	// unavailable.
	pageTimeout = 5 * time.Second
)

// visit is one request of a signed-in person; without a session the token is the zero value.
type visit struct {
	usecase.Caller

	r       *http.Request
	session session
	// form is the query and, for a POST, the body; posted is the body alone.
	form, posted url.Values
	// pending says that something was not counted in time, so the browser has to fetch it later.
	pending bool
}

// patience returns how long this request waits for counts.
func (v *visit) patience() time.Duration {
	if v.form.Get("wait") != "" {
		return pageTimeout - time.Second
	}
	return patience
}

// handler makes a reply. It does not write to the response, so that a handler which takes too long can be abandoned.
type handler func(ctx context.Context, v *visit) (reply, error)

// reply is a response: a page, a fragment of one, or a redirect.
type reply struct {
	status   int
	template string
	title    string
	body     any
	// fragment says that the template is sent without the layout.
	fragment bool
	location string
	// file is a file to download; nil for a page.
	file    *file
	cookies []*http.Cookie
}

func page(template, title string, body any) reply {
	return reply{status: http.StatusOK, template: template, title: title, body: body}
}

func fragment(template string, body any) reply {
	return reply{status: http.StatusOK, template: template, body: body, fragment: true}
}

func goTo(location string) reply { return reply{status: http.StatusSeeOther, location: location} }

// with returns the reply with another status.
func (p reply) with(status int) reply {
	p.status = status
	return p
}

// Errors that stand for a page.
var (
	errSignIn    = errors.New("not signed in")
	errForbidden = errors.New("role does not allow it")
	errBadForm   = errors.New("form cannot be read")
	errTooLarge  = errors.New("form is too large")
)

// serve converts a handler into an HTTP handler.
func (c *console) serve(h handler) http.Handler { return c.serveWithin(pageTimeout, h) }

// serveWithin is serve with another timeout.
func (c *console) serveWithin(limit time.Duration, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{r: r}
		if limit > pageTimeout { // the ResponseWriters of some tests have no deadlines
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit + pageTimeout))
		}
		answer, err := c.answer(w, v, limit, h)
		switch {
		case followed(r) && errors.Is(err, errSignIn):
			w.WriteHeader(http.StatusNoContent) // makes an EventSource stop reconnecting
			return
		case err != nil:
			answer = c.errorPage(v, err)
		case followed(r) && answer.lasts():
			c.tail(w, v, limit, h, answer)
			return
		}
		c.send(w, v, answer)
	})
}

func (c *console) answer(w http.ResponseWriter, v *visit, limit time.Duration, h handler) (reply, error) {
	v.r.Body = http.MaxBytesReader(w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return reply{}, errTooLarge
		}
		if errors.Is(err, daemon.ErrSlowBody) {
			return reply{}, err
		}
		return reply{}, errBadForm
	}
	v.form = v.r.Form
	v.posted = v.r.PostForm //nolint:forbidigo // the request's field, not the function
	for _, values := range v.form {
		for _, value := range values {
			if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
				return reply{}, errBadForm
			}
		}
	}
	// What the handler learns about the visitor is passed on in a copy, because the handler may be abandoned while it
	// still runs.
	type result struct {
		reply reply
		seen  visit
	}
	done, err := daemon.Within(v.r.Context(), limit, func(ctx context.Context) (result, error) {
		seen := *v
		answer, err := h(ctx, &seen)
		return result{reply: answer, seen: seen}, err
	})
	if done.seen.r != nil {
		*v = done.seen
	}
	return done.reply, err
}

// admit only calls the handler if the session is valid and its role covers least.
func (c *console) admit(least usecase.Role, h handler) handler {
	return func(ctx context.Context, v *visit) (reply, error) {
		s, ok := c.sessionOf(v.r)
		if !ok {
			return reply{}, errSignIn
		}
		token, err := c.Cases.Access.SessionToken(ctx, s.ID, s.Token)
		switch {
		case errors.Is(err, webhook.ErrNotFound):
			return reply{}, errSignIn
		case err != nil:
			return reply{}, err
		}
		v.Caller, v.session = usecase.Caller{Token: token, Tenant: cmp.Or(token.Tenant, s.Tenant), Chosen: true}, s
		if !token.Role.Covers(least) {
			return reply{}, errForbidden
		}
		return h(ctx, v)
	}
}

// lookUp makes a handler that reads history wait for the look-up share of its tenant and token.
func (c *console) lookUp(h handler) handler {
	return func(ctx context.Context, v *visit) (reply, error) {
		release, err := c.Cases.LookUp(ctx, &v.Caller)
		if err != nil {
			return reply{}, err
		}
		defer release()
		return h(ctx, v)
	}
}

func (c *console) notFound(context.Context, *visit) (reply, error) {
	return reply{}, webhook.ErrNotFound
}

// errorPage returns the page for an error. Errors without a row in the table are logged, and shown without details.
func (c *console) errorPage(v *visit, err error) reply {
	say := func(status int, title, text string) reply {
		answer := page("trouble", title, errorBody{Text: text}).with(status)
		if v.r.Header.Get("HX-Request") != "" {
			answer.template, answer.fragment = "trouble-line", true
		}
		return answer
	}
	var unreadable *usecase.UnreadableError
	var forbidden *usecase.ForbiddenError
	switch {
	case errors.Is(err, errSignIn):
		return c.sendToSignIn(v)
	case errors.Is(err, errForbidden), errors.As(err, &forbidden):
		if v.Token.Role == usecase.Admin { // an admin of a tenant
			return say(http.StatusForbidden, "Not allowed", "Only an operator's token allows this. Nothing was changed.")
		}
		return say(http.StatusForbidden, "Not allowed", "Your token has the role "+string(v.Token.Role)+", which does not allow this. Nothing was changed.")
	case errors.Is(err, errBadForm):
		return say(http.StatusBadRequest, "Cannot be read", "What was sent is not text that can be stored. Nothing was changed.")
	case errors.Is(err, errTooLarge):
		return say(http.StatusRequestEntityTooLarge, "Too large", "What was sent is larger than 1 MiB. Nothing was changed.")
	case errors.Is(err, daemon.ErrSlowBody):
		return say(http.StatusRequestTimeout, "Too slow", "What was sent arrived too slowly. Nothing was changed.")
	case errors.Is(err, webhook.ErrNotFound):
		return say(http.StatusNotFound, "Not found", "There is no such thing here. It may have been deleted, or it belongs to another tenant.")
	case errors.As(err, &unreadable):
		return say(http.StatusConflict, "Cannot be read", "The webhook cannot be read: "+unreadable.Hook.Unreadable+". Nothing was changed. Its page says what to do.")
	case errors.Is(err, daemon.ErrShare):
		return say(http.StatusTooManyRequests, "Too much at once", "Your token or tenant looks up too much at once. Wait for the other pages, then try again.")
	case errors.Is(err, daemon.ErrBusy):
		return say(http.StatusServiceUnavailable, "Not available now", "Too much is being looked up at once. Try again in a moment.")
	case errors.Is(err, usecase.ErrSlow):
		return say(http.StatusServiceUnavailable, "Took too long", "The search took too long. Choose a shorter time, or add an entity or a webhook.")
	case errors.Is(err, aside.ErrUnavailable):
		c.Log.Warn("failed to reach set-aside entries", traceOf(v.r), zap.Error(err))
		return say(http.StatusServiceUnavailable, "Not available now",
			"NATS does not answer, or PostgreSQL takes nothing. What is not in the ledger is still set aside. Try again in a moment.")
	case errors.Is(err, usecase.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		c.Log.Warn("console request unavailable", traceOf(v.r), zap.Error(err))
		return say(http.StatusServiceUnavailable, "Not available now",
			"The database does not answer. Deliveries go on meanwhile and are recorded when it is back. Try again in a moment.")
	default:
		c.Log.Error("console request failed", traceOf(v.r), zap.Error(err))
		return say(http.StatusInternalServerError, "Something went wrong", "It is our fault and has been logged.")
	}
}

type errorBody struct{ Text string }

func (c *console) send(w http.ResponseWriter, v *visit, answer reply) {
	for _, cookie := range answer.cookies {
		http.SetCookie(w, cookie)
	}
	if answer.location != "" {
		if v.r.Header.Get("HX-Request") != "" { // htmx would insert the target of a redirect into a part of this page
			w.Header().Set("HX-Redirect", answer.location)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, v.r, answer.location, answer.status)
		return
	}
	if f := answer.file; f != nil {
		w.Header().Set("Content-Type", f.contentType)
		w.Header().Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
		_, _ = w.Write(f.content) // the reader may have disconnected
		return
	}
	html, err := c.render(v, answer)
	if err != nil {
		c.Log.Error("failed to render console page", zap.String("template", answer.template), traceOf(v.r), zap.Error(err))
		http.Error(w, "Something went wrong here. It has been logged.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if answer.status == http.StatusServiceUnavailable || answer.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "2")
	}
	w.Header().Set("Vary", "Accept-Encoding")
	if len(html) >= leastZipped && strings.Contains(v.r.Header.Get("Accept-Encoding"), "gzip") {
		if zipped, err := zip(html, gzip.BestSpeed); err == nil {
			w.Header().Set("Content-Encoding", "gzip")
			html = zipped
		}
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(html) // the reader has disconnected
}

// leastZipped is the minimum size in bytes of a page that is compressed. Compression is safe from length attacks:
// other sites cannot make a browser request a page with the session's cookie and measure the response.
const leastZipped = 2 << 10

// readID parses an id in a path. An invalid id is treated as unknown.
func readID(v *visit) (uuid.UUID, error) {
	s := v.r.PathValue("id")
	id, err := uuid.Parse(s)
	if err != nil || len(s) != len(uuid.UUID{}.String()) {
		return uuid.UUID{}, fmt.Errorf("id: %w", webhook.ErrNotFound)
	}
	return id, nil
}
