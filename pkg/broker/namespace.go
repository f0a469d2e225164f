package broker

import (
	"fmt"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// EventPrefix begins the subjects of order management systems' events, and OwnPrefix those of what Whisperer publishes
// itself, behind a namespace.
const (
	EventPrefix = "oms."
	OwnPrefix   = "own."
)

// Namespace begins the names of an installation's streams and subjects, so that several installations share a NATS
// account; it is empty for an installation that has the account to itself.
type Namespace string

// Validate reports why n cannot be a namespace: it is a token of subjects, and none that subjects begin with anyway.
func (n Namespace) Validate() error {
	switch n {
	case "":
		return nil
	case "oms", "own", "retry", "ledger", "setaside", "whisperer":
		return fmt.Errorf("must not be %q, which subjects of an installation without a namespace begin with", string(n))
	}
	return webhook.ValidateTenant(string(n))
}

// Stream is the full name of a stream.
func (n Namespace) Stream(name string) string {
	if n == "" {
		return name
	}
	return string(n) + "_" + name
}

// Subject is the full form of a subject, or of the beginning of one.
func (n Namespace) Subject(s string) string {
	if n == "" {
		return s
	}
	return string(n) + "." + s
}

// EventSubject is where an event of the tenant and type is published by an order management system.
func (n Namespace) EventSubject(tenant, eventType string) string {
	return n.Subject(EventPrefix + tenant + "." + eventType)
}

// OwnSubject is where we publish an event of the tenant and type ourselves.
func (n Namespace) OwnSubject(tenant, eventType string) string {
	return n.Subject(OwnPrefix + tenant + "." + eventType)
}

// SplitEventSubject reads tenant and event type from the subject of an event; both are empty where it is not one.
func (n Namespace) SplitEventSubject(subject string) (tenant, eventType string) {
	for _, prefix := range []string{EventPrefix, OwnPrefix} {
		if rest, ok := strings.CutPrefix(subject, n.Subject(prefix)); ok {
			tenant, eventType, _ = strings.Cut(rest, ".")
			return tenant, eventType
		}
	}
	return "", ""
}
