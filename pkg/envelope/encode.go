package envelope

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Body is the body that a receiver gets.
type Body struct {
	ContentType string
	Bytes       []byte
}

// Thin returns the body in the format thin: what the event is about, and its URL at the API whose base URL is base.
func Thin(e *webhook.Event, base string) Body {
	b := appendString([]byte(`{"type":`), e.Type)
	b = appendString(append(b, `,"id":`...), e.ID)
	b = appendTime(append(b, `,"time":`...), e.Time)
	b = append(b, `,"entity":`...)
	if e.Entity == "" {
		b = append(b, `null`...)
	} else {
		b = appendString(b, e.Entity)
	}
	b = appendString(append(b, `,"url":`...), base+"/whisperer/events/"+url.PathEscape(e.ID)+"/")
	return Body{ContentType: TypeJSON, Bytes: append(b, '}')}
}

// Encode encodes the event in any format except thin. The data keeps the exact bytes that were published. It returns
// an error for an unknown format.
func Encode(format webhook.Format, e *webhook.Event) (Body, error) {
	b := make([]byte, 0, len(e.Data)+len(e.Context)+len(e.CloudEvent)+256)
	switch format {
	case webhook.FormatRaw:
		return Body{ContentType: TypeJSON, Bytes: e.Data}, nil
	case webhook.FormatOMS:
		b = appendTime(append(b, `{"event_time":`...), e.Time)
		b = appendString(append(b, `,"event_type":`...), e.Type)
		b = append(b, `,"current_context":`...)
		if len(e.Context) == 0 {
			b = append(b, `{}`...)
		} else {
			b = append(b, e.Context...)
		}
	case webhook.FormatWhisperer:
		b = appendString(append(b, `{"event":{"type":`...), e.Type)
		b = appendString(append(b, `,"uuid":`...), e.ID)
		b = append(b, '}')
	case webhook.FormatStandard:
		b = appendString(append(b, `{"type":`...), e.Type)
		b = appendTime(append(b, `,"timestamp":`...), e.Time)
	case webhook.FormatCloudEvents:
		b = appendCloudEvent(b, e)
	default:
		return Body{}, fmt.Errorf("encode event %s: there is no format %q", e.ID, format)
	}
	b = append(b, `,"data":`...)
	b = append(b, e.Data...)
	body := Body{ContentType: TypeJSON, Bytes: append(b, '}')}
	if format == webhook.FormatCloudEvents {
		body.ContentType = TypeCloudEvents
	}
	return body, nil
}

// Join combines several bodies of the same format into a JSON array, which for CloudEvents is their JSON batch
// format.
func Join(format webhook.Format, bodies []Body) Body {
	size := len("[]")
	for i := range bodies {
		size += len(bodies[i].Bytes) + len(",")
	}
	b := append(make([]byte, 0, size), '[')
	for i := range bodies {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, bodies[i].Bytes...)
	}
	joined := Body{ContentType: TypeJSON, Bytes: append(b, ']')}
	if format == webhook.FormatCloudEvents {
		joined.ContentType = TypeCloudEventsBatch
	}
	return joined
}

func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // encoding a string never fails
		return append(b, `""`...)
	}
	return append(b, quoted...)
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// ToProto converts the event for a retry.
func ToProto(e *webhook.Event) *whispererv1.Event {
	return &whispererv1.Event{
		Id: e.ID, Type: e.Type, Time: timestamppb.New(e.Time), Entity: e.Entity, Context: e.Context,
		ConfigFilter: e.ConfigFilter, Data: e.Data, Traceparent: e.Traceparent, Tracestate: e.Tracestate, CloudEvent: e.CloudEvent,
	}
}

// FromProto converts back what ToProto returned; tenant, sequence and publication time are stored separately.
func FromProto(p *whispererv1.Event, tenant string, seq webhook.Sequence, publishedAt time.Time) webhook.Event {
	return webhook.Event{
		ID: p.GetId(), Tenant: tenant, Type: p.GetType(), Time: p.GetTime().AsTime(), PublishedAt: publishedAt, Seq: seq,
		Entity: p.GetEntity(), Context: p.GetContext(), ConfigFilter: p.GetConfigFilter(), Data: p.GetData(),
		Traceparent: p.GetTraceparent(), Tracestate: p.GetTracestate(), CloudEvent: p.GetCloudEvent(),
	}
}
