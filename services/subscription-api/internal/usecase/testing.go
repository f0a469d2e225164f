package usecase

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

const (
	// TestTimeout bounds a test: the longest time that a receiver may take, plus some for the database.
	TestTimeout = webhook.MaxTimeout + HandshakeTimeout + 4*storeTimeout

	// A tenant may make this many tests at once, and one more per interval.
	testBurst = 10
	testEvery = time.Second
)

// Test says what to send to which hook, to see what its receiver answers.
type Test struct {
	// ID is the id of a stored hook; nil for one that is not saved.
	ID *uuid.UUID
	// Change has fields that are not saved yet; may be nil.
	Change *HookChange
	// EventType is a known type; if it is absent, the first that the hook names or that its patterns cover.
	EventType Optional[string]
	// Data is the event's data; if it is absent, the type's example.
	Data Optional[json.RawMessage]
}

// Tested is what was sent and what came back.
type Tested struct {
	attempt.TestResult

	Event webhook.Event
}

// Test sends an event to a hook now, once, whatever the hook's status. The pointers of a *webhook.ValidationError are
// those of the API's body, with the hook's fields below /hook. It returns a *LimitError if the tenant has made too
// many tests, and webhook.ErrNotFound if there is no such hook.
func (s *Hooks) Test(ctx context.Context, c *Caller, t Test) (Tested, error) {
	type prepared struct {
		hook  webhook.Hook
		event webhook.Event
	}
	p, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (p prepared, err error) {
		if p.hook, err = s.testedHook(ctx, c, &t); err != nil {
			return p, err
		}
		if err := s.needSigningKeys(ctx, c, &p.hook); err != nil {
			return p, err
		}
		p.event, err = s.testEvent(ctx, &p.hook, &t)
		return p, err
	})
	if err != nil {
		return Tested{}, err
	}
	if wait := s.tests.Wait(c.Tenant); wait > 0 {
		return Tested{}, &LimitError{Wait: wait, Detail: "Tests are limited to one in a second."}
	}
	if _, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.access.NoteTest(ctx, c.Actor(), c.Tenant, p.hook.ID, p.event.Type, hostOf(p.hook.TargetURL))
	}); err != nil {
		return Tested{}, err
	}
	if t.Change != nil {
		if err := s.proveTest(ctx, c, &t, &p.hook); err != nil {
			return Tested{}, err
		}
	}
	result, err := s.Sender.Test(ctx, &p.hook, &p.event)
	return Tested{TestResult: result, Event: p.event}, err
}

// proveTest makes the same handshakes as saving the tested hook, because a test sends something, too.
func (s *Hooks) proveTest(ctx context.Context, c *Caller, t *Test, h *webhook.Hook) error {
	var before *webhook.Hook
	if t.ID != nil {
		stored, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (webhook.Hook, error) { return s.hooks.Get(ctx, c.Tenant, *t.ID) })
		if err != nil {
			return err
		}
		before = &stored
	}
	tested := *h
	tested.Callback = nil // a test does not call it
	_, err := s.handshake(ctx, c, before, &tested)
	invalid := &webhook.ValidationError{}
	if errors.Is(err, webhook.ErrInvalid) {
		invalid.Collect("/hook", err)
		return invalid
	}
	return err
}

// testedHook returns the stored hook with the fields that are not saved, checked as if it were to be saved.
func (s *Hooks) testedHook(ctx context.Context, c *Caller, t *Test) (h webhook.Hook, err error) {
	if t.ID != nil {
		if h, err = s.hooks.Get(ctx, c.Tenant, *t.ID); err != nil {
			return h, err
		}
	}
	invalid := &webhook.ValidationError{}
	switch {
	case t.Change == nil && t.ID == nil:
		invalid.Add("/hook", "is required: the body that would create the hook")
		return h, invalid
	case t.Change == nil:
		return h, nil
	}
	e, err := s.newEdit(ctx, c.Tenant, t.Change, true)
	if err != nil {
		return h, err
	}
	if t.ID != nil {
		err = e.apply(&h)
	} else {
		h, err = e.create(c.Tenant)
	}
	invalid.Collect("/hook", err)
	return h, invalid.OrNil()
}

// testEvent returns the wanted event, or an example of one that the hook wants.
func (s *Hooks) testEvent(ctx context.Context, h *webhook.Hook, want *Test) (webhook.Event, error) {
	types, err := s.KnownTypes(ctx, h.Tenant)
	if err != nil {
		return webhook.Event{}, err
	}
	wanted := h.EventTypes
	if want.EventType.Given() {
		wanted = []string{webhook.NormalizeEventType(want.EventType.Value)}
	}
	invalid := &webhook.ValidationError{}
	t, known := firstWanted(types, wanted, want.Data.Set)
	switch {
	case want.EventType.Given() && webhook.IsPattern(wanted[0]):
		invalid.Add("/event_type", "must be one event type, no pattern")
	case !known && want.EventType.Given():
		addUnknownType(invalid, "/event_type", wanted[0], types)
	case !known:
		invalid.Add("/event_type", "is required: the hook names no known type that has an example")
	case len(t.Example) == 0 && !want.Data.Set:
		invalid.Add("/data", "is required: the event type has no example")
	}
	now := time.Now().UTC()
	e := webhook.Event{
		ID: "test-" + uuid.NewString(), Tenant: h.Tenant, Type: t.Name, Time: now, PublishedAt: now, Entity: t.Entity, Context: t.Context,
		Data: t.Example,
	}
	if want.Data.Set {
		e.Entity, e.Context, e.Data = "", nil, json.RawMessage("null")
		if want.Data.Given() {
			e.Data = want.Data.Value
		}
	}
	return e, invalid.OrNil()
}

// firstWanted returns the first known type that one of the types and patterns covers; unless data was sent, the type
// must have an example. A single exact type is used as it is.
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

// hostOf returns the host of a URL, which unlike the rest of it contains no secret.
func hostOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Host
}
