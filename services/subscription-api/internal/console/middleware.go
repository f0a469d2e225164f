package console

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// policy allows pages to use the files of this package and to send forms back here, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// securityHeaders also keeps pages out of caches, because they show what only their reader may see.
func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses requests that another site makes a browser send.
func sameOrigin(next http.Handler) http.Handler { return http.NewCrossOriginProtection().Handler(next) }

// recoverPanic turns a panic into a 500, and closes the connection if the client has gone.
func (c *console) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			c.Log.Error("console request panicked", zap.ByteString("stack", debug.Stack()), traceOf(r))
			http.Error(w, "Something went wrong here. It has been logged.", http.StatusInternalServerError)
		}()
		next.ServeHTTP(w, r)
	})
}

// statusWriter records the status of a response.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader records the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController access to flushing.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe writes the request's log line. It contains the route rather than the URL, which may contain a search.
func (c *console) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		scheme := "http"
		if daemon.Encrypted(r) {
			scheme = "https"
		}
		span, r := c.Traces.Request(r, scheme)
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		method, route, found := strings.Cut(r.Pattern, " ")
		if !found {
			method, route = "HTTP", r.Pattern // any method, or an unknown path
		}
		span.Served(method, route, seen.status)
		message := "console request served"
		if strings.HasPrefix(seen.Header().Get("Content-Type"), eventStream) {
			message = "console page followed" // the duration is how long somebody looked at the page
		}
		c.Log.Info(message, zap.String("route", r.Pattern), zap.Int("status_code", seen.status),
			zap.Duration("duration", time.Since(begin)), traceOf(r))
	})
}

// traceOf returns the log field with the request's trace id.
func traceOf(r *http.Request) zap.Field { return trace.ID(trace.From(r.Context()).Traceparent()) }
