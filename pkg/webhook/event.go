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
	// MaxEventSize bounds the published body.
	MaxEventSize = 1 << 20
	// MaxEventIDLength bounds the id of a published event.
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
	// Time is when the event happened, by the publisher's clock.
	Time time.Time
	// PublishedAt is when JetStream stored the event. It determines the day partition for everything about the event.
	PublishedAt time.Time
	// Seq is the event's stream and sequence, or 0 if unknown.
	Seq Sequence
	// Entity is the thing that the event is about, such as package:61; may be empty.
	Entity string
	// Context is a JSON object that receivers get in addition to Data; nil if none was published.
	Context json.RawMessage
	// ConfigFilter narrows the event to hooks whose config contains it; nil if none was published.
	ConfigFilter json.RawMessage
	// CloudEvent has the attributes of an event that was published as a CloudEvent, unchanged: a JSON object without
	// specversion. It is nil for other events.
	CloudEvent json.RawMessage
	// Data is the exact JSON text that was published.
	Data json.RawMessage
	// Traceparent is the W3C trace context that the publisher sent; may be empty.
	Traceparent string
	// Tracestate is the vendors' part of that trace context; empty if Traceparent is.
	Tracestate string
	// SchemaProblems says how Data violates the JSON Schema of the type, with pointers into it. It is nil if there is
	// no problem or Data was not checked, and is only set for recorded events.
	SchemaProblems []FieldError
	// Erased says that the payload was erased: Data is null, and Context, ConfigFilter and CloudEvent are nil.
	// Otherwise it is nil.
	Erased *Erased
}

// Erased says when a payload was erased, and by whom.
type Erased struct {
	At time.Time
	// By is an actor of the audit log, or ErasedByRetention.
	By string
}

// ErasedByRetention is the actor of erasures whose reason is the retention policy.
const ErasedByRetention = "retention"

// MaxRetentionDays is the maximum number of days of a retention policy.
const MaxRetentionDays = 3650

// String describes the erasure in words.
func (e *Erased) String() string {
	by := e.By
	if by == ErasedByRetention {
		by = "its retention policy"
	}
	return fmt.Sprintf("erased on %s by %s", e.At.UTC().Format("2 January 2006 15:04 MST"), by)
}

// Digest returns the SHA-256 of what must be equal for two publications with one id to be the same event: type,
// entity, context, config filter and data.
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

// eventIDSpace is the namespace of ids that are derived from a place in a stream.
var eventIDSpace = uuid.MustParse("6ba2a7c2-3d5c-5f0e-9e53-1a6f0f3c2b10")

// EventIDFromStream derives an id for an event that was published without one. It includes the time, so that a
// recreated stream does not repeat ids.
func EventIDFromStream(seq Sequence, publishedAt time.Time) string {
	return uuid.NewSHA1(eventIDSpace, fmt.Appendf(nil, "%d@%d", seq, publishedAt.UnixNano())).String()
}

// ReservedIDPrefix is the prefix of the ids of events that Whisperer publishes itself. Nobody else may use it: if
// somebody had used such an id before, Whisperer's event would be taken for a repetition.
const ReservedIDPrefix = "whisperer:"

// IsReservedID reports whether only Whisperer itself may publish events with the id.
func IsReservedID(id string) bool { return strings.HasPrefix(id, ReservedIDPrefix) }

// ValidateEventID reports why s is not valid as a published event's id: it must have 1 to MaxEventIDLength bytes and
// no control characters, which cannot travel in headers.
func ValidateEventID(s string) error {
	if s == "" || len(s) > MaxEventIDLength {
		return fmt.Errorf("must have 1 to %d bytes", MaxEventIDLength)
	}
	return printableText(s)
}

// ValidateSource reports why s is not valid as the source of a CloudEvent.
func ValidateSource(s string) error { return printableText(s) }

func printableText(s string) error {
	for _, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return fmt.Errorf("must not contain control characters or broken UTF-8")
		}
	}
	return nil
}

// DefaultSource returns the CloudEvents source for events that were published without one.
func DefaultSource(tenant string) string { return "/whisperer/" + tenant }

// CloudEventID returns the event id of a CloudEvent. CloudEvents are identified by source and id together, so it
// joins them as id|source. An event that came from us originally keeps the id that we gave it. A long source is
// replaced by its hash.
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

// cloudEventSeparator cannot occur in a URI, so it cannot occur in a source.
const cloudEventSeparator = "|"

var sourceEscaper = strings.NewReplacer(cloudEventSeparator, "%7C")

// CloudEventPrefix returns the prefix of all ids that CloudEventID makes from an id.
func CloudEventPrefix(id string) string { return id + cloudEventSeparator }

// HeaderText encodes text for a header, as CloudEvents defines it: everything but visible ASCII characters, and " and
// %, is percent-encoded.
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

// ValidateEntity reports why s is not valid as an event's entity: it must have at most MaxEntityLength printable
// characters.
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

// ValidateTenant reports why s is not valid as a tenant's name: it must have 1 to MaxTenantLength characters of a-z,
// 0-9, _ and -, and begin with a letter or digit. The name is a token of NATS subjects.
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
