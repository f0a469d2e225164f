package attempt

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/url"
	"strconv"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// begin starts an attempt's span, as a child of the fan-out's or the publisher's span. The span names only the
// target's host, because path and query may contain secrets.
func (s *Sender) begin(due *webhook.Due, p *prepared) trace.Span {
	if !s.traces.On() {
		return trace.Span{}
	}
	facts := []trace.Attribute{
		trace.String("whisperer.tenant", due.Event.Tenant), trace.String("whisperer.event.id", due.Event.ID),
		trace.String("whisperer.event.type", due.Event.Type), trace.String("whisperer.hook.id", due.Hook.ID.String()),
		trace.String("whisperer.delivery.id", due.ID.String()), trace.Int("whisperer.attempt", due.Attempts+1),
		trace.String("http.request.method", due.Hook.Config.Method),
	}
	if where, err := url.Parse(p.target.URL()); err == nil {
		port, err := strconv.Atoi(where.Port())
		if err != nil {
			port = map[string]int{"http": 80, "https": 443}[where.Scheme]
		}
		facts = append(facts, trace.String("server.address", where.Hostname()), trace.Int("server.port", port),
			trace.String("url.scheme", where.Scheme), trace.String("url.full", where.Scheme+"://"+where.Host+"/REDACTED"))
	}
	if due.Attempts > 0 {
		facts = append(facts, trace.Int("http.request.resend_count", due.Attempts))
	}
	return s.traces.Start(trace.Client, due.Hook.Config.Method, due.Event.Traceparent, due.Event.Tracestate, facts...)
}

// finish ends an attempt's span.
func finish(span trace.Span, result webhook.Result, cancelled bool) {
	if !span.On() {
		return
	}
	if result.Status != 0 {
		span.Set(trace.Int("http.response.status_code", result.Status))
	}
	switch {
	case cancelled:
		span.Fail("cancelled")
	case !result.Success() && result.Status != 0:
		span.Fail(strconv.Itoa(result.Status))
	case !result.Success():
		span.Fail(string(result.Class))
	}
	span.End()
}

// traceparent returns the header for the receiver: the attempt's span if there is one, else the event's trace with a
// new span id, or a new unsampled trace (W3C Trace Context).
func traceparent(span trace.Span, parent string) string {
	if span.On() {
		return span.Traceparent()
	}
	id := newID()
	if parent != "" {
		return parent[:36] + id + parent[52:]
	}
	return "00-" + newID() + newID() + "-" + id + "-00"
}

// newID returns half of a trace id, or a span id, never all zeroes. It need not be unpredictable, and reading from
// the system's random source would cost as much as reading an answer.
func newID() string {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) //nolint:gosec // see above
	return hex.EncodeToString(id[:])
}
