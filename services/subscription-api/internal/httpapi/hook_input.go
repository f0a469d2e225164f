package httpapi

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// hookInput are the fields of a hook that a caller may send.
type hookInput struct {
	Name                 optional[string]        `json:"name,omitzero"`
	EventType            optional[typeList]      `json:"event_type,omitzero"`
	EventTypes           optional[stringList]    `json:"event_types,omitzero"`
	TargetURL            optional[string]        `json:"target_url,omitzero"`
	NotificationType     optional[string]        `json:"notification_type,omitzero"`
	SecretKey            optional[string]        `json:"secret_key,omitzero"`
	APIKey               optional[string]        `json:"api_key,omitzero"`
	AdditionalHeaders    optional[stringMap]     `json:"additional_headers,omitzero"`
	Callback             optional[callbackField] `json:"callback,omitzero"`
	RetryCountdownConfig optional[object]        `json:"retry_countdown_config,omitzero"`
	Config               optional[object]        `json:"config,omitzero"`
	IsActive             optional[flag]          `json:"is_active,omitzero"`
	Status               optional[string]        `json:"status,omitzero"`

	ID             unchanged[uuid.UUID] `json:"id,omitzero" readOnly:"true"`
	CreatedDate    unchanged[time.Time] `json:"created_date,omitzero" readOnly:"true"`
	ModifiedDate   unchanged[time.Time] `json:"modified_date,omitzero" readOnly:"true"`
	Version        unchanged[int64]     `json:"version,omitzero" readOnly:"true"`
	HasSecret      unchanged[bool]      `json:"has_secret,omitzero" readOnly:"true"`
	PublicKey      unchanged[*string]   `json:"public_key,omitzero" readOnly:"true"`
	HasAPIKey      unchanged[bool]      `json:"has_api_key,omitzero" readOnly:"true"`
	DisabledReason unchanged[string]    `json:"disabled_reason,omitzero" readOnly:"true"`
	Unreadable     unchanged[*string]   `json:"unreadable,omitzero" readOnly:"true"`

	// settings are the plain fields of a hook that have no place above, by name.
	settings map[string]json.RawMessage
}

// take keeps what was sent for a field that only its description knows.
func (in *hookInput) take(name string, raw json.RawMessage) bool {
	f := webhook.FieldNamed(name)
	if f == nil || !f.Plain() {
		return false
	}
	if in.settings == nil {
		in.settings = map[string]json.RawMessage{}
	}
	in.settings[name] = raw
	return true
}

// callbackInput is the field callback where it is an object.
type callbackInput struct {
	URL     optional[string]     `json:"url"`
	Subject optional[string]     `json:"subject"`
	On      optional[stringList] `json:"on"`
}

// edit is a change of a hook by the fields that were sent.
type edit struct {
	in *hookInput
	// before is the hook as it is stored; nil for a new one.
	before *webhook.Hook
	// replace says that absent fields get their defaults (PUT), except for what a reader never sees: the secret, the API
	// key and the status.
	replace bool
	invalid *webhook.ValidationError
	// kept are the secrets that were not sent.
	kept webhook.Kept
}

// apply writes the sent fields to the hook and checks the result as far as that needs no look-up. The error is a
// *webhook.ValidationError with every field that is wrong.
func (e *edit) apply(h *webhook.Hook) error {
	e.invalid = &webhook.ValidationError{}
	e.kept = webhook.Kept{APIKey: !e.in.APIKey.Set, Headers: !e.in.AdditionalHeaders.Set, Auth: !e.in.Config.Set, TLS: !e.in.Config.Set}
	if e.before == nil || e.replace {
		h.Name, h.NotificationType = "", webhook.NotificationREST
		h.Headers, h.Callback, h.RetryConfig = nil, nil, nil
		e.setConfig(h, nil)
	}
	e.readOnly()
	e.eventTypes(h)
	e.texts(h)
	e.secrets(h)
	e.objects(h)
	e.settings(h)
	e.status(h)
	h.Trim()
	err := h.Validate()
	e.nameEventTypes(err)
	e.invalid.Collect("", e.news(err))
	e.invalid.Fields = firstOfEach(e.invalid.Fields)
	return e.invalid.OrNil()
}

// news leaves out of a complaint what is wrong with the stored hook already, in a part that this change does not touch: a hook
// from before a rule can still be paused or renamed.
func (e *edit) news(err error) error {
	found, ok := err.(*webhook.ValidationError) //nolint:errorlint // Validate returns it as it is
	touched := e.in.Config.Set || e.in.AdditionalHeaders.Set || e.in.APIKey.Set || e.in.SecretKey.Set || e.replace
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

// firstOfEach leaves one complaint for each pointer: what could not be read is not judged, too.
func firstOfEach(fields []webhook.FieldError) []webhook.FieldError {
	seen := map[string]bool{}
	return slices.DeleteFunc(fields, func(f webhook.FieldError) bool {
		before := seen[f.Pointer]
		seen[f.Pointer] = true
		return before
	})
}

// nameEventTypes lets complaints about the event types point at the field that the caller sent.
func (e *edit) nameEventTypes(err error) {
	invalid, ok := err.(*webhook.ValidationError) //nolint:errorlint // Validate returns it as it is
	if !ok || e.in.EventTypes.given() {
		return
	}
	for i := range invalid.Fields {
		if invalid.Fields[i].Pointer == "/event_types" {
			invalid.Fields[i].Pointer = "/event_type"
		}
	}
}

// eventTypes takes event_type, event_types, or both. Of a whole hook that was read, changed and written back (PUT), the
// spelling that differs from what is stored is the change.
func (e *edit) eventTypes(h *webhook.Hook) {
	one, many := &e.in.EventType, &e.in.EventTypes
	oneTypes, manyTypes := webhook.CanonicalEventTypes(one.Value.stringList), webhook.CanonicalEventTypes(many.Value)
	switch {
	case one.given() && many.given():
		h.EventTypes = e.agreedTypes(oneTypes, manyTypes)
	case one.given():
		h.EventTypes = oneTypes
	case many.given():
		h.EventTypes = manyTypes
	case e.before == nil || e.replace:
		e.invalid.Add("/event_type", "is required: give event_type or event_types")
	}
}

func (e *edit) agreedTypes(one, many []string) []string {
	same := slices.Equal(one, many)
	first := len(one) == 1 && len(many) > 0 && one[0] == many[0]
	switch {
	case same || first:
		return many
	case e.replace && slices.Equal(many, e.before.EventTypes):
		return one
	case e.replace && len(e.before.EventTypes) > 0 && slices.Equal(one, e.before.EventTypes[:1]):
		return many
	}
	e.invalid.Add("/event_type", "does not agree with event_types: give one of them")
	return many
}

func (e *edit) texts(h *webhook.Hook) {
	switch {
	case e.in.TargetURL.given():
		h.TargetURL = e.in.TargetURL.Value
	case e.in.TargetURL.Null || e.before == nil || e.replace:
		e.invalid.Add("/target_url", "is required")
	}
	if e.in.Name.Set {
		h.Name = e.in.Name.Value
	}
	if e.in.NotificationType.given() {
		h.NotificationType = strings.ToLower(e.in.NotificationType.Value)
	}
}

func (e *edit) secrets(h *webhook.Hook) {
	if e.in.SecretKey.Set {
		switch secret := e.in.SecretKey.Value; {
		case secret == "":
			h.Secrets = nil
		case len(h.Secrets) == 0 || h.Secrets[0].Value != secret:
			checkKey(e.invalid, secret)
			h.Secrets = []webhook.Secret{{Value: secret}}
		}
	}
	if e.in.APIKey.Set {
		h.APIKey = e.in.APIKey.Value
	}
	if e.in.AdditionalHeaders.Set {
		h.Headers = e.in.AdditionalHeaders.Value
	}
}

func (e *edit) objects(h *webhook.Hook) {
	if e.in.Callback.Set {
		h.Callback = e.callback(h.Tenant, json.RawMessage(e.in.Callback.Value.rawJSON))
	}
	if e.in.RetryCountdownConfig.Set {
		h.RetryConfig = json.RawMessage(e.in.RetryCountdownConfig.Value.rawJSON)
	}
	if e.in.Config.Set {
		e.setConfig(h, json.RawMessage(e.in.Config.Value.rawJSON))
	}
}

// settings sets the fields that only their descriptions know.
func (e *edit) settings(h *webhook.Hook) {
	placed := map[string]bool{}
	for field := range reflect.TypeFor[hookInput]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		placed[name] = true
	}
	for _, f := range webhook.Fields() {
		raw, sent := e.in.settings[f.Name]
		if f.Plain() && !placed[f.Name] && (sent || e.before == nil || e.replace) {
			e.invalid.Collect("/"+f.Name, f.Set(h, raw))
		}
	}
}

// callback reads the field; null, {} and an empty text mean none.
func (e *edit) callback(tenant string, raw json.RawMessage) *webhook.Callback {
	if len(raw) == 0 {
		return nil
	}
	var path string
	if json.Unmarshal(raw, &path) == nil {
		if path == "" {
			return nil
		}
		if webhook.ValidateEventType(strings.ToLower(path)) != nil {
			e.invalid.Add("/callback", "must be an object, the dotted path of a function, or null")
			return nil
		}
		return webhook.CallbackOf(tenant, path)
	}
	var in callbackInput
	if err := decodeObject(raw, &in); err != nil {
		e.invalid.Collect("/callback", err)
		return nil
	}
	if !in.URL.Set && !in.Subject.Set && !in.On.Set {
		return nil
	}
	c := webhook.Callback{URL: in.URL.Value, Subject: in.Subject.Value, On: in.On.Value}
	return c.Normal()
}

func (e *edit) setConfig(h *webhook.Hook, raw json.RawMessage) {
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
	h.Config = config
}

// status takes is_active and status. People set active and paused; disabled is ours.
func (e *edit) status(h *webhook.Hook) {
	if e.before == nil {
		h.Status = webhook.Active
	}
	now := h.Status
	word, active := e.in.Status, e.in.IsActive
	word.Value = strings.ToLower(word.Value)
	wanted := now
	switch {
	case word.given() && active.given():
		wanted = e.agreedStatus(now, webhook.HookStatus(word.Value), bool(active.Value))
	case word.given():
		wanted = webhook.HookStatus(word.Value)
	case active.given() && bool(active.Value):
		wanted = webhook.Active
	case active.given() && now == webhook.Active:
		wanted = webhook.Paused
	}
	if wanted == now {
		return
	}
	if wanted != webhook.Active && wanted != webhook.Paused {
		e.invalid.Add("/status", "can be set to active or paused")
		return
	}
	h.Status, h.DisabledReason = wanted, ""
}

func (e *edit) agreedStatus(now, word webhook.HookStatus, active bool) webhook.HookStatus {
	switch {
	case active == (word == webhook.Active):
		return word
	case e.replace && word == now && active:
		return webhook.Active
	case e.replace && word == now:
		return webhook.Paused
	case e.replace && active == (now == webhook.Active):
		return word
	}
	e.invalid.Add("/is_active", "does not agree with status: give one of them")
	return now
}

// readOnly lets through what a caller read and writes back unchanged.
func (e *edit) readOnly() {
	for name, sent := range e.in.readOnlyFields() {
		if !sent.Set {
			continue
		}
		if e.before == nil || !equalJSON(sent, readOnlyValue(e.before, name)) {
			e.invalid.Add("/"+name, "is read-only")
		}
	}
	slices.SortFunc(e.invalid.Fields, func(a, b webhook.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
}

func (in *hookInput) readOnlyFields() map[string]*optional[rawJSON] {
	return map[string]*optional[rawJSON]{
		"id": &in.ID.optional, "created_date": &in.CreatedDate.optional, "modified_date": &in.ModifiedDate.optional,
		"version": &in.Version.optional, "has_secret": &in.HasSecret.optional, "public_key": &in.PublicKey.optional,
		"has_api_key": &in.HasAPIKey.optional, "disabled_reason": &in.DisabledReason.optional, "unreadable": &in.Unreadable.optional,
	}
}

func readOnlyValue(h *webhook.Hook, name string) any {
	switch name {
	case "id":
		return h.ID.String()
	case "created_date":
		return h.CreatedAt
	case "modified_date":
		return h.ModifiedAt
	case "version":
		return float64(h.Version)
	case "has_secret":
		return len(h.Secrets) > 0
	case "public_key":
		if len(h.Secrets) > 0 && publicKey(h.Secrets[0].Value) != nil {
			return *publicKey(h.Secrets[0].Value)
		}
		return nil
	case "unreadable":
		return nil // a hook that cannot be read cannot be changed
	case "has_api_key":
		return h.APIKey != ""
	default:
		return h.DisabledReason
	}
}

func equalJSON(sent *optional[rawJSON], have any) bool {
	if sent.Null {
		return have == nil
	}
	if t, ok := have.(time.Time); ok {
		var sentTime time.Time
		return json.Unmarshal(sent.Value, &sentTime) == nil && sentTime.Equal(t)
	}
	var value any
	return json.Unmarshal(sent.Value, &value) == nil && reflect.DeepEqual(value, have)
}

// newHook is what apply starts from for a hook that does not exist yet.
func newHook(tenant string) webhook.Hook { return webhook.Hook{Tenant: tenant, Status: webhook.Active} }

// addedTypes are the exact types that the hook has now and had not before.
func addedTypes(before *webhook.Hook, now []string) []string {
	var added []string
	for _, t := range now {
		if !webhook.IsPattern(t) && (before == nil || !slices.Contains(before.EventTypes, t)) {
			added = append(added, t)
		}
	}
	return added
}
