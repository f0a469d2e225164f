package webhook

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of events, in bytes.
const (
	// MaxEventSize bounds the body that is published.
	MaxEventSize = 1 << 20
	// MaxEventIDLength bounds the id that an event is published with.
	MaxEventIDLength = 255
	// MaxEntityLength bounds an event's entity, in characters.
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
	// Seq is its place in the streams of events, 0 where that is unknown.
	Seq Sequence
	// Entity is the thing that the event is about, such as package:61; may be empty.
	Entity string
	// Context is a JSON object that goes to receivers beside Data; nil where none was published.
	Context json.RawMessage
	// ConfigFilter narrows the event to hooks whose config contains it; nil where none was published.
	ConfigFilter json.RawMessage
	// CloudEvent are the attributes of an event that was published as a CloudEvent, as they came: a JSON object without
	// specversion; nil for others.
	CloudEvent json.RawMessage
	// Data is the exact JSON text that was published.
	Data json.RawMessage
	// Traceparent is the W3C trace context that the publisher sent; may be empty.
	Traceparent string
	// Tracestate is what other systems keep in that trace; empty where Traceparent is.
	Tracestate string
	// SchemaProblems is what the JSON Schema of the type has against Data, with pointers into it; nil for nothing, or where
	// it was not checked. They are known of recorded events.
	SchemaProblems []FieldError
	// Erased says that the payload was erased: Data is null, and Context, ConfigFilter and CloudEvent are nil. It is nil for others.
	Erased *Erased
}

// Erased says when a payload was erased, and by whom.
type Erased struct {
	At time.Time
	// By is an actor of the audit log, or ErasedByRetention.
	By string
}

// ErasedByRetention is who erases what is kept for as long as its retention says.
const ErasedByRetention = "retention"

// MaxRetentionDays is for how many days a retention policy may keep payloads.
const MaxRetentionDays = 3650

// String says it in words.
func (e *Erased) String() string {
	by := e.By
	if by == ErasedByRetention {
		by = "its retention policy"
	}
	return fmt.Sprintf("erased on %s by %s", e.At.UTC().Format("2 January 2006 15:04 MST"), by)
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
func EventIDFromStream(seq Sequence, publishedAt time.Time) string {
	return uuid.NewSHA1(eventIDSpace, fmt.Appendf(nil, "%d@%d", seq, publishedAt.UnixNano())).String()
}

// ReservedIDPrefix begins the ids of events that Whisperer publishes itself, and of no others: an id that somebody else has
// used before would have them taken for repetitions.
const ReservedIDPrefix = "whisperer:"

// IsReservedID reports whether only Whisperer itself may publish events with the id.
func IsReservedID(id string) bool { return strings.HasPrefix(id, ReservedIDPrefix) }

// ValidateEventID reports why s cannot be the id that an event is published with: any text of 1 to MaxEventIDLength bytes
// is one that has no control characters, which could not travel in headers.
func ValidateEventID(s string) error {
	if s == "" || len(s) > MaxEventIDLength {
		return fmt.Errorf("must have 1 to %d bytes", MaxEventIDLength)
	}
	return printableText(s)
}

// ValidateSource reports why a text cannot be the source of a CloudEvent.
func ValidateSource(s string) error { return printableText(s) }

func printableText(s string) error {
	for _, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return fmt.Errorf("must not contain control characters or broken UTF-8")
		}
	}
	return nil
}

// DefaultSource is the CloudEvents source of events that were published without one.
func DefaultSource(tenant string) string { return "/whisperer/" + tenant }

// CloudEventID is the event id of a CloudEvent. CloudEvents are the same where source and id are, so it is both, as
// id|source; an event that has come from us before has the id that we gave it. A long source is cut to its hash.
func CloudEventID(tenant, id, source string) string {
	if source == DefaultSource(tenant) {
		return id
	}
	source = sourceEscaper.Replace(source)
	if len(source) > MaxEventIDLength {
		sum := sha256.Sum256([]byte(source))
		source = "sha256:" + hex.EncodeToString(sum[:])
	}
	return id + cloudEventSeparator + source
}

// cloudEventSeparator is no character of a URI, which a source is.
const cloudEventSeparator = "|"

var sourceEscaper = strings.NewReplacer(cloudEventSeparator, "%7C")

// CloudEventPrefix is what all ids begin with that CloudEventID makes of an id.
func CloudEventPrefix(id string) string { return id + cloudEventSeparator }

// HeaderText is text as it travels in a header: what is no visible ASCII character, " and % are percent-encoded, as
// CloudEvents has it.
func HeaderText(s string) string {
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	for i := range len(s) {
		if plain(s[i]) {
			continue
		}
		out := append(make([]byte, 0, len(s)+16), s[:i]...)
		for ; i < len(s); i++ {
			if plain(s[i]) {
				out = append(out, s[i])
			} else {
				out = fmt.Appendf(out, "%%%02X", s[i])
			}
		}
		return string(out)
	}
	return s
}

// ValidateEntity reports why s cannot be an event's entity: at most MaxEntityLength characters of printable text.
func ValidateEntity(s string) error {
	if utf8.RuneCountInString(s) > MaxEntityLength {
		return fmt.Errorf("is longer than %d characters", MaxEntityLength)
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
