package webhook

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Limits of events, in bytes.
const (
	// MaxEventSize bounds the body that is published.
	MaxEventSize = 1 << 20
	// MaxEventIDLength bounds an event's id.
	MaxEventIDLength = 128
	// MaxEntityLength bounds an event's entity.
	MaxEntityLength = 256
	// MaxTenantLength bounds a tenant's name.
	MaxTenantLength = 63
)

// DefaultTenant is the tenant of single-tenant installations.
const DefaultTenant = "default"

// Event is an immutable fact from the order management system.
type Event struct {
	// ID is unique within the tenant; the same id with the same body within 24 h is the same event.
	ID     string
	Tenant string
	// Type is dotted, such as package.status.packed.
	Type string
	// Time is when it happened, by the publisher's clock.
	Time time.Time
	// PublishedAt is when JetStream stored it; it decides the day partition that everything about the event lives in.
	PublishedAt time.Time
	// Seq is its sequence in the OMS stream, 0 where it is unknown.
	Seq uint64
	// Entity is the thing that the event is about, such as package:61; may be empty.
	Entity string
	// Context is a JSON object that goes to receivers beside Data; nil where none was published.
	Context json.RawMessage
	// ConfigFilter narrows the event to hooks whose config contains it; nil where none was published.
	ConfigFilter json.RawMessage
	// Data is the exact JSON text that was published.
	Data json.RawMessage
	// Traceparent is the W3C trace context that the publisher sent; may be empty.
	Traceparent string
	// SchemaProblems is what the JSON Schema of the type has against Data, with pointers into it; nil for nothing, or where
	// it was not checked. They are known of recorded events.
	SchemaProblems []FieldError
}

// Digest is the SHA-256 of what makes two publications of one id the same event: type, entity, context, config filter
// and data.
func (e *Event) Digest() [sha256.Size]byte {
	h := sha256.New()
	var n [8]byte
	for _, part := range [][]byte{[]byte(e.Type), []byte(e.Entity), e.Context, e.ConfigFilter, e.Data} {
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// eventIDSpace is the namespace of ids that are derived from a place in the stream.
var eventIDSpace = uuid.MustParse("6ba2a7c2-3d5c-5f0e-9e53-1a6f0f3c2b10")

// EventIDFromStream derives an id for an event that was published without one. The time is part of it, so that a
// stream which was made anew does not repeat ids.
func EventIDFromStream(seq uint64, publishedAt time.Time) string {
	return uuid.NewSHA1(eventIDSpace, fmt.Appendf(nil, "%d@%d", seq, publishedAt.UnixNano())).String()
}

// ValidateEventID reports why s cannot be an event's id: it travels in headers and log lines, so it is 1 to
// MaxEventIDLength visible ASCII characters without dots, quotes, commas and backslashes.
func ValidateEventID(s string) error {
	if s == "" || len(s) > MaxEventIDLength {
		return fmt.Errorf("must have 1 to %d characters", MaxEventIDLength)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f:
			return fmt.Errorf("must be visible ASCII characters without spaces")
		case c == '.' || c == '"' || c == ',' || c == '\\':
			return fmt.Errorf("must not contain %q", c)
		}
	}
	return nil
}

// ValidateEntity reports why s cannot be an event's entity: at most MaxEntityLength bytes of printable text.
func ValidateEntity(s string) error {
	if len(s) > MaxEntityLength {
		return fmt.Errorf("is longer than %d bytes", MaxEntityLength)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return fmt.Errorf("must not contain control characters or broken UTF-8")
		}
	}
	return nil
}

// ValidateTenant reports why s cannot name a tenant: 1 to MaxTenantLength of a-z, 0-9, _ and -, beginning with a
// letter or digit. It is a token of NATS subjects.
func ValidateTenant(s string) error {
	if s == "" || len(s) > MaxTenantLength {
		return fmt.Errorf("must have 1 to %d characters", MaxTenantLength)
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '-') {
			return fmt.Errorf("must be of a-z, 0-9, _ and -, and begin with a letter or digit")
		}
	}
	return nil
}
