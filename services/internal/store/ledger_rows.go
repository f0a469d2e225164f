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

// eventInsert is a new row of events, in the order of eventColumns and with their names.
type eventInsert struct {
	PublishedAt    time.Time `json:"published_at"`
	Tenant         string    `json:"tenant"`
	ID             string    `json:"id"`
	Seq            uint64    `json:"seq"`
	Type           string    `json:"type"`
	Time           time.Time `json:"time"`
	Entity         string    `json:"entity"`
	Context        *string   `json:"context"`
	ConfigFilter   *string   `json:"config_filter"`
	Data           string    `json:"data"`
	Digest         string    `json:"digest"`
	Traceparent    string    `json:"traceparent"`
	SchemaProblems *string   `json:"schema_problems"`
	CloudEvent     *string   `json:"cloud_event"`
}

// insertOf returns an event's row. It shares the event's bytes.
func insertOf(e *webhook.Event) eventInsert {
	digest := e.Digest()
	return eventInsert{
		PublishedAt: e.PublishedAt.UTC(), Tenant: validText(e.Tenant), ID: validText(e.ID), Seq: uint64(e.Seq), Type: validText(e.Type), Time: e.Time.UTC(),
		Entity: validText(e.Entity), Context: optionalText(e.Context), ConfigFilter: optionalText(e.ConfigFilter),
		Data: validText(view(e.Data)), Digest: `\x` + hex.EncodeToString(digest[:]),
		Traceparent:    validText(strings.TrimSpace(e.Traceparent + " " + e.Tracestate)), // one column, because they belong together
		SchemaProblems: optionalText(problemsText(e.SchemaProblems)), CloudEvent: optionalText(e.CloudEvent),
	}
}

// optionalText returns nil for nil.
func optionalText(b []byte) *string {
	if b == nil {
		return nil
	}
	s := validText(view(b))
	return &s
}

func writeEvent(c *copyOut, r *eventInsert) {
	c.time(r.PublishedAt)
	c.text(r.Tenant)
	c.text(r.ID)
	c.int(int64(r.Seq)) //nolint:gosec // a stream's sequence fits
	c.text(r.Type)
	c.time(r.Time)
	c.text(r.Entity)
	c.optionalText(r.Context)
	c.optionalText(r.ConfigFilter)
	c.text(r.Data)
	c.text(r.Digest)
	c.text(r.Traceparent)
	c.optionalText(r.SchemaProblems)
	c.optionalText(r.CloudEvent)
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
