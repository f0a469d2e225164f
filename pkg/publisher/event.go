package publisher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Event is something that happened. Type and Data are required.
type Event struct {
	// ID is unique within the tenant: 1 to 255 bytes without control characters. Within 24 h, the same id with the
	// same content is the same event, and the same id with other content is rejected. If empty, NewID generates one.
	ID string
	// Tenant is the event's tenant. If empty, it is that of the Publisher, even with an outbox.
	Tenant string
	// Type is dotted, such as package.status.packed.
	Type string
	// Time is when it happened, with microsecond precision; zero means now.
	Time time.Time
	// Entity is the thing that the event is about, such as package:61; may be empty.
	Entity string
	// Context is an object that receivers get in addition to Data; may be nil.
	Context any
	// ConfigFilter is an object that narrows the event to hooks whose config contains it; may be nil.
	ConfigFilter any
	// Data is any JSON value. Receivers get the exact bytes of a json.RawMessage; anything else is encoded by
	// encoding/json.
	Data any
	// Traceparent is the W3C trace context that the event belongs to; may be empty.
	Traceparent string
}

// NewID returns a new event id: a UUIDv7, which sorts by time.
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil { // the time-ordered form needs randomness that is not available
		return uuid.NewString()
	}
	return id.String()
}

// Encode checks the event and encodes it as the message for NATS; tenant is used if the event names none. Encoding
// the same event again only yields the same message if ID and Time are set. The error is a *webhook.ValidationError
// that lists all invalid fields by their names in the envelope (/event_type, /data, …).
func (e Event) Encode(tenant string) (Message, error) {
	if e.Tenant != "" {
		tenant = e.Tenant
	}
	if e.ID == "" {
		e.ID = NewID()
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Type = webhook.NormalizeEventType(e.Type)
	p := &problems{}
	p.check("/tenant", webhook.ValidateTenant(tenant))
	body := e.body(p)
	if err := p.err(); err != nil {
		return Message{}, err
	}
	header := map[string]string{headerContentType: envelope.TypeJSON}
	if e.Traceparent != "" {
		header[headerTraceparent] = e.Traceparent
	}
	return Parse(tenant, e.Type, header, body)
}

// body returns the JSON envelope.
func (e *Event) body(p *problems) []byte {
	p.check("/event_id", webhook.ValidateEventID(e.ID))
	p.check("/event_type", webhook.ValidateEventType(e.Type))
	p.check("/entity", webhook.ValidateEntity(e.Entity))
	data := p.json("/data", e.Data)
	if data == nil {
		p.add("/data", "is missing")
	}
	b := make([]byte, 0, len(data)+256)
	b = appendString(append(b, `{"event_id":`...), e.ID)
	b = appendString(append(b, `,"event_type":`...), e.Type)
	b = appendString(append(b, `,"event_time":`...), e.Time.UTC().Format(time.RFC3339Nano))
	if e.Entity != "" {
		b = appendString(append(b, `,"entity":`...), e.Entity)
	}
	b = appendObject(b, p, "current_context", e.Context)
	b = appendObject(b, p, "config_filter", e.ConfigFilter)
	b = append(append(b, `,"data":`...), data...)
	return append(b, '}')
}

func appendObject(b []byte, p *problems, name string, value any) []byte {
	text := p.json("/"+name, value)
	switch {
	case len(text) == 0 || bytes.Equal(text, []byte("null")):
		return b
	case text[0] != '{':
		p.add("/"+name, "must be an object")
	}
	b = append(b, `,"`+name+`":`...)
	return append(b, text...)
}

func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // encoding a string never fails
		return append(b, `""`...)
	}
	return append(b, quoted...)
}

// problems collects field errors.
type problems struct{ fields []webhook.FieldError }

func (p *problems) add(pointer, detail string) {
	p.fields = append(p.fields, webhook.FieldError{Pointer: pointer, Detail: detail})
}

func (p *problems) check(pointer string, err error) {
	if err != nil {
		p.add(pointer, err.Error())
	}
}

// json encodes the value, and keeps the bytes of a json.RawMessage. It returns nil if there is no value.
func (p *problems) json(pointer string, value any) []byte {
	switch v := value.(type) {
	case nil:
		return nil
	case json.RawMessage:
		text := bytes.TrimSpace(v)
		if v == nil {
			return nil
		}
		if !json.Valid(text) { // checked by itself, because as part of the envelope it could forge other fields
			p.add(pointer, "is not JSON")
		}
		return append([]byte{}, text...)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		p.add(pointer, "has no JSON form: "+strings.TrimPrefix(err.Error(), "json: "))
		return []byte{}
	}
	return bytes.TrimSpace(b.Bytes())
}

func (p *problems) err() error {
	if len(p.fields) == 0 {
		return nil
	}
	return &webhook.ValidationError{Fields: p.fields}
}

// fieldError converts an error of the envelope into one of a field.
func fieldError(err error) error {
	var rejected *envelope.RejectedError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &rejected):
		return fmt.Errorf("read event: %w", err)
	}
	f := webhook.FieldError{Detail: rejected.Detail}
	if rejected.Field != "" {
		f.Pointer = "/" + rejected.Field
	}
	return &webhook.ValidationError{Fields: []webhook.FieldError{f}}
}
