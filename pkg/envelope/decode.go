// Package envelope decodes published messages into events, and encodes events as the bodies that receivers want.
package envelope

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// MaxDepth is the maximum nesting of an event's JSON.
const MaxDepth = 64

// Content types of bodies.
const (
	TypeJSON        = "application/json"
	TypeCloudEvents = "application/cloudevents+json"
	// TypeCloudEventsBatch is an array of several CloudEvents.
	TypeCloudEventsBatch = "application/cloudevents-batch+json"
	TypeProtobuf         = "application/protobuf"
)

// Published is a published message with what the transport knows about it.
type Published struct {
	// Tenant and Type are taken from the subject.
	Tenant, Type string
	Headers      map[string][]string
	Body         []byte
	// Seq and PublishedAt are set by the stream; Seq is 0 if the event is not stored yet.
	Seq         webhook.Sequence
	PublishedAt time.Time
	// SourcesSince is the time from which on the source of a CloudEvent is part of its id; zero means always. Events
	// published before keep the id that they were recorded with.
	SourcesSince time.Time
	// Ours says that Whisperer may have published the event. Only then may it have a reserved type or id.
	Ours bool
	// ID is the id of an event that has none in its body or transport. If it is empty as well, the id is derived from
	// the event's place in the stream.
	ID string
}

// Reason says in one fixed word why a message is rejected.
type Reason string

// Reasons of rejection.
const (
	TooLarge      Reason = "too_large"
	Unreadable    Reason = "unreadable"
	TypeMismatch  Reason = "type_mismatch"
	BadField      Reason = "bad_field"
	IDConflict    Reason = "id_conflict"
	UnknownTenant Reason = "unknown_tenant"
	Poison        Reason = "poison"
	OffSchema     Reason = "schema"
	ReservedType  Reason = "reserved_type"
	ReservedID    Reason = "reserved_id"
)

// RejectedError says why a message is not a valid event.
type RejectedError struct {
	Reason Reason
	// Field is the invalid field of the envelope; empty if the whole body is invalid.
	Field string
	// Detail is one sentence for people.
	Detail string
}

// Error joins the reason, the field and the detail.
func (e *RejectedError) Error() string {
	if e.Field == "" {
		return string(e.Reason) + ": " + e.Detail
	}
	return string(e.Reason) + ": " + e.Field + " " + e.Detail
}

func reject(reason Reason, field, format string, args ...any) error {
	return &RejectedError{Reason: reason, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// fields are the parts of an event that its body has; the transport supplies those that are empty.
type fields struct {
	id, typ, time, entity, traceparent, tracestate string
	context, filter, data                          json.RawMessage
	// source and attributes are a CloudEvent's.
	source     string
	attributes json.RawMessage
}

// Decode decodes an event: our envelope, a bare JSON document, CloudEvents 1.0 (structured according to the content
// type, or binary with ce- headers), or whisperer.v1.Event. Missing parts come from the transport. The error is a
// *RejectedError.
func Decode(in Published) (webhook.Event, error) {
	if err := checkSize(in.Body); err != nil {
		return webhook.Event{}, err
	}
	f, err := read(in)
	if err != nil {
		return webhook.Event{}, err
	}
	return f.event(in)
}

func checkSize(body []byte) error {
	if len(body) > webhook.MaxEventSize {
		return reject(TooLarge, "", "the body has %d bytes, and %d are allowed", len(body), webhook.MaxEventSize)
	}
	return nil
}

func read(in Published) (fields, error) {
	contentType, _, _ := strings.Cut(header(in.Headers, "Content-Type"), ";")
	switch contentType = strings.ToLower(strings.TrimSpace(contentType)); {
	case contentType == TypeProtobuf || contentType == "application/x-protobuf":
		return readProtobuf(in.Body)
	case contentType == TypeCloudEvents:
		return readCloudEvent(in.Body)
	case strings.HasPrefix(contentType, "application/cloudevents"):
		return fields{}, reject(Unreadable, "", "CloudEvents are read as %s alone, one in each message", TypeCloudEvents)
	case header(in.Headers, "ce-specversion") != "":
		return readBinaryCloudEvent(in)
	default:
		return readJSON(in)
	}
}

func readJSON(in Published) (fields, error) {
	if err := CheckJSON(in.Body, MaxDepth); err != nil {
		return fields{}, err
	}
	traceparent, tracestate := header(in.Headers, "traceparent"), header(in.Headers, "tracestate")
	e, ok := open(in.Body)
	if !ok {
		return fields{data: bytes.TrimSpace(in.Body), traceparent: traceparent, tracestate: tracestate}, nil
	}
	f, err := e.fields()
	f.traceparent, f.tracestate = traceparent, tracestate
	return f, err
}

func readProtobuf(body []byte) (fields, error) {
	var e whispererv1.Event
	if err := proto.Unmarshal(body, &e); err != nil {
		return fields{}, reject(Unreadable, "", "the body is not a whisperer.v1.Event")
	}
	f := fields{
		id: e.GetId(), typ: e.GetType(), entity: e.GetEntity(), traceparent: e.GetTraceparent(), tracestate: e.GetTracestate(),
		context: e.GetContext(), filter: e.GetConfigFilter(), data: e.GetData(),
	}
	if t := e.GetTime(); t != nil {
		if t.CheckValid() != nil {
			return f, reject(BadField, "time", "is out of range")
		}
		f.time = t.AsTime().Format(time.RFC3339Nano)
	}
	for name, part := range map[string][]byte{"data": f.data, "context": f.context, "config_filter": f.filter} {
		if len(part) == 0 {
			continue
		}
		if err := CheckJSON(part, MaxDepth); err != nil {
			return f, reject(BadField, name, "is not JSON")
		}
	}
	return f, nil
}

// event checks the parts and adds what the transport knows.
func (f fields) event(in Published) (webhook.Event, error) {
	e := webhook.Event{
		ID: f.id, Tenant: in.Tenant, Type: webhook.NormalizeEventType(f.typ), PublishedAt: in.PublishedAt, Seq: in.Seq,
		Entity: f.entity, Context: object(f.context), ConfigFilter: object(f.filter), Data: f.data, Time: in.PublishedAt,
		CloudEvent: f.attributes,
	}
	if len(e.Data) == 0 {
		return e, reject(BadField, "data", "is missing")
	}
	if e.ID == "" {
		e.ID = cmp.Or(header(in.Headers, "Nats-Msg-Id"), in.ID)
	}
	if e.ID == "" {
		e.ID = webhook.EventIDFromStream(in.Seq, in.PublishedAt)
	}
	if err := webhook.ValidateEventID(e.ID); err != nil {
		return e, reject(BadField, "event_id", "%s", err)
	}
	if err := webhook.ValidateSource(f.source); err != nil {
		return e, reject(BadField, "source", "%s", err)
	}
	if f.source != "" && !in.PublishedAt.Before(in.SourcesSince) {
		e.ID = webhook.CloudEventID(in.Tenant, e.ID, f.source)
	}
	subjectType := webhook.NormalizeEventType(in.Type)
	if err := webhook.ValidateEventType(subjectType); err != nil {
		return e, reject(BadField, "event_type", "of the subject %s", err)
	}
	if e.Type == "" {
		e.Type = subjectType
	}
	if e.Type != subjectType {
		return e, reject(TypeMismatch, "event_type", "contradicts the subject, which says %s", subjectType)
	}
	switch {
	case in.Ours:
	case webhook.IsReserved(e.Type):
		return e, reject(ReservedType, "event_type", "is one by which Whisperer tells of itself: %s is not for others to publish", e.Type)
	case webhook.IsReservedID(e.ID):
		return e, reject(ReservedID, "event_id", "begins with %s, as the ids of what Whisperer publishes itself do", webhook.ReservedIDPrefix)
	}
	if err := webhook.ValidateEntity(e.Entity); err != nil {
		return e, reject(BadField, "entity", "%s", err)
	}
	if f.time != "" {
		t, err := time.Parse(time.RFC3339Nano, f.time)
		t = t.UTC()
		if err != nil || t.Year() < 1970 || t.Year() > 9999 {
			return e, reject(BadField, "event_time", "is not an RFC 3339 time with a zone")
		}
		e.Time = t.Truncate(time.Microsecond) // Postgres' precision: a replay must have the same body as the first delivery
	}
	switch {
	case len(e.Context) > 0 && e.Context[0] != '{':
		return e, reject(BadField, "current_context", "must be an object")
	case len(e.ConfigFilter) > 0 && e.ConfigFilter[0] != '{':
		return e, reject(BadField, "config_filter", "must be an object")
	}
	if e.Traceparent = traceparentOf(f.traceparent); e.Traceparent != "" {
		e.Tracestate = tracestateOf(f.tracestate)
	}
	return e, nil
}

// object trims an optional JSON object; null counts as absent.
func object(raw json.RawMessage) json.RawMessage {
	t := bytes.TrimSpace(raw)
	if len(t) == 0 || bytes.Equal(t, []byte("null")) {
		return nil
	}
	return t
}

// traceparentOf returns the traceparent in the version that we know, or "" if it is invalid. Later versions begin
// with the same fields (W3C Trace Context, section 3.2.4).
func traceparentOf(s string) string {
	const known = "00"
	if len(s) > 55 && s[:2] != known && s[55] == '-' {
		s = s[:55]
	}
	if !validTraceparent(s) {
		return ""
	}
	return known + s[2:]
}

// validTraceparent checks the syntax (W3C Trace Context, section 3.2).
func validTraceparent(s string) bool {
	if len(s) != 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i != 2 && i != 35 && i != 52 && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s[3:35] != strings.Repeat("0", 32) && s[36:52] != strings.Repeat("0", 16)
}

// tracestateOf returns the tracestate to pass on, or "" if it is invalid (W3C Trace Context, section 3.3).
func tracestateOf(s string) string {
	const most = 512
	if len(s) > most || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return strings.TrimSpace(s)
}

// header looks up a header, ignoring case: NATS keeps the publisher's spelling.
func header(headers map[string][]string, name string) string {
	if v := headers[name]; len(v) > 0 {
		return v[0]
	}
	for key, v := range headers {
		if len(v) > 0 && strings.EqualFold(key, name) {
			return v[0]
		}
	}
	return ""
}
