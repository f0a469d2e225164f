package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// trier sends tests; *attempt.Sender is one.
type trier interface {
	Try(ctx context.Context, h *webhook.Hook, e *webhook.Event) (attempt.Trial, error)
}

// trialStore keeps who tested what; *store.DB is one.
type trialStore interface {
	NoteTest(ctx context.Context, actor store.Actor, tenant string, hook uuid.UUID, eventType, host string) error
}

const (
	// trialTimeout is the longest that a receiver may take, and room for the database.
	trialTimeout = webhook.MaxTimeout + 4*storeTimeout
	// A tenant may test so many times at once, and again so often.
	trialBurst = 10
	trialEvery = time.Second
)

type (
	trialInput struct {
		EventType optional[string]     `json:"event_type,omitzero" doc:"A known type; the first that the hook names, or that its patterns cover, if it is absent"`
		Data      optional[rawJSON]    `json:"data,omitzero" doc:"The event's data; the type's example if it is absent"`
		Hook      optional[hookObject] `json:"hook,omitzero" doc:"Fields that are not saved yet"`
	}
	trialOutput struct{ Body trialBody }
	trialBody   struct {
		Event       string      `json:"event" doc:"The id of the event that was made for the test"`
		EventType   string      `json:"event_type"`
		WebhookID   uuid.UUID   `json:"webhook_id" format:"uuid" doc:"The header webhook-id that was sent: a fresh one"`
		RequestBody string      `json:"request_body" doc:"What was sent; empty where no request could be made"`
		Attempt     attemptBody `json:"attempt" doc:"The request, without what is secret in it, and the receiver's answer"`
	}
)

// hookObject is a hook inside of another body, judged as a hook's own body is.
type hookObject struct{ rawJSON }

func (h *hookObject) expects() string { return "a hook's fields" }

// Schema is that of a hook's body.
func (h *hookObject) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{schemaOf[hookInput](r)}}
}

func (s *server) registerTrials() {
	tag := []string{"Hooks"}
	r := route{role: store.Editor, body: bodyOf[trialInput](s), optional: true, conflict: true, limit: trialTimeout}
	const note = " It is signed, and logs in, as a delivery does, and has the header X-Whisperer-Test: true. It is sent once, " +
		"whatever the hook's status, is not among the deliveries, and does not count for the hook's health."
	register(s, r, huma.Operation{
		OperationID: "test-hook", Method: http.MethodPost, Path: hooksPath + "{id}/test/", Tags: tag,
		Summary:     "Send an example event to a hook now, and get the receiver's answer",
		Description: "Fields in hook are tried without being saved." + note,
	}, s.testHook)
	r.optional, r.conflict = false, false
	register(s, r, huma.Operation{
		OperationID: "test-unsaved-hook", Method: http.MethodPost, Path: hooksPath + "test/", Tags: tag,
		Summary:     "Send an example event to a hook that is not saved, and get the receiver's answer",
		Description: "The member hook is the body that would create it." + note,
	}, s.testUnsavedHook)
}

func (s *server) testHook(ctx context.Context, c *call, in *hookGetInput) (*trialOutput, error) {
	id, err := readID(in.ID)
	if err != nil {
		return nil, err
	}
	stored, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (webhook.Hook, error) {
		return s.Hooks.Hook(ctx, c.tenant, id)
	})
	if err != nil {
		return nil, err
	}
	return s.try(ctx, c, &stored)
}

func (s *server) testUnsavedHook(ctx context.Context, c *call, _ *noInput) (*trialOutput, error) {
	return s.try(ctx, c, nil)
}

// try sends a test as the body wants it; stored is nil for a hook that is not saved.
func (s *server) try(ctx context.Context, c *call, stored *webhook.Hook) (*trialOutput, error) {
	var in trialInput
	if len(c.body) > 0 {
		if err := decodeBody(c.body, &in); err != nil {
			return nil, err
		}
	}
	type test struct {
		hook  webhook.Hook
		event webhook.Event
	}
	t, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (t test, err error) {
		if t.hook, err = s.trialHook(ctx, c.tenant, stored, &in.Hook); err != nil {
			return t, err
		}
		t.event, err = s.trialEvent(ctx, &t.hook, &in)
		return t, err
	})
	if err != nil {
		return nil, err
	}
	if wait := s.trials.Wait(c.tenant); wait > 0 {
		return nil, tooMany(wait, "Tests are limited to one in a second.")
	}
	if _, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.Trials.NoteTest(ctx, c.actor(), c.tenant, t.hook.ID, t.event.Type, hostOf(t.hook.TargetURL))
	}); err != nil {
		return nil, err
	}
	trial, err := s.Sender.Try(ctx, &t.hook, &t.event)
	if err != nil {
		return nil, err
	}
	return &trialOutput{Body: trialBody{
		Event: t.event.ID, EventType: t.event.Type, WebhookID: trial.Attempt.DeliveryID, RequestBody: string(trial.RequestBody),
		Attempt: renderAttempt(c.mask.Attempt(trial.Attempt)),
	}}, nil
}

// trialHook is the stored hook with the fields that are not saved, judged as if it were to be saved.
func (s *server) trialHook(ctx context.Context, tenant string, stored *webhook.Hook, sent *optional[hookObject]) (webhook.Hook, error) {
	invalid := &webhook.ValidationError{}
	if !sent.given() {
		if stored != nil {
			return *stored, nil
		}
		invalid.Add("/hook", "is required: the body that would create the hook")
		return webhook.Hook{}, invalid
	}
	var fields hookInput
	if err := decodeObject(sent.Value.rawJSON, &fields); err != nil {
		invalid.Collect("/hook", err)
		return webhook.Hook{}, invalid
	}
	looked, err := s.lookUp(ctx, tenant, &fields)
	if err != nil {
		return webhook.Hook{}, err
	}
	h := newHook(tenant)
	if stored != nil {
		h = *stored
	}
	below := &webhook.ValidationError{}
	e := edit{in: &fields, before: stored}
	below.Collect("", e.apply(&h))
	looked.check(below, &e, &h)
	invalid.Collect("/hook", below.OrNil())
	return h, invalid.OrNil()
}

// trialEvent makes the event that the body wants, or an example of one that the hook wants.
func (s *server) trialEvent(ctx context.Context, h *webhook.Hook, in *trialInput) (webhook.Event, error) {
	types, err := s.knownTypes(ctx, h.Tenant)
	if err != nil {
		return webhook.Event{}, err
	}
	wanted := h.EventTypes
	if in.EventType.given() {
		wanted = []string{webhook.NormalizeEventType(in.EventType.Value)}
	}
	invalid := &webhook.ValidationError{}
	t, known := firstWanted(types, wanted, in.Data.Set)
	if in.EventType.given() && webhook.IsPattern(wanted[0]) {
		invalid.Add("/event_type", "must be one event type, no pattern")
		return webhook.Event{}, invalid
	}
	switch {
	case !known && in.EventType.given():
		complainUnknownType(invalid, "/event_type", wanted[0], types)
		return webhook.Event{}, invalid
	case !known:
		invalid.Add("/event_type", "is required: the hook names no known type that has an example")
		return webhook.Event{}, invalid
	case len(t.Example) == 0 && !in.Data.Set:
		invalid.Add("/data", "is required: the event type has no example")
		return webhook.Event{}, invalid
	}
	now := time.Now().UTC()
	e := webhook.Event{
		ID: "test-" + uuid.NewString(), Tenant: h.Tenant, Type: t.Name, Time: now, PublishedAt: now, Entity: t.Entity, Context: t.Context,
		Data: t.Example,
	}
	if in.Data.Set {
		e.Entity, e.Context, e.Data = "", nil, json.RawMessage("null")
		if in.Data.given() {
			e.Data = json.RawMessage(in.Data.Value)
		}
	}
	return e, nil
}

// firstWanted is the first known type that one of the types and patterns means; with an example, unless data was sent.
// A single exact type is taken as it is.
func firstWanted(types []catalogue.Type, wanted []string, hasData bool) (catalogue.Type, bool) {
	for _, w := range wanted {
		i := slices.IndexFunc(types, func(t catalogue.Type) bool {
			return webhook.MatchPattern(w, t.Name) && (hasData || len(t.Example) > 0 || len(wanted) == 1 && !webhook.IsPattern(w))
		})
		if i >= 0 {
			return types[i], true
		}
	}
	return catalogue.Type{}, false
}

// knownTypes are the types of the catalogue and the tenant's own.
func (s *server) knownTypes(ctx context.Context, tenant string) ([]catalogue.Type, error) {
	declared, err := s.EventTypes.EventTypes(ctx, tenant)
	if err != nil {
		return nil, err
	}
	types := slices.Concat(catalogue.All(), catalogue.Operational())
	for _, t := range declared {
		types = append(types, catalogue.Type{Name: t.Name, Description: t.Description, Schema: t.Schema, Example: t.Example})
	}
	return types, nil
}

func complainUnknownType(into *webhook.ValidationError, pointer, name string, types []catalogue.Type) {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	near := strings.Join(catalogue.Nearest(name, names, 3), ", ")
	into.Add(pointer, "%q is not a known event type; the nearest are %s", clip(name), near)
}

// hostOf is the host of a URL, which unlike the rest of it holds no secret.
func hostOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Host
}
