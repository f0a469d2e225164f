package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type testOutput struct{ Body api.TestResult }

// hookObject is a hook inside another body. It is checked like a hook's own body.
type hookObject struct{ rawJSON }

func (h *hookObject) expects() string { return "a hook's fields" }

// Schema returns the schema of a hook's body.
func (h *hookObject) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{schemaOf[hookInput](r)}}
}

func (s *server) registerTests() {
	tag := []string{"Hooks"}
	r := route{role: usecase.Editor, body: bodyAs[api.TestFields](s, "TestInput"), optional: true, conflict: true, limit: usecase.TestTimeout}
	const note = " The request is signed and authenticated like a delivery, and has the header X-Whisperer-Test: true. It is sent once, " +
		"whatever the hook's status, is not recorded as a delivery, and does not count for the hook's health."
	register(s, r, huma.Operation{
		OperationID: "test-hook", Method: http.MethodPost, Path: hooksPath + "{id}/test/", Tags: tag,
		Summary:     "Send a test event to a hook",
		Description: "Fields in hook are used without being saved." + note,
	}, s.testHook)
	r.optional, r.conflict = false, false
	register(s, r, huma.Operation{
		OperationID: "test-unsaved-hook", Method: http.MethodPost, Path: hooksPath + "test/", Tags: tag,
		Summary:     "Send a test event to a hook without saving it",
		Description: "The member hook is the body that would create the hook." + note,
	}, s.testUnsavedHook)
}

func (s *server) testHook(ctx context.Context, c *call, _ *hookGetInput) (*testOutput, error) {
	return s.test(ctx, c, &c.id)
}

func (s *server) testUnsavedHook(ctx context.Context, c *call, _ *noInput) (*testOutput, error) {
	return s.test(ctx, c, nil)
}

// test sends the test that the body describes; id is nil for a hook that is not saved.
func (s *server) test(ctx context.Context, c *call, id *uuid.UUID) (*testOutput, error) {
	in, sent, err := decodeAs[api.TestFields](c.body)
	if err != nil {
		return nil, err
	}
	t := usecase.Test{ID: id, EventType: sentFor(sent, &in.EventType), Data: sentFor(sent, &in.Data)}
	if hook := sentAs[hookObject](sent, &in.Hook); hook.Given() {
		if t.Change, err = readHookInput(hook.Value.rawJSON); err != nil {
			invalid := &webhook.ValidationError{}
			invalid.Collect("/hook", err)
			return nil, invalid
		}
	}
	tested, err := s.Cases.Hooks.Test(ctx, &c.Caller, t)
	if err != nil {
		return nil, err
	}
	return s.renderTested(c, &tested), nil
}

func (s *server) renderTested(c *call, tested *usecase.Tested) *testOutput {
	return &testOutput{Body: api.TestResult{
		Event: tested.Event.ID, EventType: tested.Event.Type, WebhookID: tested.Attempt.DeliveryID, RequestBody: string(tested.RequestBody),
		Attempt: renderAttempt(c.mask.Attempt(tested.Attempt)),
	}}
}
