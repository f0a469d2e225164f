package trace

import (
	"net"
	"net/http"
	"strconv"
)

// Request begins the span of a request to this program, as a child of the caller's, and puts it into the request's
// context. If tracing is off, the context gets the caller's span.
func (t *Tracer) Request(r *http.Request, scheme string) (Span, *http.Request) {
	if !t.On() {
		span := Remote(r.Header.Get("traceparent"))
		if span == (Span{}) {
			return span, r
		}
		return span, r.WithContext(With(r.Context(), span))
	}
	span := t.Start(Server, "request", r.Header.Get("traceparent"), r.Header.Get("tracestate"))
	host, port := r.Host, 0
	if name, text, err := net.SplitHostPort(host); err == nil {
		host = name
		port, _ = strconv.Atoi(text)
	}
	span.Set(String("url.scheme", scheme), String("server.address", host))
	if port > 0 {
		span.Set(Int("server.port", port))
	}
	return span, r.WithContext(With(r.Context(), span))
}

// Served ends a request's span. It records the route rather than the path, because the path may contain anything.
func (s Span) Served(method, route string, status int, facts ...Attribute) {
	if !s.On() {
		return
	}
	s.Name(method + " " + route)
	s.Set(String("http.request.method", method), String("http.route", route), Int("http.response.status_code", status))
	s.Set(facts...)
	if status >= http.StatusInternalServerError {
		s.Fail(strconv.Itoa(status))
	}
	s.End()
}

// Publish begins the span of publishing to the bus, as a child of the parent.
func (t *Tracer) Publish(parent, state string, facts ...Attribute) Span {
	span := t.Start(Producer, "publish", parent, state, String("messaging.system", "nats"),
		String("messaging.operation.type", "send"), String("messaging.operation.name", "publish"))
	span.Set(facts...)
	return span
}

// Published ends the span of Publish.
func (s Span) Published(err error) {
	if err != nil {
		s.Fail("not_stored")
	}
	s.End()
}

// Header returns the headers with which a message continues the trace: below the span, or below the parent if there
// is no span. It returns nil if there is neither.
func (s Span) Header(parent, state string) map[string]string {
	if s.On() {
		parent = s.Traceparent()
	}
	switch {
	case parent == "":
		return nil
	case state == "":
		return map[string]string{"traceparent": parent}
	}
	return map[string]string{"traceparent": parent, "tracestate": state}
}
