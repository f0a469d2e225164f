package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// tryTimeout is the longest that a receiver may take, and room for the database.
const tryTimeout = webhook.MaxTimeout + 2*pageTimeout

// tryBody is the page of a test, and the part of the form that shows one.
type tryBody struct {
	Head      hookHead
	Types     []string
	EventType string
	// Data is the example's data, as the person may have changed it.
	Data    string
	Problem string
	// Result is nil until something was sent.
	Result *tryResult
}

// tryResult is what was sent and what came back.
type tryResult struct {
	attemptView

	EventType string
	OK        bool
}

func (c *console) tryPage(ctx context.Context, v *visit) (reply, error) {
	h, err := c.findHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	body := tryBody{Head: newHookHead(&h, "test"), EventType: v.form.Get("event_type")}
	types, err := c.tryTypes(ctx, &h, &body)
	if err != nil {
		return reply{}, err
	}
	if i := slices.IndexFunc(types, func(t catalogue.Type) bool { return t.Name == body.EventType }); i >= 0 {
		body.Data = textOf(types[i].Example)
	}
	return page("hook-test", body.Head.Title+": test", body), nil
}

// tryTypes are the known types that the hook wants, and sets the body's type where that is none of them.
func (c *console) tryTypes(ctx context.Context, h *webhook.Hook, body *tryBody) ([]catalogue.Type, error) {
	known, err := c.knownTypes(ctx, h.Tenant)
	if err != nil {
		return nil, err
	}
	wanted := slices.DeleteFunc(known, func(t catalogue.Type) bool { return !h.WantsType(t.Name) })
	for _, t := range wanted {
		body.Types = append(body.Types, t.Name)
	}
	if !slices.Contains(body.Types, body.EventType) && len(body.Types) > 0 {
		body.EventType = body.Types[0]
	}
	return wanted, nil
}

// tryHook sends an event to a stored hook now.
func (c *console) tryHook(ctx context.Context, v *visit) (reply, error) {
	h, err := daemon.Within(ctx, pageTimeout, func(ctx context.Context) (webhook.Hook, error) { return c.findHook(ctx, v) })
	if err != nil {
		return reply{}, err
	}
	body := tryBody{Head: newHookHead(&h, "test"), EventType: v.posted.Get("event_type"), Data: v.posted.Get("data")}
	types, err := c.tryTypes(ctx, &h, &body)
	if err != nil {
		return reply{}, err
	}
	if err := c.try(ctx, v, &h, types, &body); err != nil {
		return reply{}, err
	}
	answer := page("hook-test", body.Head.Title+": test", body)
	if body.Problem != "" {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

// tryForm sends an example to the hook that the form describes, before it is saved.
func (c *console) tryForm(ctx context.Context, v *visit) (reply, error) {
	h := webhook.Hook{Tenant: v.tenant, Status: webhook.Active}
	if id := v.posted.Get("id"); id != "" {
		parsed, err := uuid.Parse(id)
		if err != nil {
			return reply{}, errBadForm
		}
		if h, err = c.Hooks.Hook(ctx, v.tenant, parsed); err != nil {
			return reply{}, err
		}
	}
	form := readHookForm(v.posted)
	know, err := c.know(ctx, v.tenant)
	if err != nil {
		return reply{}, err
	}
	edit := hookEdit{Form: form, Wrong: complaints{}, Steps: preview(&form)}
	form.apply(&h, know, edit.Wrong)
	body := tryBody{}
	if edit.Wrong.any() {
		body.Problem = "Something in the form is not right yet: see the fields that are marked."
		edit.Try = &body
		return fragment("hook-checked", edit), nil
	}
	types, err := c.tryTypes(ctx, &h, &body)
	if err != nil {
		return reply{}, err
	}
	if i := slices.IndexFunc(types, func(t catalogue.Type) bool { return t.Name == body.EventType }); i >= 0 {
		body.Data = textOf(types[i].Example)
	}
	if err := c.try(ctx, v, &h, types, &body); err != nil {
		return reply{}, err
	}
	edit.Try = &body
	return fragment("hook-checked", edit), nil
}

// try sends the event that the body says, and puts what came back there.
func (c *console) try(ctx context.Context, v *visit, h *webhook.Hook, types []catalogue.Type, body *tryBody) error {
	i := slices.IndexFunc(types, func(t catalogue.Type) bool { return t.Name == body.EventType })
	switch {
	case i < 0:
		body.Problem = "No known event type reaches this webhook, so there is no example to send."
		return nil
	case !json.Valid([]byte(body.Data)):
		body.Problem = "The data is not JSON."
		return nil
	case c.tries.Wait(v.tenant) > 0:
		body.Problem = "Tests are limited to one in a second. Wait a moment."
		return nil
	}
	now := c.now().UTC()
	e := webhook.Event{
		ID: "test-" + uuid.NewString(), Tenant: h.Tenant, Type: types[i].Name, Time: now, PublishedAt: now, Entity: types[i].Entity,
		Context: types[i].Context, Data: json.RawMessage(body.Data),
	}
	host := ""
	if u, err := url.Parse(h.TargetURL); err == nil {
		host = u.Host
	}
	if err := c.Trials.NoteTest(ctx, v.actor(), h.Tenant, h.ID, e.Type, host); err != nil {
		return err
	}
	trial, err := c.Sender.Try(ctx, h, &e)
	if err != nil {
		return err
	}
	result := tryResult{attemptView: newAttemptView(c.maskFor(v).Attempt(trial.Attempt)), EventType: e.Type, OK: trial.Attempt.Outcome == webhook.Succeeded}
	result.RequestBody = pretty(trial.RequestBody)
	body.Result = &result
	return nil
}

// tryEvery and tryBurst say how often a tenant may test.
const (
	tryEvery = time.Second
	tryBurst = 10
)
