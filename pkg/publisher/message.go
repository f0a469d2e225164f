package publisher

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/textproto"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	headerContentType = "Content-Type"
	headerTraceparent = "traceparent"
	// maxHeaders bounds a message's headers, in bytes.
	maxHeaders = 8 << 10
)

// Message is a checked event in the form that is sent to NATS. Event.Encode and Parse create one.
type Message struct {
	out broker.Outgoing
	id  string
}

// ID returns the event's id.
func (m *Message) ID() string { return m.id }

// Tenant returns the event's tenant.
func (m *Message) Tenant() string { return m.out.Tenant }

// Type returns the event's type.
func (m *Message) Type() string { return m.out.Type }

// Header returns the message's headers, without the one for JetStream's deduplication.
func (m *Message) Header() map[string]string { return m.out.Header }

// Body returns the published body.
func (m *Message) Body() []byte { return m.out.Body }

// Parse checks a body in any form that Whisperer reads (its envelope, CloudEvents 1.0, protobuf), as a worker would
// decode it. The body or its headers must contain the event's id, because it cannot be derived before the message is
// stored. Headers may be Content-Type, traceparent and those of CloudEvents (ce-*). The error is a
// *webhook.ValidationError.
func Parse(tenant, eventType string, header map[string]string, body []byte) (Message, error) {
	p := &problems{}
	p.check("/tenant", webhook.ValidateTenant(tenant))
	p.check("/headers", checkHeaders(header))
	if err := p.err(); err != nil {
		return Message{}, err
	}
	headers := make(map[string][]string, len(header))
	for name, value := range header {
		headers[name] = []string{value}
	}
	const none = "none" // the id of a body without one
	headers["Nats-Msg-Id"] = []string{none}
	e, err := envelope.Decode(envelope.Published{Tenant: tenant, Type: eventType, Headers: headers, Body: body, PublishedAt: time.Now()})
	switch {
	case err != nil:
		return Message{}, fieldError(err)
	case e.ID == none:
		p.add("/event_id", "is missing")
	case header[headerTraceparent] != "" && e.Traceparent == "":
		p.add("/"+headerTraceparent, "is not one of W3C Trace Context")
	}
	if err := p.err(); err != nil {
		return Message{}, err
	}
	return Message{id: e.ID, out: broker.Outgoing{Tenant: tenant, Type: e.Type, ID: messageID(&e), Header: header, Body: body}}, nil
}

// messageID returns the id for JetStream's deduplication. JetStream compares it over the whole stream, so it includes
// the tenant. It also includes the content, so that an event with a used id but other content gets through and is
// visibly rejected.
func messageID(e *webhook.Event) string {
	digest := e.Digest()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %x", e.Tenant, e.ID, digest))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func checkHeaders(header map[string]string) error {
	size := 0
	for name, value := range header {
		size += len(name) + len(value)
		known := strings.EqualFold(name, headerContentType) || strings.EqualFold(name, headerTraceparent) ||
			strings.HasPrefix(strings.ToLower(name), "ce-")
		if !known || textproto.TrimString(name) != name || strings.ContainsAny(name, ": \r\n") {
			return fmt.Errorf("must be Content-Type, traceparent or ce-*")
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("must not contain control characters")
		}
	}
	if size > maxHeaders {
		return fmt.Errorf("are larger than %d bytes in all", maxHeaders)
	}
	return nil
}
