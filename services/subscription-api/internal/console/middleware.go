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

// policy lets pages use the files of this package, send forms back here, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// securityHeaders also keeps pages out of caches: they show what only their reader may see.
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

// sameOrigin refuses what another site lets a browser send.
func sameOrigin(next http.Handler) http.Handler { return http.NewCrossOriginProtection().Handler(next) }

// recoverPanic turns a panic into a 500, and lets go of a connection whose client has gone.
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

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader remembers the status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets what is beneath be flushed.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe writes the request's one log line. It has the route, not the URL, which may carry a search.
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
			method, route = "HTTP", r.Pattern // any method, or a path that is none of ours
		}
		span.Served(method, route, seen.status)
		message := "console request served"
		if strings.HasPrefix(seen.Header().Get("Content-Type"), eventStream) {
			message = "console page followed" // its duration is how long somebody looked
		}
		c.Log.Info(message, zap.String("route", r.Pattern), zap.Int("status_code", seen.status),
			zap.Duration("duration", time.Since(begin)), traceOf(r))
	})
}

// traceOf is what a log line says of a request: the id of its trace.
func traceOf(r *http.Request) zap.Field { return trace.ID(trace.From(r.Context()).Traceparent()) }
