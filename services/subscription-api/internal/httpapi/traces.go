package httpapi

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// begin begins a request's span, below the caller's, and puts it into the request's context.
func (s *server) begin(c echo.Context) trace.Span {
	if !s.Traces.On() {
		return trace.Span{}
	}
	r := c.Request()
	span := s.Traces.Start(trace.Server, "request", r.Header.Get("traceparent"))
	c.SetRequest(r.WithContext(trace.With(r.Context(), span)))
	return span
}

// finish ends a request's span. It has the route and not the path, as that may hold anything.
func finish(span trace.Span, method, route string, status int, who *call) {
	if !span.On() {
		return
	}
	span.Name(method + " " + route)
	span.Set(trace.String("http.request.method", method), trace.String("http.route", route), trace.Int("http.response.status_code", status))
	if who != nil {
		span.Set(trace.String("whisperer.tenant", who.Tenant))
	}
	if status >= http.StatusInternalServerError {
		span.Fail(strconv.Itoa(status))
	}
	span.End()
}
