package usecase

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// Optional is a field of a change: absent (the zero value), null, or a value.
type Optional[T any] struct {
	Set   bool
	Null  bool
	Value T
}

// Given reports whether the field has a value that is not null.
func (o *Optional[T]) Given() bool { return o.Set && !o.Null }

// Some returns a field with a value.
func Some[T any](value T) Optional[T] { return Optional[T]{Set: true, Value: value} }

// Null returns a field that is null.
func Null[T any]() Optional[T] { return Optional[T]{Set: true, Null: true} }

// HookChange has the fields of a hook that a caller sent, for a new hook or to change a stored one.
type HookChange struct {
	EventType, EventTypes Optional[[]string]
	TargetURL             Optional[string]
	SecretKey, APIKey     Optional[string]
	// Config may contain auth and tls as they are shown, in which case their stored secrets are kept. If KeepAuth or
	// KeepTLS is set, Config has none, and the stored ones are kept.
	Config            Optional[json.RawMessage]
	KeepAuth, KeepTLS bool
	IsActive          Optional[bool]
	Status            Optional[string]
	// Settings are the plain fields (webhook.Field.Plain) by name.
	Settings map[string]json.RawMessage
	// ReadOnly are read-only fields by name. A caller may send them back unchanged.
	ReadOnly map[string]json.RawMessage
	// Replace resets absent fields to their defaults, except for the status, and for the secret and the API key,
	// which readers never see.
	Replace bool
	// Unreadable has errors about fields that could not be parsed. These fields are absent.
	Unreadable webhook.ValidationError
}

// sets reports whether a plain field was sent.
func (c *HookChange) sets(name string) bool {
	_, sent := c.Settings[name]
	return sent
}

// hookEdit applies a change to a hook. It holds everything that had to be looked up first.
type hookEdit struct {
	*HookChange

	urls egress.Policy
	// thin says that the format thin is available.
	thin  bool
	types []catalogue.Type // known event types
	// expressions are those of the tenant's hooks.
	expressions map[uuid.UUID][]webhook.Expression

	before  *webhook.Hook // the stored hook; nil for a new one
	invalid *webhook.ValidationError
	kept    webhook.Kept // the secrets that were not sent
}

// newEdit looks up what is needed to check the change. It only looks up the tenant's expressions, whose costs are
// limited together, if the change is to be saved.
func (s *Hooks) newEdit(ctx context.Context, tenant string, change *HookChange, save bool) (*hookEdit, error) {
	e := &hookEdit{HookChange: change, urls: s.URLs, thin: s.PublicURL != ""}
	var err error
	if e.types = catalogue.All(); !change.builtIn() {
		if e.types, err = s.KnownTypes(ctx, tenant); err != nil {
			return nil, err
		}
	}
	if config, err := webhook.ParseConfig(change.Config.Value); save && err == nil && len(config.Expressions()) > 0 {
		if e.expressions, err = s.hooks.Expressions(ctx, tenant); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// builtIn reports whether all event types of the change are built in or patterns, so that the tenant's types need not
// be looked up.
func (c *HookChange) builtIn() bool {
	for _, name := range slices.Concat(c.EventType.Value, c.EventTypes.Value) {
		name = webhook.NormalizeEventType(name)
		if _, found := catalogue.Find(name); !found && webhook.ValidateEventType(name) == nil {
			return false
		}
	}
	return true
}

// create makes a new hook from a change.
func (e *hookEdit) create(tenant string) (webhook.Hook, error) {
	h := webhook.Hook{Tenant: tenant, Status: webhook.Active}
	return h, e.edit(&h)
}

// apply changes a stored hook.
func (e *hookEdit) apply(h *webhook.Hook) error {
	before := *h
	e.before = &before
	return e.edit(h)
}

// edit writes the sent fields to the hook. The error is a *webhook.ValidationError that lists every invalid field.
func (e *hookEdit) edit(h *webhook.Hook) error {
	e.invalid = &webhook.ValidationError{}
	e.kept = webhook.Kept{APIKey: !e.APIKey.Set, Headers: !e.sets("additional_headers"), Auth: !e.Config.Set, TLS: !e.Config.Set}
	if e.before == nil || e.Replace {
		e.setConfig(h, nil)
	}
	e.checkReadOnly()
	e.setEventTypes(h)
	e.setTarget(h)
	e.setSecrets(h)
	if e.Config.Set {
		e.setConfig(h, e.Config.Value)
	}
	e.setSettings(h)
	e.setStatus(h)
	h.Trim()
	err := h.Validate()
	e.nameEventTypes(err)
	e.invalid.Collect("", e.news(err))
	e.invalid.Fields = e.firstOfEach()
	e.check(h)
	return e.invalid.OrNil()
}

// news drops errors that the stored hook already has in parts that this change does not touch. So a hook that is
// older than a rule can still be paused or renamed.
func (e *hookEdit) news(err error) error {
	found, ok := err.(*webhook.ValidationError) //nolint:errorlint // Validate returns it as it is
	touched := e.Config.Set || e.sets("additional_headers") || e.APIKey.Set || e.SecretKey.Set || e.Replace
	if !ok || e.before == nil || touched {
		return err
	}
	before, _ := e.before.Validate().(*webhook.ValidationError) //nolint:errorlint // as above
	if before == nil {
		return err
	}
	found.Fields = slices.DeleteFunc(found.Fields, func(f webhook.FieldError) bool { return slices.Contains(before.Fields, f) })
	return found.OrNil()
}

// firstOfEach returns the first error for each pointer, so that a field that could not be parsed has no second error.
func (e *hookEdit) firstOfEach() []webhook.FieldError {
	seen := map[string]bool{}
	for _, f := range e.Unreadable.Fields {
		seen[f.Pointer] = true
	}
	return append(slices.Clone(e.Unreadable.Fields), slices.DeleteFunc(e.invalid.Fields, func(f webhook.FieldError) bool {
		before := seen[f.Pointer]
		seen[f.Pointer] = true
		return before
	})...)
}

// typesPointer returns the pointer of the field in which the caller sent the event types.
func (e *hookEdit) typesPointer() string {
	if e.EventTypes.Given() {
		return "/event_types"
	}
	return "/event_type"
}

// nameEventTypes makes errors about the event types point at the field that the caller sent.
func (e *hookEdit) nameEventTypes(err error) {
	invalid, ok := err.(*webhook.ValidationError) //nolint:errorlint // Validate returns it as it is
	if !ok {
		return
	}
	for i := range invalid.Fields {
		if invalid.Fields[i].Pointer == "/event_types" {
			invalid.Fields[i].Pointer = e.typesPointer()
		}
	}
}

// setEventTypes applies event_type, event_types, or both. If both are sent, as after reading and writing back a hook,
// the one that differs from the stored types is the change.
func (e *hookEdit) setEventTypes(h *webhook.Hook) {
	one, many := webhook.CanonicalEventTypes(e.EventType.Value), webhook.CanonicalEventTypes(e.EventTypes.Value)
	switch {
	case e.EventType.Given() && e.EventTypes.Given():
		h.EventTypes = e.agreedTypes(one, many)
	case e.EventType.Given():
		h.EventTypes = one
	case e.EventTypes.Given():
		h.EventTypes = many
	case e.before == nil || e.Replace:
		e.invalid.Add("/event_type", "is required: give event_type or event_types")
	}
}

func (e *hookEdit) agreedTypes(one, many []string) []string {
	same := slices.Equal(one, many)
	first := len(one) == 1 && len(many) > 0 && one[0] == many[0]
	switch {
	case same || first:
		return many
	case e.Replace && slices.Equal(many, e.before.EventTypes):
		return one
	case e.Replace && len(e.before.EventTypes) > 0 && slices.Equal(one, e.before.EventTypes[:1]):
		return many
	}
	e.invalid.Add("/event_type", "does not agree with event_types: give one of them")
	return many
}

func (e *hookEdit) setTarget(h *webhook.Hook) {
	switch {
	case e.TargetURL.Given():
		h.TargetURL = e.TargetURL.Value
	case e.TargetURL.Null || e.before == nil || e.Replace:
		e.invalid.Add("/target_url", "is required")
	}
}

func (e *hookEdit) setSecrets(h *webhook.Hook) {
	if e.SecretKey.Set {
		switch secret := e.SecretKey.Value; {
		case secret == "":
			h.Secrets = nil
		case len(h.Secrets) == 0 || h.Secrets[0].Value != secret:
			e.invalid.Collect("", checkKey(secret))
			h.Secrets = []webhook.Secret{{Value: secret}}
		}
	}
	if e.APIKey.Set {
		h.APIKey = e.APIKey.Value
	}
}

// setSettings sets the plain fields.
func (e *hookEdit) setSettings(h *webhook.Hook) {
	for _, f := range webhook.Fields() {
		raw, sent := e.Settings[f.Name]
		if f.Plain() && (sent || e.before == nil || e.Replace) {
			e.invalid.Collect("/"+f.Name, f.Set(h, raw))
		}
	}
}

func (e *hookEdit) setConfig(h *webhook.Hook, raw json.RawMessage) {
	if e.before != nil {
		raw, e.kept.Auth, e.kept.TLS = restoreSecrets(raw, &e.before.Config)
	}
	config, err := webhook.ParseConfig(raw)
	if err != nil {
		e.invalid.Collect("/config", err)
		return
	}
	if e.before != nil && config.Auth != nil && !e.kept.Auth {
		e.invalid.Collect("", config.Auth.CheckChanged())
	}
	if e.before != nil && e.KeepAuth {
		config.Auth, e.kept.Auth = e.before.Config.Auth, true
	}
	if e.before != nil && e.KeepTLS {
		config.TLS, e.kept.TLS = e.before.Config.TLS, true
	}
	h.Config = config
}

// setStatus applies is_active and status. People can set active and paused; only Whisperer sets disabled.
func (e *hookEdit) setStatus(h *webhook.Hook) {
	now := h.Status
	wanted, word := now, webhook.HookStatus(strings.ToLower(e.Status.Value))
	switch {
	case e.Status.Given() && e.IsActive.Given():
		wanted = e.agreedStatus(now, word, e.IsActive.Value)
	case e.Status.Given():
		wanted = word
	case e.IsActive.Given() && e.IsActive.Value:
		wanted = webhook.Active
	case e.IsActive.Given() && now == webhook.Active:
		wanted = webhook.Paused
	}
	if wanted == now {
		return
	}
	if wanted != webhook.Active && wanted != webhook.Paused {
		e.invalid.Add("/status", "can be set to active or paused")
		return
	}
	h.Status, h.DisabledReason, h.PausedUntil = wanted, "", time.Time{}
}

func (e *hookEdit) agreedStatus(now, word webhook.HookStatus, active bool) webhook.HookStatus {
	switch {
	case active == (word == webhook.Active):
		return word
	case e.Replace && word == now && active:
		return webhook.Active
	case e.Replace && word == now:
		return webhook.Paused
	case e.Replace && active == (now == webhook.Active):
		return word
	}
	e.invalid.Add("/is_active", "does not agree with status: give one of them")
	return now
}

// check adds errors of rules that need a look-up, and sets the hook's canonical URL.
func (e *hookEdit) check(h *webhook.Hook) {
	for _, t := range h.EventTypes {
		stored := e.before != nil && slices.Contains(e.before.EventTypes, t)
		known := slices.ContainsFunc(e.types, func(k catalogue.Type) bool { return k.Name == t })
		if !stored && !known && webhook.ValidateEventType(t) == nil {
			addUnknownType(e.invalid, e.typesPointer(), t, e.types)
		}
	}
	var wrongURL error
	if e.TargetURL.Given() {
		var canonical string
		if canonical, wrongURL = e.urls.CheckURL(e.TargetURL.Value); canonical != "" {
			h.TargetURL = canonical
		}
	}
	if e.before != nil {
		e.invalid.Collect("", webhook.CheckKept(e.before, h, e.kept))
	}
	if !slices.ContainsFunc(e.invalid.Fields, func(f webhook.FieldError) bool { return f.Pointer == "/target_url" }) {
		e.invalid.Collect("/target_url", wrongURL)
	}
	if e.sets("callback") && h.Callback != nil && h.Callback.URL != "" {
		_, err := e.urls.CheckURL(h.Callback.URL)
		e.invalid.Collect("/callback/url", err)
	}
	if auth := h.Config.Auth; auth != nil && e.Config.Given() {
		if field, target := auth.Login(); target != "" {
			_, err := e.urls.CheckURL(target)
			e.invalid.Collect("/config/auth/"+field, err)
		}
	}
	if h.Config.Format == webhook.FormatThin && e.Config.Given() && !e.thin {
		e.invalid.Add("/config/format", "cannot be thin: an operator has to set WHISPERER_PUBLIC_URL, where receivers fetch events")
	}
	checkExpressions(e.invalid, h, e.before, e.expressions)
}
