package httpapi

import (
	"net"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// begin begins a request's span, below the caller's, and puts it into the request's context. Where nothing is traced, that is the
// caller's.
func (s *server) begin(c echo.Context) trace.Span {
	r := c.Request()
	if !s.Traces.On() {
		span := trace.Remote(r.Header.Get("traceparent"))
		if span != (trace.Span{}) {
			c.SetRequest(r.WithContext(trace.With(r.Context(), span)))
		}
		return span
	}
	span := s.Traces.Start(trace.Server, "request", r.Header.Get("traceparent"), r.Header.Get("tracestate"))
	host, port := r.Host, 0
	if name, text, err := net.SplitHostPort(host); err == nil {
		host = name
		port, _ = strconv.Atoi(text)
	}
	span.Set(trace.String("url.scheme", c.Scheme()), trace.String("server.address", host))
	if port > 0 {
		span.Set(trace.Int("server.port", port))
	}
	c.SetRequest(r.WithContext(trace.With(r.Context(), span)))
	return span
}

// finish ends a request's span. It has the route, as url.path too, and not the path, as that may hold anything.
func finish(span trace.Span, method, route string, status int, who *call) {
	if !span.On() {
		return
	}
	span.Name(method + " " + route)
	span.Set(trace.String("http.request.method", method), trace.String("http.route", route), trace.String("url.path", route), trace.Int("http.response.status_code", status))
	if who != nil {
		span.Set(trace.String("whisperer.tenant", who.Tenant))
	}
	if status >= http.StatusInternalServerError {
		span.Fail(strconv.Itoa(status))
	}
	span.End()
}
