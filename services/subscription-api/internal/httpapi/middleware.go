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

// addSlash makes every path work with and without a trailing slash.
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

// plainParams decodes the parameters of a path. The router leaves them encoded if one of them contains a
// percent-encoded slash.
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

// headAsGet answers HEAD with the headers of GET (RFC 9110 section 9.3.2). net/http omits the body because it keeps
// the original request.
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

// secure adds headers which say that responses are data: not to be cached, framed, sniffed or executed.
func secure() echo.MiddlewareFunc {
	headers := http.Header{ // Set and Add replace these slices rather than changing them
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

// recoverPanic turns a panic into a 500, and closes the connection if the client has gone.
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

// observe counts the request and writes its log line. Neither contains the URL, because it may have a query.
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

// routeOf returns the template of the path, as in the document.
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

// knownMethod prevents invented methods from creating metrics.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

// subject returns the id of the object of the request: of a hook, a delivery or a job, according to the route, or of
// an event.
func (c *call) subject() (fields []zap.Field) {
	if c.id != uuid.Nil {
		fields = append(fields, zap.Stringer("id", c.id))
	}
	if c.event != "" {
		fields = append(fields, zap.String("event_id", c.event[:min(len(c.event), webhook.MaxEventIDLength)]))
	}
	return fields
}
