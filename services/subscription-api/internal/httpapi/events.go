package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

const (
	eventsPath = root + "/events/"
	// maxBatch is how many events one request may publish.
	maxBatch = 100
	// publishTimeout bounds what a request waits for JetStream.
	publishTimeout = 8 * time.Second
)

// typeChecker knows which event types are checked; *schema.Checks is one.
type typeChecker interface {
	Find(tenant, eventType string) *schema.Check
}

type (
	// eventInput is an event as it is published; its data goes on byte for byte.
	eventInput struct {
		ID           optional[string]  `json:"event_id,omitzero" doc:"Publishing it again within 24 hours is harmless; made up if absent" maxLength:"255"`
		Type         optional[string]  `json:"event_type" doc:"Such as package.created"`
		Time         optional[string]  `json:"event_time,omitzero" doc:"When it happened, as RFC 3339 writes it; now if absent"`
		Entity       optional[string]  `json:"entity,omitzero" doc:"What the event is about, such as package:61" maxLength:"256"`
		Context      optional[object]  `json:"current_context,omitzero" doc:"Goes to receivers beside the data"`
		ConfigFilter optional[object]  `json:"config_filter,omitzero" doc:"Narrows the event to hooks whose config contains it"`
		Data         optional[rawJSON] `json:"data" doc:"Any JSON"`
	}
	batchInput struct {
		Events optional[eventList] `json:"events" doc:"Up to 100 events"`
	}
	eventList      []json.RawMessage
	publishHeaders struct {
		IdempotencyKey string `header:"Idempotency-Key" doc:"Gives events without event_id the same id again when the same request is repeated"`
		Traceparent    string `header:"traceparent" doc:"W3C trace context, taken over"`
	}
	publishedEvent struct {
		EventID        string         `json:"event_id"`
		SchemaProblems []FieldProblem `json:"schema_problems,omitempty" doc:"What the schema of the type has against the event, which goes on nevertheless; the pointers are into the event"`
	}
	publishedBody struct {
		EventID string           `json:"event_id,omitempty" doc:"Of the event, where one was sent by itself"`
		Results []publishedEvent `json:"results" nullable:"false" doc:"The events, in the order in which they were sent"`
	}
	publishedOutput struct{ Body publishedBody }
)

func (l *eventList) expects() string { return "a list of events" }

func (s *server) registerEvents() {
	one := bodyOf[eventInput](s)
	many := &huma.Schema{Type: huma.TypeArray, Items: one}
	batch := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"events": many}, Required: []string{"events"}}
	body := s.named("PublishInput", &huma.Schema{AnyOf: []*huma.Schema{one, many, batch}})
	register(s, route{
		role: store.Editor, body: body, status: http.StatusAccepted, limit: publishTimeout, check: checkEvents, conflict: true,
	}, huma.Operation{
		OperationID: "publish-events", Method: http.MethodPost, Path: eventsPath, Tags: []string{tagEvents},
		Summary: "Publish an event, or up to 100",
		Description: "The answer comes when all of them are stored. On a 503 some may be, and those that are not, or not known to be, are named: repeat the request, with an event_id in each event or an Idempotency-Key. " +
			"409 says that an event_id was published with another body within 24 hours; one that was published a moment before may be told only later, among the rejected events.",
	}, s.publishEvents)
}

func (s *server) publishEvents(ctx context.Context, c *call, in *publishHeaders) (*publishedOutput, error) {
	key, err := publishKey(in.IdempotencyKey, c.body)
	if err != nil {
		return nil, err
	}
	raws, pointers, err := splitEvents(c.body)
	if err != nil {
		return nil, err
	}
	if span := trace.From(ctx); span.On() {
		in.Traceparent = span.Traceparent()
	}
	p := publication{types: s.Types, tenant: c.tenant, headers: in, invalid: &webhook.ValidationError{}, now: time.Now()}
	for i, raw := range raws {
		p.add(raw, pointers[i], i)
	}
	if err := p.invalid.OrNil(); err != nil {
		return nil, err
	}
	if err := s.checkKnown(ctx, &p, key, pointers); err != nil {
		return nil, err
	}
	if err := s.Publisher.PublishEvents(ctx, p.outgoing); err != nil {
		s.log.Warn("events could not be published", zap.String("tenant", c.tenant), zap.Int("events", len(p.outgoing)), zap.Error(err))
		return nil, notStored(err, pointers)
	}
	out := publishedBody{Results: p.published}
	if len(pointers) == 1 && pointers[0] == "" {
		out.EventID = p.published[0].EventID
	}
	return &publishedOutput{Body: out}, nil
}

// splitEvents finds the events of a body, each as the bytes that were sent, and where each is.
func splitEvents(body []byte) (events []json.RawMessage, pointers []string, err error) {
	prefix := "/"
	switch body = bytes.TrimSpace(body); {
	case body[0] == '[':
		if err := json.Unmarshal(body, &events); err != nil {
			return nil, nil, badBody("", "the body must be an event or a list of events")
		}
	case isBatch(body):
		var in batchInput
		if err := decodeBody(body, &in); err != nil {
			return nil, nil, err
		}
		prefix, events = "/events/", in.Events.Value
	default:
		return []json.RawMessage{body}, []string{""}, nil
	}
	if len(events) == 0 || len(events) > maxBatch {
		invalid := &webhook.ValidationError{}
		invalid.Add(prefix[:len(prefix)-1], "must have 1 to %d events", maxBatch)
		return nil, nil, invalid
	}
	for i := range events {
		pointers = append(pointers, prefix+strconv.Itoa(i))
	}
	return events, pointers, nil
}

func isBatch(body []byte) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal(body, &members) == nil && members["events"] != nil
}

// publication is a request's events on their way to the bus.
type publication struct {
	types     typeChecker
	tenant    string
	headers   *publishHeaders
	now       time.Time
	invalid   *webhook.ValidationError
	events    []webhook.Event
	given     []bool // whether the event's id is the publisher's
	outgoing  []bus.Outgoing
	published []publishedEvent
}

func (p *publication) add(raw json.RawMessage, pointer string, index int) {
	var in eventInput
	err := decodeObject(raw, &in)
	switch {
	case errors.Is(err, errNoObject):
		p.invalid.Add(pointer, "must be an event: an object with event_type and data")
		return
	case err != nil:
		p.invalid.Collect(pointer, err)
		return
	case !in.Type.given():
		p.invalid.Add(pointer+"/event_type", "is required")
		return
	case !in.Data.Set:
		p.invalid.Add(pointer+"/data", "is required")
		return
	case in.ID.given() && in.ID.Value == "":
		p.invalid.Add(pointer+"/event_id", "is empty: leave it out, and one is made up")
		return
	}
	id, messageID := p.ids(&in, raw, index)
	header := map[string]string{"Content-Type": envelope.TypeJSON}
	if p.headers.Traceparent != "" {
		header["traceparent"] = p.headers.Traceparent
	}
	event, err := envelope.Decode(envelope.Published{
		Tenant: p.tenant, Type: in.Type.Value, Body: raw, PublishedAt: p.now,
		Headers: map[string][]string{"Content-Type": {envelope.TypeJSON}, "Nats-Msg-Id": {id}},
	})
	var rejected *envelope.RejectedError
	switch {
	case errors.As(err, &rejected) && rejected.Field != "":
		p.invalid.Add(pointer+"/"+rejected.Field, "%s", rejected.Detail)
		return
	case err != nil:
		p.invalid.Add(pointer, "%s", err)
		return
	}
	problems, ok := p.check(&event, pointer)
	if !ok {
		return
	}
	p.events, p.given = append(p.events, event), append(p.given, in.ID.given())
	p.outgoing = append(p.outgoing, bus.Outgoing{Tenant: p.tenant, Type: event.Type, ID: messageID, Header: header, Body: raw})
	p.published = append(p.published, publishedEvent{EventID: event.ID, SchemaProblems: problems})
}

// check asks the schema of the event's type. What it has against the event is a problem of the request where such events
// are rejected, and else for the answer to tell.
func (p *publication) check(e *webhook.Event, pointer string) (told []FieldProblem, ok bool) {
	check := p.types.Find(e.Tenant, e.Type)
	err := check.Problems(e.Data)
	switch {
	case err == nil:
		return nil, true
	case check.Rejects(p.now):
		p.invalid.Collect(pointer+"/data", err)
		return nil, false
	}
	against := &webhook.ValidationError{}
	against.Collect("/data", err)
	return fieldProblems(against.Fields), true
}

// ids are the event's id and the one by which JetStream drops a repetition. The latter is of the whole stream and says
// nothing about bodies, so for an id of the publisher's it is derived from tenant, id and body: another body with the
// same id has to get through, to be rejected in the open.
func (p *publication) ids(in *eventInput, raw []byte, index int) (id, messageID string) {
	switch {
	case in.ID.given():
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s", p.tenant, in.ID.Value, raw))
		return in.ID.Value, base64.RawURLEncoding.EncodeToString(sum[:])
	case p.headers.IdempotencyKey != "":
		id = uuid.NewSHA1(requestSpace(), fmt.Appendf(nil, "%s %s %d %s", p.tenant, p.headers.IdempotencyKey, index, compact(raw))).String()
	default:
		id = uuid.NewString()
	}
	return id, id
}

// requestSpace is the namespace of ids that are derived from an Idempotency-Key.
func requestSpace() uuid.UUID { return uuid.MustParse("0d3f2f6e-6d0a-5b39-9a1c-57a3c14dfb5e") }
