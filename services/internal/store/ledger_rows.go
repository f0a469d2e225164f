package store

import (
	"encoding/json"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// These are the columns in the order in which the functions below write them.
const (
	deliveryColumns = `published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state, reason, attempts, next_at,
		first_attempt_at, round_attempts, round_started_at, updated_at, last_status, last_error, replay`
	attemptColumns = `published_at, delivery_id, number, tenant, hook_id, started_at, duration_us, outcome, status, error_class,
		error, worker, replay, method, url, request_size, request_headers, response_headers, response_body, truncated, dns_us,
		connect_us, tls_us, first_byte_us, body_digest`
	eventColumns = `published_at, tenant, id, seq, type, time, entity, context, config_filter, data, digest, traceparent,
		schema_problems, cloud_event`
	rejectedColumns = `published_at, seq, subject, tenant, reason, detail, raw, size, headers`
)

func writeDelivery(c *copyOut, f *whispererv1.DeliveryFact) {
	a := f.GetAttempt()
	c.nanos(f.GetPublishedAt())
	c.uuid(f.GetDeliveryId())
	c.text(f.GetTenant())
	c.uuid(f.GetHookId())
	c.text(f.GetEventId())
	c.int(int64(f.GetEventSeq())) //nolint:gosec // a stream's sequence fits
	c.text(f.GetEventType())
	c.text(f.GetEntity())
	c.text(f.GetState())
	c.text(f.GetReason())
	c.int(int64(f.GetAttempts()))
	c.optionalNanos(f.GetNextAt())
	c.optionalNanos(a.GetStartedAt())
	c.int(int64(f.GetRoundAttempts()))
	c.optionalNanos(f.GetRoundStartedAt())
	c.nanos(f.GetAt())
	c.int(int64(a.GetStatus()))
	c.text(a.GetErrorClass())
	c.bool(f.GetReplay())
	c.end()
}

func writeAttempt(c *copyOut, worker string, f *whispererv1.DeliveryFact) {
	a := f.GetAttempt()
	c.nanos(f.GetPublishedAt())
	c.uuid(f.GetDeliveryId())
	c.int(int64(a.GetNumber()))
	c.text(f.GetTenant())
	c.uuid(f.GetHookId())
	c.nanos(a.GetStartedAt())
	c.micros(a.GetDuration())
	c.text(a.GetOutcome())
	c.int(int64(a.GetStatus()))
	c.text(a.GetErrorClass())
	c.text(a.GetError())
	c.text(worker)
	c.bool(f.GetReplay())
	c.text(a.GetMethod())
	c.text(a.GetUrl())
	c.int(int64(a.GetRequestSize()))
	c.text(a.GetRequestHeaders())
	c.text(a.GetResponseHeaders())
	c.bytes(a.GetResponseBody())
	c.bool(a.GetTruncated())
	c.micros(a.GetDns())
	c.micros(a.GetConnect())
	c.micros(a.GetTls())
	c.micros(a.GetFirstByte())
	c.optionalBytes(a.GetBodyDigest())
	c.end()
}

func writeRejected(c *copyOut, e *whispererv1.RejectedEvent) {
	c.nanos(e.GetPublishedAt())
	c.int(int64(e.GetSeq())) //nolint:gosec // a stream's sequence fits
	c.text(e.GetSubject())
	c.text(e.GetTenant())
	c.text(e.GetReason())
	c.text(e.GetDetail())
	c.bytes(e.GetRaw())
	c.int(int64(e.GetSize()))
	c.headers(e.GetHeaders())
	c.end()
}

func writeEvent(c *copyOut, e *webhook.Event) {
	digest := e.Digest()
	c.time(e.PublishedAt)
	c.text(e.Tenant)
	c.text(e.ID)
	c.int(int64(e.Seq)) //nolint:gosec // a stream's sequence fits
	c.text(e.Type)
	c.time(e.Time)
	c.text(e.Entity)
	c.optionalText(e.Context)
	c.optionalText(e.ConfigFilter)
	c.text(view(e.Data))
	c.bytes(digest[:])
	c.text(strings.TrimSpace(e.Traceparent + " " + e.Tracestate)) // one column, because they belong together
	c.optionalText(problemsText(e.SchemaProblems))
	c.optionalText(e.CloudEvent)
	c.end()
}

// problemsText encodes a list of problems for problemsOf; nil for none.
func problemsText(fields []webhook.FieldError) []byte {
	if len(fields) == 0 {
		return nil
	}
	text, _ := json.Marshal(fields) //nolint:errchkjson // two strings each
	return text
}

func problemsOf(text []byte) []webhook.FieldError {
	var fields []webhook.FieldError
	if json.Unmarshal(text, &fields) != nil { // there are none, or the column was written by hand
		return nil
	}
	return fields
}

// headers writes header lines in the form "Name: value", separated by line feeds.
func (c *copyOut) headers(headers []*whispererv1.Header) {
	c.column()
	for i, h := range headers {
		if i > 0 {
			c.buf = append(c.buf, `\n`...)
		}
		c.buf = appendText(c.buf, h.GetName())
		c.buf = append(c.buf, ": "...)
		c.buf = appendText(c.buf, h.GetValue())
	}
}
