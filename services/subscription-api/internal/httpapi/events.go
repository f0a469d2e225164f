package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	eventsPath = root + "/events/"
	// maxBatch is the maximum number of events in one request.
	maxBatch = 100
)

type (
	batchInput struct {
		Events optional[eventList] `json:"events" doc:"Up to 100 events"`
	}
	eventList      []json.RawMessage
	publishHeaders struct {
		IdempotencyKey string `header:"Idempotency-Key" doc:"Gives events without event_id the same ids when the request is repeated"`
		Traceparent    string `header:"traceparent" doc:"W3C trace context, continued"`
		Tracestate     string `header:"tracestate" doc:"W3C trace context, continued with traceparent"`
	}
	publishedOutput struct{ Body api.Published }
)

func (l *eventList) expects() string { return "a list of events" }

func (s *server) registerEvents() {
	one := bodyAs[api.EventFields](s, "EventInput")
	many := &huma.Schema{Type: huma.TypeArray, Items: one}
	batch := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"events": many}, Required: []string{"events"}}
	body := s.named("PublishInput", &huma.Schema{AnyOf: []*huma.Schema{one, many, batch}})
	r := route{role: usecase.Editor, body: body, status: http.StatusAccepted, check: checkEvents, conflict: true}
	register(s, r, huma.Operation{
		OperationID: "publish-events", Method: http.MethodPost, Path: eventsPath, Tags: []string{tagEvents},
		Summary: "Publish an event, or up to 100",
		Description: "The response comes when all events are stored. After a 503 some may be stored; the response names those that are not, or may not be: " +
			"repeat the request, with an event_id in each event or an Idempotency-Key. 409 means that an event_id was published with another body within 24 hours; " +
			"if that was only a moment ago, the conflict may be reported later, among the rejected events.",
	}, s.publishEvents)
	s.echo.POST(eventsPath, s.servePublish(&r))
}

func (s *server) publishEvents(ctx context.Context, c *call, in *publishHeaders) (*publishedOutput, error) {
	key, err := idempotencyKey(in.IdempotencyKey, c.body)
	if err != nil {
		return nil, err
	}
	if in.Traceparent == "" {
		in.Tracestate = "" // a tracestate is only valid with its traceparent
	}
	if span := trace.From(ctx); span.On() {
		in.Traceparent = span.Traceparent()
	}
	p := publication{types: s.Types, tenant: c.Tenant, headers: in, header: s.eventHeader, invalid: &webhook.ValidationError{}, now: time.Now()}
	if err := p.read(c.body); err != nil {
		return nil, err
	}
	if p.alone {
		c.event = p.events[0].ID
	}
	if err := s.checkKnown(ctx, &p, key); err != nil {
		return nil, err
	}
	span := s.publishing(&p)
	err = s.Publisher.PublishEvents(ctx, p.outgoing)
	span.Published(err)
	if err != nil {
		s.log.Warn("failed to publish events", zap.String("tenant", c.Tenant), zap.Int("events", len(p.outgoing)),
			zap.String("event_id", p.events[0].ID), trace.ID(in.Traceparent), zap.Error(err))
		return nil, p.notStored(err)
	}
	out := api.Published{Results: p.published}
	if p.alone {
		out.EventID = p.published[0].EventID
	}
	return &publishedOutput{Body: out}, nil
}

// publishing begins the span of a publication, as a child of the request's span. Its events continue below it.
func (s *server) publishing(p *publication) trace.Span {
	if !s.Traces.On() {
		return trace.Span{}
	}
	facts := []trace.Attribute{trace.String("whisperer.tenant", p.tenant)}
	if len(p.events) == 1 {
		facts = append(facts, trace.String("messaging.message.id", p.events[0].ID), trace.String("whisperer.event.id", p.events[0].ID),
			trace.String("whisperer.event.type", p.events[0].Type), trace.Int("messaging.message.body.size", len(p.outgoing[0].Body)))
	} else {
		facts = append(facts, trace.Int("messaging.batch.message_count", len(p.events)))
	}
	span := s.Traces.Publish(p.headers.Traceparent, p.headers.Tracestate, facts...)
	p.header["traceparent"] = span.Traceparent() // the messages share this header; a traced request has its own copy
	return span
}
