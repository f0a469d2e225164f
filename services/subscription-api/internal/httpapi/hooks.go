package httpapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const hooksPath = root + "/hooks/"

type (
	hookListInput struct {
		IsActive boolParam `query:"is_active" doc:"true for active hooks, false for all others"`
		PageQuery
	}
	hookCreateInput struct {
		IdempotencyKey string `header:"Idempotency-Key" doc:"Repeating a request with the same key within 24 hours returns the first response"`
	}
	hookGetInput struct {
		ID string `path:"id" format:"uuid" doc:"The hook's id"`
	}
	hookChangeInput struct {
		ID      string `path:"id" format:"uuid" doc:"The hook's id"`
		IfMatch string `header:"If-Match" doc:"Proceed only if this is the hook's ETag; 412 otherwise"`
	}
	hookOutput struct {
		ETag string `header:"ETag" doc:"The hook's version"`
		Link string `header:"Link" doc:"URL of what a hook missed while it was disabled, if it is disabled or was until this request; otherwise absent"`
		Body api.Hook
	}
	hookCreatedOutput struct {
		ETag     string `header:"ETag" doc:"The hook's version"`
		Location string `header:"Location" doc:"URL of the hook"`
		Body     api.Hook
	}
	hookListOutput struct{ Body api.Page[api.Hook] }
	noInput        struct{}
	noOutput       struct{}
)

func (s *server) registerHooks() {
	tag := []string{"Hooks"}
	fields := bodyOf[hookInput](s)
	// the descriptions say that one of event_type and event_types is required: client generators would make several
	// types of a choice
	whole := s.named("NewHook", &huma.Schema{AllOf: []*huma.Schema{fields}, Required: []string{"target_url"}, Examples: []any{map[string]any{
		"name": "Acme, orders", "event_types": []string{"order.>"}, "target_url": "https://acme.example.com/hooks", "secret_key": "secret",
		"retry_countdown_config": map[string]any{"choice": "linear", "kwargs": map[string]any{"base": 60, "limit": 600}},
	}}})
	register(s, route{role: usecase.Viewer}, huma.Operation{
		OperationID: "list-hooks", Method: http.MethodGet, Path: hooksPath, Tags: tag, Summary: "List hooks, newest first",
		Parameters: params[api.HookFilter]("limit"),
	}, s.listHooks)
	register(s, route{role: usecase.Editor, body: whole, status: http.StatusCreated, conflict: true, limit: createTimeout + usecase.HandshakeTimeout}, huma.Operation{
		OperationID: "create-hook", Method: http.MethodPost, Path: hooksPath, Tags: tag, Summary: "Create a hook",
	}, s.createHook)
	register(s, route{role: usecase.Viewer}, huma.Operation{
		OperationID: "get-hook", Method: http.MethodGet, Path: hooksPath + "{id}/", Tags: tag, Summary: "Get a hook",
	}, s.getHook)
	register(s, route{role: usecase.Editor, body: whole, conflict: true, limit: 2*storeTimeout + usecase.HandshakeTimeout}, huma.Operation{
		OperationID: "replace-hook", Method: http.MethodPut, Path: hooksPath + "{id}/", Tags: tag, Summary: "Replace a hook",
		Description: "Absent fields get their defaults, except secret_key, api_key and the status, which stay unchanged.",
	}, s.replaceHook)
	register(s, route{role: usecase.Editor, body: fields, conflict: true, limit: 2*storeTimeout + usecase.HandshakeTimeout}, huma.Operation{
		OperationID: "change-hook", Method: http.MethodPatch, Path: hooksPath + "{id}/", Tags: tag, Summary: "Change fields of a hook",
	}, s.changeHook)
	register(s, route{role: usecase.Editor, status: http.StatusNoContent}, huma.Operation{
		OperationID: "delete-hook", Method: http.MethodDelete, Path: hooksPath + "{id}/", Tags: tag, Summary: "Delete a hook",
	}, s.deleteHook)
	register(s, route{role: usecase.Editor, conflict: true, body: bodyAs[api.Pause](s, "PauseInput"), optional: true}, huma.Operation{
		OperationID: "pause-hook", Method: http.MethodPost, Path: hooksPath + "{id}/pause/", Tags: tag, Summary: "Pause a hook",
		Description: "Deliveries to a paused hook are parked. With until, the hook becomes active again automatically; without it, the hook stays paused until it is resumed.",
	}, s.pauseHook)
	register(s, route{role: usecase.Editor, conflict: true}, huma.Operation{
		OperationID: "resume-hook", Method: http.MethodPost, Path: hooksPath + "{id}/resume/", Tags: tag,
		Summary: "Resume a hook",
	}, s.resumeHook)
}

func (s *server) getHook(ctx context.Context, c *call, _ *hookGetInput) (*hookOutput, error) {
	h, err := s.Cases.Hooks.Get(ctx, &c.Caller, c.id)
	return show(c)(usecase.Changed{Hook: h}, err)
}

// show renders a hook unless there is an error.
func show(c *call) func(usecase.Changed, error) (*hookOutput, error) {
	return func(changed usecase.Changed, err error) (*hookOutput, error) {
		if err != nil {
			return nil, err
		}
		h := c.mask.Hook(changed.Hook)
		body, err := renderHook(&h, c.Token.Role)
		if err != nil {
			return nil, err
		}
		return &hookOutput{ETag: etag(h.Version), Link: recoveryLink(&h, changed.WasDisabled), Body: body}, nil
	}
}

func (s *server) listHooks(ctx context.Context, c *call, _ *hookListInput) (*hookListOutput, error) {
	filter, err := c.hookFilter()
	if err != nil {
		return nil, err
	}
	if canonical, err := s.Cases.URLs.CheckURL(filter.TargetURL); err == nil {
		filter.TargetURL = canonical
	}
	scope := c.hookScope()
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	hooks, more, err := s.Cases.Hooks.List(ctx, &c.Caller, filter, page)
	if err != nil {
		return nil, err
	}
	out := api.Page[api.Hook]{Results: make([]api.Hook, len(hooks))}
	for i := range hooks {
		h := c.mask.Hook(hooks[i])
		if out.Results[i], err = renderHook(&h, c.Token.Role); err != nil {
			return nil, err
		}
	}
	if n := len(hooks); n > 0 {
		first := &usecase.Position{At: hooks[0].CreatedAt, ID: hooks[0].ID}
		last := &usecase.Position{At: hooks[n-1].CreatedAt, ID: hooks[n-1].ID}
		out.Next, out.Previous = s.cursors.links(c.base+hooksPath, c.query, scope, page, more, first, last)
	}
	return &hookListOutput{Body: out}, nil
}

// hookFilter parses the filters of the list of hooks.
func (c *call) hookFilter() (usecase.HookFilter, error) {
	q := c.query
	f := usecase.HookFilter{
		Mask: c.mask, TargetURL: q.Get("target_url"), Search: q.Get("search"), EventType: webhook.NormalizeEventType(q.Get("event_type")),
	}
	var err error
	if f.Labels, err = usecase.ReadLabels(q.Get("label")); err != nil {
		return f, err
	}
	switch status := webhook.HookStatus(strings.ToLower(q.Get("status"))); status {
	case "", webhook.Active, webhook.Paused, webhook.Disabled:
		f.Status = status
	default:
		return f, badParameter("status", "must be active, paused or disabled")
	}
	active, set, err := readBool("is_active", q.Get("is_active"))
	switch {
	case err != nil:
		return f, err
	case set && active && f.Status == "":
		f.Status = webhook.Active
	case set && active && f.Status != webhook.Active:
		f.NotStatus = f.Status // active and another status: no hook matches
	case set && !active:
		f.NotStatus = webhook.Active
	}
	return f, nil
}

// hookScope returns what a cursor of the list is bound to.
func (c *call) hookScope() string {
	scope := url.Values{"list": {"hooks"}, "tenant": {c.Tenant}}
	for _, name := range []string{"target_url", "is_active", "event_type", "status", "search", "label"} {
		scope.Set(name, c.query.Get(name))
	}
	return scope.Encode()
}

func (s *server) createHook(ctx context.Context, c *call, in *hookCreateInput) (*hookCreatedOutput, error) {
	key, err := idempotencyKey(in.IdempotencyKey, c.body)
	if err != nil {
		return nil, err
	}
	change, err := readHookBody(c)
	if err != nil {
		return nil, err
	}
	stored, err := s.Cases.Hooks.Create(ctx, &c.Caller, change, key)
	if err != nil {
		return nil, err
	}
	body, err := renderHook(&stored, c.Token.Role)
	if err != nil {
		return nil, err
	}
	return &hookCreatedOutput{ETag: etag(stored.Version), Location: hooksPath + stored.ID.String() + "/", Body: body}, nil
}

// idempotencyKey parses the header. The fingerprint covers the body without insignificant white space.
func idempotencyKey(key string, body []byte) (usecase.IdempotencyKey, error) {
	if len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return usecase.IdempotencyKey{}, badParameter("Idempotency-Key", "must be at most 255 visible ASCII characters")
	}
	if key == "" {
		return usecase.IdempotencyKey{}, nil
	}
	return usecase.IdempotencyKey{Key: key, Fingerprint: sha256.Sum256(compact(body))}, nil
}

func (s *server) replaceHook(ctx context.Context, c *call, in *hookChangeInput) (*hookOutput, error) {
	return s.editHook(ctx, c, in, true)
}

func (s *server) changeHook(ctx context.Context, c *call, in *hookChangeInput) (*hookOutput, error) {
	return s.editHook(ctx, c, in, false)
}

// readHookBody parses a body with a hook's fields.
func readHookBody(c *call) (*usecase.HookChange, error) {
	change, err := readHookInput(c.body)
	if errors.Is(err, errNoObject) {
		return nil, notAnObject()
	}
	return change, err
}

func (s *server) editHook(ctx context.Context, c *call, in *hookChangeInput, replace bool) (*hookOutput, error) {
	change, err := readHookBody(c)
	if err != nil {
		return nil, err
	}
	change.Replace = replace
	return show(c)(s.Cases.Hooks.Change(ctx, &c.Caller, c.id, readIfMatch(in.IfMatch), change))
}

func (s *server) deleteHook(ctx context.Context, c *call, in *hookChangeInput) (*noOutput, error) {
	return &noOutput{}, s.Cases.Hooks.Delete(ctx, &c.Caller, c.id, readIfMatch(in.IfMatch))
}

func (s *server) pauseHook(ctx context.Context, c *call, in *hookChangeInput) (*hookOutput, error) {
	body, sent, err := decodeAs[api.Pause](c.body)
	if err != nil {
		return nil, err
	}
	until := sentAt(sent, &body.Until)
	return show(c)(s.Cases.Hooks.Pause(ctx, &c.Caller, c.id, readIfMatch(in.IfMatch), until.Value))
}

func (s *server) resumeHook(ctx context.Context, c *call, in *hookChangeInput) (*hookOutput, error) {
	if err := noFields(c.body); err != nil {
		return nil, err
	}
	return show(c)(s.Cases.Hooks.Resume(ctx, &c.Caller, c.id, readIfMatch(in.IfMatch)))
}

// noFields accepts an empty body and an empty object.
func noFields(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	return decodeBody(body, &struct{}{})
}
