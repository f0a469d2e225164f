package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
)

// publication has the events of a request to publish.
type publication struct {
	types   *schema.Checks
	tenant  string
	headers *publishHeaders
	now     time.Time
	invalid *webhook.ValidationError
	// alone says that the body is a single event; otherwise list is the pointer of the list of events.
	alone     bool
	list      string
	count     int               // of events read
	header    map[string]string // of all messages
	events    []webhook.Event
	given     []bool // whether the publisher supplied the event's id
	outgoing  []bus.Outgoing
	published []api.PublishedEvent
}

// read splits a body, which checkEvents has accepted, in one pass.
func (p *publication) read(body []byte) error {
	body = bytes.TrimSpace(body)
	if p.headers.Traceparent != "" {
		p.header = map[string]string{"Content-Type": envelope.TypeJSON, "traceparent": p.headers.Traceparent}
		if p.headers.Tracestate != "" {
			p.header["tracestate"] = p.headers.Tracestate
		}
	}
	if body[0] == '[' {
		return p.readList(body)
	}
	e, others, ok := envelope.Open(body)
	if slices.Contains(others, "events") {
		return p.readBatch(body)
	}
	p.alone = true
	p.add(body, &e, others, ok)
	return p.invalid.OrNil()
}

// readBatch splits an object that should have a list of events and nothing else.
func (p *publication) readBatch(body []byte) error {
	p.list = "/events"
	members := 0
	var list json.RawMessage
	for name, value := range envelope.Members(body) {
		if members++; string(name) == `"events"` {
			list = value
		}
	}
	if members == 1 && len(list) > 0 && list[0] == '[' {
		return p.readList(list)
	}
	var in batchInput // the ordinary decoder reports its errors
	if err := decodeBody(body, &in); err != nil {
		return err
	}
	return p.readEvents(in.Events.Value)
}

func (p *publication) readList(list []byte) error {
	events := make([]json.RawMessage, 0, maxBatch)
	for raw := range envelope.Elements(list) {
		if events = append(events, raw); len(events) > maxBatch {
			break
		}
	}
	return p.readEvents(events)
}

func (p *publication) readEvents(events []json.RawMessage) error {
	if len(events) == 0 || len(events) > maxBatch {
		p.invalid.Add(p.list, "must have 1 to %d events", maxBatch)
		return p.invalid
	}
	for _, raw := range events {
		e, others, ok := envelope.Open(raw)
		p.add(raw, &e, others, ok)
	}
	return p.invalid.OrNil()
}

// pointer returns the pointer of an event.
func (p *publication) pointer(index int) string {
	if p.alone {
		return ""
	}
	return p.list + "/" + strconv.Itoa(index)
}

// add adds an event of the request; its errors go into p.invalid.
func (p *publication) add(raw json.RawMessage, e *envelope.Envelope, others []string, isObject bool) {
	index := p.count
	p.count++
	pointer := func() string { return p.pointer(index) }
	if !isObject {
		p.invalid.Add(pointer(), "must be an event: an object with event_type and data")
		return
	}
	if wrong := membersAtFault(e, others); wrong != nil {
		p.invalid.Collect(pointer(), wrong)
		return
	}
	eventType, typed := e.Type()
	id, given := e.ID()
	switch {
	case !typed:
		p.invalid.Add(pointer()+"/event_type", "is required")
		return
	case !e.HasData():
		p.invalid.Add(pointer()+"/data", "is required")
		return
	case given && id == "":
		p.invalid.Add(pointer()+"/event_id", "is empty: leave it out, and one is made up")
		return
	}
	id, messageID := p.ids(id, given, raw, index)
	event, err := e.Event(envelope.Published{Tenant: p.tenant, Type: eventType, Body: raw, PublishedAt: p.now, ID: id})
	switch rejected, ok := errors.AsType[*envelope.RejectedError](err); {
	case ok && rejected.Field != "":
		p.invalid.Add(pointer()+"/"+rejected.Field, "%s", rejected.Detail)
		return
	case err != nil:
		p.invalid.Add(pointer(), "%s", err)
		return
	}
	problems, ok := p.check(&event, pointer)
	if !ok {
		return
	}
	p.events, p.given = append(p.events, event), append(p.given, given)
	p.outgoing = append(p.outgoing, bus.Outgoing{Tenant: p.tenant, Type: event.Type, ID: messageID, Header: p.header, Body: raw})
	p.published = append(p.published, api.PublishedEvent{EventID: event.ID, SchemaProblems: problems})
}

// membersAtFault reports unknown members and members of a wrong type, or nil.
func membersAtFault(e *envelope.Envelope, others []string) error {
	noStrings := e.NoStrings()
	if len(others)+len(noStrings) == 0 {
		return nil
	}
	wrong := &webhook.ValidationError{}
	for _, name := range others {
		wrong.Add("/"+escapePointer(webhook.Clip(name)), "is not a known field")
	}
	for _, name := range noStrings {
		wrong.Add("/"+name, "must be a string")
	}
	slices.SortFunc(wrong.Fields, func(a, b webhook.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return wrong
}

// check checks the event against the schema of its type. If the type rejects such events, violations are errors of
// the request; otherwise they are returned, to be reported in the response.
func (p *publication) check(e *webhook.Event, pointer func() string) (told []api.FieldProblem, ok bool) {
	check := p.types.Find(e.Tenant, e.Type)
	err := check.Problems(e.Data)
	switch {
	case err == nil:
		return nil, true
	case check.Rejects(p.now):
		p.invalid.Collect(pointer()+"/data", err)
		return nil, false
	}
	against := &webhook.ValidationError{}
	against.Collect("/data", err)
	return fieldProblems(against.Fields), true
}

// ids returns the event's id, and the id for JetStream's deduplication. JetStream compares the latter over the whole
// stream and ignores bodies. So for an id of the publisher's, it is derived from tenant, id and body: the same id
// with another body must get through, to be visibly rejected.
func (p *publication) ids(own string, given bool, raw []byte, index int) (id, messageID string) {
	switch {
	case given:
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s", p.tenant, own, raw))
		return own, base64.RawURLEncoding.EncodeToString(sum[:])
	case p.headers.IdempotencyKey != "":
		id = uuid.NewSHA1(requestSpace(), fmt.Appendf(nil, "%s %s %d %s", p.tenant, p.headers.IdempotencyKey, index, compact(raw))).String()
	default:
		id = uuid.NewString()
	}
	return id, id
}

// requestSpace is the namespace of ids that are derived from an Idempotency-Key.
func requestSpace() uuid.UUID { return uuid.MustParse("0d3f2f6e-6d0a-5b39-9a1c-57a3c14dfb5e") }
