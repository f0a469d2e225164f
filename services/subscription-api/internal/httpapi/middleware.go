package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// addSlash lets every path be written with and without a slash at its end.
func addSlash(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		if strings.HasPrefix(u.Path, root+"/") && !strings.HasSuffix(u.Path, "/") && u.Path != specPath && u.Path != asyncPath && !strings.HasPrefix(u.Path, docsPath) {
			u.Path += "/"
			if u.RawPath != "" {
				u.RawPath += "/"
			}
		}
		return next(c)
	}
}

// plainParams decodes the parameters of a path, which the router leaves as they came where a slash in one of them is
// percent-encoded.
func plainParams(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().URL.RawPath == "" {
			return next(c)
		}
		values := slices.Clone(c.ParamValues())
		for i, value := range values {
			plain, err := url.PathUnescape(value)
			if err != nil {
				return notFound()
			}
			values[i] = plain
		}
		c.SetParamValues(values...)
		return next(c)
	}
}

// headAsGet answers HEAD with the head of what GET is answered with (RFC 9110 section 9.3.2): net/http leaves the body out, by the
// request that it has kept.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := *r
			get.Method = http.MethodGet
			r = &get
		}
		next.ServeHTTP(w, r)
	})
}

// secure says that answers are data: not to be kept, framed, guessed at or run.
func secure() echo.MiddlewareFunc {
	headers := http.Header{ // Set and Add make other values instead of changing these
		"X-Content-Type-Options": {"nosniff"}, "X-Frame-Options": {"DENY"}, "Referrer-Policy": {"no-referrer"}, "Cache-Control": {"no-store"},
		"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'"}, "Cross-Origin-Resource-Policy": {"same-origin"},
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			h := c.Response().Header()
			maps.Copy(h, headers)
			if allow, _ := c.Get(echo.ContextKeyHeaderAllow).(string); strings.Contains(allow, http.MethodGet) {
				c.Response().Before(func() { h.Set("Allow", allow+", "+http.MethodHead) })
			}
			return next(c)
		}
	}
}

// recoverPanic turns a panic into a 500, and lets go of a connection whose client has gone.
func (s *server) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if e, ok := p.(error); ok && errors.Is(e, http.ErrAbortHandler) {
				panic(p)
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}()
		return next(c)
	}
}

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "whisperer_api_requests_total", Help: "Requests to the API.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "whisperer_api_request_duration_seconds", Help: "Duration of requests to the API.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
	}
	return m, errors.Join(r.Register(m.requests), r.Register(m.duration))
}

// observe counts the request and writes its one log line. Neither has the URL: it may carry a query.
func (s *server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		begin := time.Now()
		span, request := s.Traces.Request(c.Request(), c.Scheme())
		c.SetRequest(request)
		if err := next(c); err != nil {
			c.Error(err)
		}
		took := time.Since(begin)
		method, route, status := knownMethod(c.Request().Method), routeOf(c), c.Response().Status
		s.metrics.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
		trace.Observe(s.metrics.duration.WithLabelValues(method, route), took.Seconds(), span.Traceparent())
		who := callOf(c.Request().Context())
		var facts []trace.Attribute
		if who != nil {
			facts = append(facts, trace.String("whisperer.tenant", who.Tenant))
		}
		span.Served(method, route, status, facts...)
		line := s.log.Check(zap.InfoLevel, "request served")
		if line == nil {
			return nil
		}
		fields := []zap.Field{
			zap.String("method", method), zap.String("route", route), zap.Int("status_code", status), zap.Duration("duration", took),
		}
		if who != nil {
			fields = append(fields, zap.Stringer("token_id", who.Token.ID), zap.String("tenant", who.Tenant))
			fields = append(fields, who.subject()...)
		}
		line.Write(append(fields, trace.ID(span.Traceparent()))...)
		return nil
	}
}

// routeOf is the template of the path, as the document writes it.
func routeOf(c echo.Context) string {
	path := c.Path()
	switch {
	case path == "" || c.Response().Status == http.StatusNotFound && !strings.HasPrefix(path, root):
		return "none"
	case strings.IndexByte(path, ':') < 0:
		return path
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, ":") {
			parts[i] = "{" + part[1:] + "}"
		}
	}
	return strings.Join(parts, "/")
}

// knownMethod keeps made-up methods from making up metrics.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

// subject is what the request is about, by its id: of a hook, a delivery or a job, as the route says, or of an event.
func (c *call) subject() (fields []zap.Field) {
	if c.id != uuid.Nil {
		fields = append(fields, zap.Stringer("id", c.id))
	}
	if c.event != "" {
		fields = append(fields, zap.String("event_id", c.event[:min(len(c.event), webhook.MaxEventIDLength)]))
	}
	return fields
}
