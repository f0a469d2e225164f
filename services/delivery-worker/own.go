package deliveryworker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// own publishes callbacks and operational events. Hooks can subscribe to them like to any other type, but nobody else may
// publish them.
type own struct {
	bus *bus.Bus
	// mask hides secrets in target URLs, because viewers can read events.
	mask     webhook.Mask
	traces   *trace.Tracer
	deferred prometheus.Counter
	log      *zap.Logger
	// told is when the full stream was last logged, in Unix nanoseconds.
	told atomic.Int64
}

const (
	// deferTime is how long an event waits for which the stream had no room.
	deferTime = 15 * time.Second
	// announceTime is the time limit of tryAnnounce.
	announceTime = 10 * time.Second
	// tellAgain is the minimum interval between log lines about a full stream.
	tellAgain = time.Minute
)

// Announce publishes an operational event, and returns when JetStream has stored it.
func (o *own) Announce(ctx context.Context, tenant, eventType, id, entity string, data map[string]any) error {
	if target, ok := data["target_url"].(string); ok {
		data["target_url"] = o.mask.URL(target)
	}
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode %s: %w", eventType, err)
	}
	return o.publish(ctx, tenant, &whispererv1.Event{Id: id, Type: eventType, Entity: entity, Data: text})
}

// tryAnnounce publishes an operational event. It gives up after announceTime, and logs a failure.
func (o *own) tryAnnounce(ctx context.Context, tenant, eventType, id, entity string, data map[string]any) {
	ctx, cancel := context.WithTimeout(ctx, announceTime)
	defer cancel()
	if err := o.Announce(ctx, tenant, eventType, id, entity, data); err != nil {
		o.log.Warn("failed to publish operational event", zap.String("event_type", eventType), zap.String("event_id", id), zap.Error(err))
	}
}

// publish publishes an event with an id that is marked as ours, and returns when JetStream has stored it. Deliveries must not
// wait for a full stream. If the stream is full, the event is scheduled as a retry, and Again publishes it later.
func (o *own) publish(ctx context.Context, tenant string, e *whispererv1.Event) error {
	e.Id = webhook.ReservedIDPrefix + e.GetId()
	err := o.send(ctx, tenant, e)
	if !broker.Refused(err) {
		return err
	}
	id := webhook.DeliveryID(uuid.Nil, tenant+" "+e.GetId())
	return o.later(ctx, err, &whispererv1.Retry{
		DeliveryId: id[:], HookId: uuid.Nil[:], Tenant: tenant, EventId: e.GetId(), Event: e, PublishedAt: time.Now().UnixNano(),
	})
}

// Again publishes an event for which the stream had no room. If there is still none, Again schedules it anew.
func (o *own) Again(ctx context.Context, deferred *whispererv1.Retry) error {
	err := o.send(ctx, deferred.GetTenant(), deferred.GetEvent())
	if !broker.Refused(err) {
		return err
	}
	return o.later(ctx, err, deferred)
}

func (o *own) later(ctx context.Context, cause error, deferred *whispererv1.Retry) error {
	at := o.bus.Time(time.Now()).Add(deferTime)
	deferred.DueAt = at.UnixNano()
	if err := o.bus.Retries().Schedule(ctx, at, deferred); err != nil {
		return fmt.Errorf("let it wait, since %w: %w", cause, err)
	}
	o.deferred.Inc()
	if told, now := o.told.Load(), time.Now().UnixNano(); now-told >= int64(tellAgain) && o.told.CompareAndSwap(told, now) {
		o.log.Warn("stream OWN is full: callbacks and operational events wait among the retries; "+
			"see which of its consumers is behind, or raise WHISPERER_OWN_MAX_BYTES and run `whisperer migrate streams --apply`",
			zap.String("event_id", deferred.GetEventId()), zap.Error(cause))
	}
	return nil
}

func (o *own) send(ctx context.Context, tenant string, e *whispererv1.Event) error {
	body, err := json.Marshal(map[string]any{"event_id": e.GetId(), "entity": e.GetEntity(), "data": json.RawMessage(e.GetData())})
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.GetType(), err)
	}
	span := o.begin(tenant, e.GetId(), e.GetType(), e.GetTraceparent(), e.GetTracestate())
	err = o.bus.PublishOwn(ctx, bus.Outgoing{
		Tenant: tenant, Type: e.GetType(), ID: e.GetId(), Header: span.Header(e.GetTraceparent(), e.GetTracestate()), Body: body,
	})
	span.Published(err)
	return err
}

// tell publishes a callback to a NATS subject of the order management system.
func (o *own) tell(ctx context.Context, due *webhook.Due, id string, data []byte) error {
	e := due.Event
	span := o.begin(e.Tenant, id, webhook.CallbackType(due.Hook.ID), e.Traceparent, e.Tracestate)
	err := o.bus.Tell(ctx, due.Hook.Callback.Subject, id, span.Header(e.Traceparent, e.Tracestate), data)
	span.Published(err)
	return err
}

// begin starts the span of publishing an event, as a child of its cause: a callback continues the trace of its delivery.
func (o *own) begin(tenant, id, eventType, traceparent, tracestate string) trace.Span {
	if !o.traces.On() {
		return trace.Span{}
	}
	return o.traces.Publish(traceparent, tracestate, trace.String("whisperer.tenant", tenant), trace.String("messaging.message.id", id),
		trace.String("whisperer.event.id", id), trace.String("whisperer.event.type", eventType))
}
