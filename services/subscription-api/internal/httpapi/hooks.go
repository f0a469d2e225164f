package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// hookStore is what the hook operations ask; *store.DB is one.
type hookStore interface { //nolint:interfacebloat // what hooks are asked and told
	Hook(ctx context.Context, tenant string, id uuid.UUID) (webhook.Hook, error)
	Hooks(ctx context.Context, tenant string, f store.HookFilter, page store.Page) ([]webhook.Hook, bool, error)
	Filters(ctx context.Context, tenant string) (map[uuid.UUID]string, error)
	CreateHook(ctx context.Context, actor store.Actor, h webhook.Hook, quota int, key store.IdempotencyKey) (webhook.Hook, error)
	UpdateHook(ctx context.Context, actor store.Actor, tenant string, id uuid.UUID, version store.IfVersion, edit func(*webhook.Hook) error) (webhook.Hook, error)
	DeleteHook(ctx context.Context, actor store.Actor, tenant string, id uuid.UUID, version store.IfVersion) error
}

const hooksPath = root + "/hooks/"

type (
	hookListInput struct {
		TargetURL string     `query:"target_url" doc:"Hooks with exactly this target URL"`
		IsActive  boolParam  `query:"is_active" doc:"Hooks that are active, or those that are not"`
		EventType string     `query:"event_type" doc:"Hooks that name this type or pattern"`
		Status    string     `query:"status" enum:"active,paused,disabled"`
		Search    string     `query:"search" doc:"A part of the name or the target URL, in any case, or the id"`
		Limit     limitParam `query:"limit"`
		Cursor    string     `query:"cursor" doc:"From next or previous"`
	}
	hookCreateInput struct {
		IdempotencyKey string `header:"Idempotency-Key" doc:"Repeating a request with its key, within 24 hours, gives the first one's answer"`
	}
	hookGetInput struct {
		ID string `path:"id" format:"uuid" doc:"The hook's id"`
	}
	hookChangeInput struct {
		ID      string `path:"id" format:"uuid" doc:"The hook's id"`
		IfMatch string `header:"If-Match" doc:"Do it only if this is the hook's ETag; 412 otherwise"`
	}
	hookOutput struct {
		ETag string `header:"ETag" doc:"The hook's version"`
		Link string `header:"Link" doc:"Where a hook that is disabled, or was until now, says what it missed; absent otherwise"`
		Body hookBody
	}
	hookCreatedOutput struct {
		ETag     string `header:"ETag" doc:"The hook's version"`
		Location string `header:"Location" doc:"Where the hook is"`
		Body     hookBody
	}
	hookListOutput struct{ Body hookPage }
	hookPage       struct {
		Next     *string    `json:"next" doc:"URL of the next page; null on the last one"`
		Previous *string    `json:"previous" doc:"URL of the previous page; null on the first one"`
		Results  []hookBody `json:"results" nullable:"false"`
	}
	noInput  struct{}
	noOutput struct{}
)

func (s *server) registerHooks() {
	tag := []string{"Hooks"}
	fields := bodyOf[hookInput](s)
	// that one of event_type and event_types is needed stands in their descriptions: generators make several types of a choice
	whole := s.named("NewHook", &huma.Schema{AllOf: []*huma.Schema{fields}, Required: []string{"target_url"}})
	register(s, route{role: store.Viewer}, huma.Operation{
		OperationID: "list-hooks", Method: http.MethodGet, Path: hooksPath, Tags: tag, Summary: "List hooks, newest first",
	}, s.listHooks)
	register(s, route{role: store.Editor, body: whole, status: http.StatusCreated, conflict: true}, huma.Operation{
		OperationID: "create-hook", Method: http.MethodPost, Path: hooksPath, Tags: tag, Summary: "Create a hook",
	}, s.createHook)
	register(s, route{role: store.Viewer}, huma.Operation{
		OperationID: "get-hook", Method: http.MethodGet, Path: hooksPath + "{id}/", Tags: tag, Summary: "Get a hook",
	}, s.getHook)
	register(s, route{role: store.Editor, body: whole, conflict: true}, huma.Operation{
		OperationID: "replace-hook", Method: http.MethodPut, Path: hooksPath + "{id}/", Tags: tag, Summary: "Replace a hook",
		Description: "Absent fields get their defaults, except for secret_key, api_key and the status, which stay.",
	}, s.replaceHook)
	register(s, route{role: store.Editor, body: fields, conflict: true}, huma.Operation{
		OperationID: "change-hook", Method: http.MethodPatch, Path: hooksPath + "{id}/", Tags: tag, Summary: "Change fields of a hook",
	}, s.changeHook)
	register(s, route{role: store.Editor, status: http.StatusNoContent}, huma.Operation{
		OperationID: "delete-hook", Method: http.MethodDelete, Path: hooksPath + "{id}/", Tags: tag, Summary: "Delete a hook",
	}, s.deleteHook)
	register(s, route{role: store.Editor, conflict: true}, huma.Operation{
		OperationID: "pause-hook", Method: http.MethodPost, Path: hooksPath + "{id}/pause/", Tags: tag, Summary: "Pause a hook",
		Description: "What comes for it meanwhile is parked.",
	}, s.setStatus(webhook.Paused))
	register(s, route{role: store.Editor, conflict: true}, huma.Operation{
		OperationID: "resume-hook", Method: http.MethodPost, Path: hooksPath + "{id}/resume/", Tags: tag,
		Summary: "Make a paused or disabled hook active again",
	}, s.setStatus(webhook.Active))
}

func (s *server) getHook(ctx context.Context, c *call, in *hookGetInput) (*hookOutput, error) {
	id, err := readID(in.ID)
	if err != nil {
		return nil, err
	}
	return show(c, new(bool))(store.AsFarAsReadable(s.Hooks.Hook(ctx, c.tenant, id)))
}

// show renders what a store answers; wasDisabled is read by then.
func show(c *call, wasDisabled *bool) func(webhook.Hook, error) (*hookOutput, error) {
	return func(h webhook.Hook, err error) (*hookOutput, error) {
		if err != nil {
			return nil, err
		}
		h = c.mask.Hook(h)
		body, err := renderHook(&h, c.token.Role)
		if err != nil {
			return nil, err
		}
		return &hookOutput{ETag: etag(h.Version), Link: recoveryLink(&h, *wasDisabled), Body: body}, nil
	}
}

func (s *server) listHooks(ctx context.Context, c *call, in *hookListInput) (*hookListOutput, error) {
	filter, err := in.filter(c.mask)
	if err != nil {
		return nil, err
	}
	if canonical, err := s.URLs.CheckURL(in.TargetURL); err == nil {
		filter.TargetURL = canonical
	}
	scope := in.scope(c.tenant)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	hooks, more, err := s.Hooks.Hooks(ctx, c.tenant, filter, page)
	if err != nil {
		return nil, err
	}
	out := hookPage{Results: make([]hookBody, len(hooks))}
	for i := range hooks {
		h := c.mask.Hook(hooks[i])
		if out.Results[i], err = renderHook(&h, c.token.Role); err != nil {
			return nil, err
		}
	}
	if n := len(hooks); n > 0 {
		first := &store.Position{At: hooks[0].CreatedAt, ID: hooks[0].ID}
		last := &store.Position{At: hooks[n-1].CreatedAt, ID: hooks[n-1].ID}
		out.Next, out.Previous = s.cursors.links(c.base+hooksPath, c.query, scope, page, more, first, last)
	}
	return &hookListOutput{Body: out}, nil
}

func (in *hookListInput) filter(mask webhook.Mask) (store.HookFilter, error) {
	f := store.HookFilter{Mask: mask, TargetURL: in.TargetURL, Search: in.Search, EventType: webhook.NormalizeEventType(in.EventType)}
	switch status := webhook.HookStatus(strings.ToLower(in.Status)); status {
	case "", webhook.Active, webhook.Paused, webhook.Disabled:
		f.Status = status
	default:
		return f, badParameter("status", "must be active, paused or disabled")
	}
	active, set, err := readBool("is_active", string(in.IsActive))
	switch {
	case err != nil:
		return f, err
	case set && active && f.Status == "":
		f.Status = webhook.Active
	case set && active && f.Status != webhook.Active:
		f.NotStatus = f.Status // active and something else: nothing
	case set && !active:
		f.NotStatus = webhook.Active
	}
	return f, nil
}

// scope is what a cursor of the list is bound to.
func (in *hookListInput) scope(tenant string) string {
	return url.Values{
		"list": {"hooks"}, "tenant": {tenant}, "target_url": {in.TargetURL}, "is_active": {string(in.IsActive)},
		"event_type": {in.EventType}, "status": {in.Status}, "search": {in.Search},
	}.Encode()
}

func (s *server) createHook(ctx context.Context, c *call, in *hookCreateInput) (*hookCreatedOutput, error) {
	key, err := idempotencyKey(in.IdempotencyKey, c.body)
	if err != nil {
		return nil, err
	}
	var fields hookInput
	if err := decodeBody(c.body, &fields); err != nil {
		return nil, err
	}
	h := newHook(c.tenant)
	invalid := &webhook.ValidationError{}
	e := edit{in: &fields}
	invalid.Collect("", e.apply(&h))
	looked, err := s.lookUp(ctx, c.tenant, &fields)
	if err != nil {
		return nil, err
	}
	looked.check(invalid, &e, &h)
	if err := invalid.OrNil(); err != nil {
		return nil, err
	}
	stored, err := s.Hooks.CreateHook(ctx, c.actor(), h, s.HookQuota, key)
	if err != nil {
		return nil, err
	}
	body, err := renderHook(&stored, c.token.Role)
	if err != nil {
		return nil, err
	}
	return &hookCreatedOutput{ETag: etag(stored.Version), Location: hooksPath + stored.ID.String() + "/", Body: body}, nil
}

// idempotencyKey reads the header. The fingerprint is of the body without its white space.
func idempotencyKey(key string, body []byte) (store.IdempotencyKey, error) {
	if len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return store.IdempotencyKey{}, badParameter("Idempotency-Key", "must be at most 255 visible ASCII characters")
	}
	if key == "" {
		return store.IdempotencyKey{}, nil
	}
	return store.IdempotencyKey{Key: key, Fingerprint: sha256.Sum256(compact(body))}, nil
}

func (s *server) replaceHook(ctx context.Context, c *call, in *hookChangeInput) (*hookOutput, error) {
	return s.editHook(ctx, c, in, true)
}

func (s *server) changeHook(ctx context.Context, c *call, in *hookChangeInput) (*hookOutput, error) {
	return s.editHook(ctx, c, in, false)
}

func (s *server) editHook(ctx context.Context, c *call, in *hookChangeInput, replace bool) (*hookOutput, error) {
	id, err := readID(in.ID)
	if err != nil {
		return nil, err
	}
	var fields hookInput
	if err := decodeBody(c.body, &fields); err != nil {
		return nil, err
	}
	looked, err := s.lookUp(ctx, c.tenant, &fields)
	if err != nil {
		return nil, err
	}
	var wasDisabled bool
	return show(c, &wasDisabled)(s.Hooks.UpdateHook(ctx, c.actor(), c.tenant, id, readIfMatch(in.IfMatch), func(h *webhook.Hook) error {
		before := *h
		wasDisabled = h.Status == webhook.Disabled
		invalid := &webhook.ValidationError{}
		e := edit{in: &fields, before: &before, replace: replace}
		invalid.Collect("", e.apply(h))
		looked.check(invalid, &e, h)
		return invalid.OrNil()
	}))
}

func (s *server) deleteHook(ctx context.Context, c *call, in *hookChangeInput) (*noOutput, error) {
	id, err := readID(in.ID)
	if err != nil {
		return nil, err
	}
	return &noOutput{}, s.Hooks.DeleteHook(ctx, c.actor(), c.tenant, id, readIfMatch(in.IfMatch))
}

func (s *server) setStatus(status webhook.HookStatus) func(context.Context, *call, *hookChangeInput) (*hookOutput, error) {
	return func(ctx context.Context, c *call, in *hookChangeInput) (*hookOutput, error) {
		id, err := readID(in.ID)
		if err != nil {
			return nil, err
		}
		if err := noFields(c.body); err != nil {
			return nil, err
		}
		var wasDisabled bool
		return show(c, &wasDisabled)(s.Hooks.UpdateHook(ctx, c.actor(), c.tenant, id, readIfMatch(in.IfMatch), func(h *webhook.Hook) error {
			wasDisabled = h.Status == webhook.Disabled
			h.Status, h.DisabledReason = status, ""
			return nil
		}))
	}
}

// noFields lets an empty body pass, and an empty object.
func noFields(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	return decodeBody(body, &struct{}{})
}

// lookedUp is what had to be asked before a hook can be judged.
type lookedUp struct {
	urls      urlChecker
	types     []catalogue.Type // that are known
	canonical string           // target_url as it is stored: scheme and host in lower case
	url       error            // what is wrong with target_url
	callback  error            // what is wrong with callback.url
	filters   map[uuid.UUID]string
}

func (s *server) lookUp(ctx context.Context, tenant string, fields *hookInput) (*lookedUp, error) {
	l := &lookedUp{urls: s.URLs}
	var err error
	if l.types = catalogue.All(); !builtIn(fields) {
		if l.types, err = s.knownTypes(ctx, tenant); err != nil {
			return nil, err
		}
	}
	if config, err := webhook.ParseConfig(json.RawMessage(fields.Config.Value.rawJSON)); err == nil && config.Filter != "" {
		if l.filters, err = s.Hooks.Filters(ctx, tenant); err != nil {
			return nil, err
		}
	}
	if fields.TargetURL.given() {
		l.canonical, l.url = s.URLs.CheckURL(fields.TargetURL.Value)
	}
	var callback callbackInput
	if fields.Callback.given() && decodeObject(fields.Callback.Value.rawJSON, &callback) == nil && callback.URL.Value != "" {
		_, l.callback = s.URLs.CheckURL(callback.URL.Value)
	}
	return l, nil
}

// builtIn reports whether every event type that is named is a built-in one or a pattern, so that nobody has to be asked.
func builtIn(fields *hookInput) bool {
	for _, name := range slices.Concat(fields.EventType.Value.stringList, fields.EventTypes.Value) {
		name = webhook.NormalizeEventType(name)
		if _, found := catalogue.Find(name); !found && webhook.ValidateEventType(name) == nil {
			return false
		}
	}
	return true
}

// check adds what the look-up found wrong to the complaints, and gives the hook its canonical URL.
func (l *lookedUp) check(invalid *webhook.ValidationError, e *edit, h *webhook.Hook) {
	before, fields := e.before, e.in
	pointer := "/event_type"
	if fields.EventTypes.given() {
		pointer = "/event_types"
	}
	for _, t := range addedTypes(before, h.EventTypes) {
		known := slices.ContainsFunc(l.types, func(k catalogue.Type) bool { return k.Name == t })
		if webhook.ValidateEventType(t) == nil && !known {
			complainUnknownType(invalid, pointer, t, l.types)
		}
	}
	if l.canonical != "" {
		h.TargetURL = l.canonical
	}
	if before != nil {
		invalid.Collect("", webhook.CheckKept(before, h, e.kept))
	}
	if l.url != nil && !slices.ContainsFunc(invalid.Fields, func(f webhook.FieldError) bool { return f.Pointer == "/target_url" }) {
		invalid.Collect("/target_url", l.url)
	}
	invalid.Collect("/callback/url", l.callback)
	if auth := h.Config.Auth; auth != nil && fields.Config.given() {
		if field, target := auth.Login(); target != "" {
			_, err := l.urls.CheckURL(target)
			invalid.Collect("/config/auth/"+field, err)
		}
	}
	checkFilter(invalid, h, before, l.filters)
}
