package store

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// These are the columns in the order in which the functions below write them. whisperer_insert_events has those of events too.
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

// eventInsert is a new row of events, in the order of eventColumns and with their names. As JSON, its values are as COPY writes
// them.
type eventInsert struct {
	PublishedAt    rowTime  `json:"published_at"`
	Tenant         rowText  `json:"tenant"`
	ID             rowText  `json:"id"`
	Seq            int64    `json:"seq"`
	Type           rowText  `json:"type"`
	Time           rowTime  `json:"time"`
	Entity         rowText  `json:"entity"`
	Context        *rowText `json:"context"`
	ConfigFilter   *rowText `json:"config_filter"`
	Data           rowText  `json:"data"`
	Digest         rowText  `json:"digest"`
	Traceparent    rowText  `json:"traceparent"`
	SchemaProblems *rowText `json:"schema_problems"`
	CloudEvent     *rowText `json:"cloud_event"`
}

type (
	rowText string
	rowTime time.Time
)

// MarshalText implements encoding.TextMarshaler.
func (t rowText) MarshalText() ([]byte, error) { return []byte(validText(string(t))), nil }

// MarshalText implements encoding.TextMarshaler.
func (t rowTime) MarshalText() ([]byte, error) { return appendTime(nil, time.Time(t)), nil }

// insertOf returns an event's row. It shares the event's bytes.
func insertOf(e *webhook.Event) eventInsert {
	digest := e.Digest()
	return eventInsert{
		PublishedAt: rowTime(e.PublishedAt), Tenant: rowText(e.Tenant), ID: rowText(e.ID), Seq: int64(e.Seq), //nolint:gosec // a stream's sequence fits
		Type: rowText(e.Type), Time: rowTime(e.Time), Entity: rowText(e.Entity), Context: optionalText(e.Context), ConfigFilter: optionalText(e.ConfigFilter),
		Data: rowText(view(e.Data)), Digest: rowText(`\x` + hex.EncodeToString(digest[:])),
		Traceparent:    rowText(strings.TrimSpace(e.Traceparent + " " + e.Tracestate)), // one column, because they belong together
		SchemaProblems: optionalText(problemsText(e.SchemaProblems)), CloudEvent: optionalText(e.CloudEvent),
	}
}

// optionalText returns nil for nil.
func optionalText(b []byte) *rowText {
	if b == nil {
		return nil
	}
	s := rowText(view(b))
	return &s
}

func writeEvent(c *copyOut, r *eventInsert) {
	c.time(time.Time(r.PublishedAt))
	c.text(string(r.Tenant))
	c.text(string(r.ID))
	c.int(r.Seq)
	c.text(string(r.Type))
	c.time(time.Time(r.Time))
	c.text(string(r.Entity))
	c.optionalText((*string)(r.Context))
	c.optionalText((*string)(r.ConfigFilter))
	c.text(string(r.Data))
	c.text(string(r.Digest))
	c.text(string(r.Traceparent))
	c.optionalText((*string)(r.SchemaProblems))
	c.optionalText((*string)(r.CloudEvent))
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
