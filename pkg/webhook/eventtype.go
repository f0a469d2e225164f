package webhook

import (
	"fmt"
	"slices"
	"strings"
)

// Limits of event types and patterns.
const (
	// MaxEventTypeLength is in bytes.
	MaxEventTypeLength = 128
	// MaxEventTypes is the maximum number of types and patterns of one hook.
	MaxEventTypes = 50
)

// NormalizeEventType returns the canonical spelling of an event type or pattern: lower case, and dots for the dashes
// of the predecessor's spelling, so that Package-Created means package.created. It changes nothing else.
func NormalizeEventType(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", ".") }

// ForeignEventType converts an event type with another grammar, such as a CloudEvent's, into one of ours. It uses
// lower case, replaces each run of characters other than a-z, 0-9 and _ by one dot, and trims dots at the ends. So
// io.debezium.DataChangeEvent becomes io.debezium.datachangeevent.
func ForeignEventType(s string) string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	})
	return strings.Join(words, ".")
}

// ValidateEventType reports why s is not an event type: tokens of a-z, 0-9 and _ joined by dots, at most
// MaxEventTypeLength bytes. The error is meant for people.
func ValidateEventType(s string) error {
	if err := typeLength(s); err != nil {
		return err
	}
	for token := range strings.SplitSeq(s, ".") {
		if !isTypeToken(token) {
			return fmt.Errorf("is not an event type: use words of a-z, 0-9 and _ joined by dots, such as package.created")
		}
	}
	return nil
}

// IsPattern reports whether s contains a wildcard.
func IsPattern(s string) bool { return strings.ContainsAny(s, "*>") }

// ValidatePattern reports why s is neither an event type nor a pattern. Patterns are NATS wildcards: * stands for
// exactly one token, > for one or more tokens at the end; * alone matches everything.
func ValidatePattern(s string) error {
	if err := typeLength(s); err != nil {
		return err
	}
	tokens := strings.Split(s, ".")
	for i, token := range tokens {
		switch {
		case token == "*" || isTypeToken(token):
		case token == ">" && i == len(tokens)-1:
		case token == ">":
			return fmt.Errorf("has > before its end: > stands for the rest and can only be last")
		default:
			return fmt.Errorf("is not an event type or pattern: use words of a-z, 0-9 and _ joined by dots, * for one word, > for the rest")
		}
	}
	return nil
}

// IsOperational reports whether the event type belongs to Whisperer's events about itself: hook.…, delivery.… or
// callback.….
func IsOperational(eventType string) bool {
	return strings.HasPrefix(eventType, "hook.") || strings.HasPrefix(eventType, "delivery.") || strings.HasPrefix(eventType, "callback.")
}

// IsReserved reports whether only Whisperer itself may publish events of the type: hook.…, callback.… and
// delivery.dead. Other types that begin with delivery. belong to the order management system.
func IsReserved(eventType string) bool {
	return strings.HasPrefix(eventType, "hook.") || strings.HasPrefix(eventType, "callback.") || eventType == "delivery.dead"
}

// MatchPattern reports whether pattern covers the event type. Both must be valid. Operational types only match their
// name or a pattern such as hook.*; a pattern for everything only covers the events of the order management system.
func MatchPattern(pattern, eventType string) bool {
	switch pattern {
	case eventType:
		return true
	case "*", ">":
		return !IsOperational(eventType)
	}
	for {
		p, pRest, pMore := strings.Cut(pattern, ".")
		t, tRest, tMore := strings.Cut(eventType, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != t:
			return false
		case pMore != tMore:
			return false
		case !pMore:
			return true
		}
		pattern, eventType = pRest, tRest
	}
}

// CanonicalEventTypes normalizes, sorts and deduplicates a hook's types and patterns, so that equal sets compare equal.
func CanonicalEventTypes(types []string) []string {
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = NormalizeEventType(t)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func typeLength(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("is empty")
	case len(s) > MaxEventTypeLength:
		return fmt.Errorf("is longer than %d bytes", MaxEventTypeLength)
	}
	return nil
}

func isTypeToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}
