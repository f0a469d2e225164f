package broker

import (
	"fmt"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// EventPrefix is the prefix of the subjects of order management systems' events, and OwnPrefix that of Whisperer's
// own events. Both come after a namespace.
const (
	EventPrefix = "oms."
	OwnPrefix   = "own."
)

// Namespace is the prefix of the names of an installation's streams and subjects, so that several installations can
// share a NATS account. It is empty for an installation that has the account to itself.
type Namespace string

// Validate reports why n is not valid as a namespace: it must be a token of subjects, and must not be one that our
// subjects begin with anyway.
func (n Namespace) Validate() error {
	switch n {
	case "":
		return nil
	case "oms", "own", "retry", "ledger", "setaside", "whisperer":
		return fmt.Errorf("must not be %q, which subjects of an installation without a namespace begin with", string(n))
	}
	return webhook.ValidateTenant(string(n))
}

// Stream returns the full name of a stream.
func (n Namespace) Stream(name string) string {
	if n == "" {
		return name
	}
	return string(n) + "_" + name
}

// Subject returns the full form of a subject, or of a prefix of one.
func (n Namespace) Subject(s string) string {
	if n == "" {
		return s
	}
	return string(n) + "." + s
}

// EventSubject returns the subject to which an order management system publishes events of the tenant and type.
func (n Namespace) EventSubject(tenant, eventType string) string {
	return n.Subject(EventPrefix + tenant + "." + eventType)
}

// OwnSubject returns the subject to which Whisperer publishes its own events of the tenant and type.
func (n Namespace) OwnSubject(tenant, eventType string) string {
	return n.Subject(OwnPrefix + tenant + "." + eventType)
}

// SplitEventSubject returns the tenant and event type in the subject of an event. Both are empty for other subjects.
func (n Namespace) SplitEventSubject(subject string) (tenant, eventType string) {
	for _, prefix := range []string{EventPrefix, OwnPrefix} {
		if rest, ok := strings.CutPrefix(subject, n.Subject(prefix)); ok {
			tenant, eventType, _ = strings.Cut(rest, ".")
			return tenant, eventType
		}
	}
	return "", ""
}
