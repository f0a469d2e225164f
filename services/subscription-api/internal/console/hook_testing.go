package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// testBody is the page of a test, and the part of the form that shows one.
type testBody struct {
	Head      hookHead
	Types     []string
	EventType string
	// Data is the example's data, possibly changed by the person.
	Data    string
	Problem string
	// Result is nil until something was sent.
	Result *testResult

	hookErrors webhook.ValidationError // of the tested hook
}

// testResult is what was sent and what came back.
type testResult struct {
	attemptView

	EventType string
	OK        bool
}

func (c *console) testPage(ctx context.Context, v *visit) (reply, error) {
	h, err := c.findHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	head, err := c.hookHead(ctx, &h, "test")
	if err != nil {
		return reply{}, err
	}
	body := testBody{Head: head, EventType: v.form.Get("event_type")}
	example, err := c.offerTypes(ctx, &h, &body)
	body.Data = textOf(example)
	return page("hook-test", body.Head.Title+": test", body), err
}

// offerTypes lists the known types that the hook wants. It selects one if the body has none of them, and returns its
// example.
func (c *console) offerTypes(ctx context.Context, h *webhook.Hook, body *testBody) (example json.RawMessage, err error) {
	known, err := c.Cases.KnownTypes(ctx, h.Tenant)
	if err != nil {
		return nil, err
	}
	wanted := slices.DeleteFunc(known, func(t catalogue.Type) bool { return !h.WantsType(t.Name) })
	for _, t := range wanted {
		body.Types = append(body.Types, t.Name)
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	chosen := max(0, slices.Index(body.Types, body.EventType))
	body.EventType = body.Types[chosen]
	return wanted[chosen].Example, nil
}

// testHook sends an event to a stored hook now.
func (c *console) testHook(ctx context.Context, v *visit) (reply, error) {
	h, err := daemon.Within(ctx, pageTimeout, func(ctx context.Context) (webhook.Hook, error) { return c.findHook(ctx, v) })
	if err != nil {
		return reply{}, err
	}
	head, err := c.hookHead(ctx, &h, "test")
	if err != nil {
		return reply{}, err
	}
	body := testBody{Head: head, EventType: v.posted.Get("event_type"), Data: v.posted.Get("data")}
	example, err := c.offerTypes(ctx, &h, &body)
	if err != nil {
		return reply{}, err
	}
	test := usecase.Test{ID: &h.ID}
	if body.EventType != "" {
		test.EventType = usecase.Some(body.EventType)
	}
	switch data := json.RawMessage(body.Data); {
	case !json.Valid(data):
		body.Problem = "The data is not JSON."
	case !webhook.SameJSON(data, example): // an unchanged example is sent with its entity and context
		test.Data = usecase.Some(data)
	}
	if body.Problem == "" {
		if err := c.sendTest(ctx, v, test, &body); err != nil {
			return reply{}, err
		}
	}
	answer := page("hook-test", body.Head.Title+": test", body)
	if body.Problem != "" {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

// testForm sends an example to the hook that the form describes, before it is saved.
func (c *console) testForm(ctx context.Context, v *visit) (reply, error) {
	form := readHookForm(v.posted)
	edit := hookEdit{Form: form, Wrong: formErrors{}, Steps: preview(&form), Test: &testBody{}}
	change, _ := form.change()
	test := usecase.Test{Change: change}
	if text := v.posted.Get("id"); text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			return reply{}, errBadForm
		}
		test.ID = &id
	}
	if err := c.sendTest(ctx, v, test, edit.Test); err != nil {
		return reply{}, err
	}
	if edit.Wrong.collect(hookFieldIDs(), edit.Test.hookErrors.OrNil()); edit.Wrong.any() {
		edit.Test.Problem = "Something in the form is not right yet: see the fields that are marked."
	}
	return fragment("hook-checked", edit), nil
}

// sendTest sends a test, and sets the result in the body, or why nothing was sent.
func (c *console) sendTest(ctx context.Context, v *visit, test usecase.Test, body *testBody) error {
	tested, err := c.Cases.Hooks.Test(ctx, &v.Caller, test)
	var limited *usecase.LimitError
	var invalid *webhook.ValidationError
	switch {
	case errors.As(err, &limited):
		body.Problem = limited.Detail + " Wait a moment."
		return nil
	case errors.As(err, &invalid):
		for _, f := range invalid.Fields {
			if pointer, ofHook := strings.CutPrefix(f.Pointer, "/hook/"); ofHook {
				body.hookErrors.Add("/"+pointer, "%s", f.Detail)
			} else {
				body.Problem = sentence("The " + strings.ReplaceAll(strings.TrimPrefix(f.Pointer, "/"), "_", " ") + " " + f.Detail)
			}
		}
		return nil
	case err != nil:
		return err
	}
	body.Result = c.newTestResult(v, &tested)
	return nil
}

func (c *console) newTestResult(v *visit, tested *usecase.Tested) *testResult {
	result := &testResult{
		attemptView: newAttemptView(c.Cases.MaskFor(&v.Caller).Attempt(tested.Attempt)), EventType: tested.Event.Type,
		OK: tested.Attempt.Outcome == webhook.Succeeded,
	}
	result.RequestBody = pretty(tested.RequestBody)
	return result
}
