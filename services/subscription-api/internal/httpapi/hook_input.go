package httpapi

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// hookInput has the fields of a hook that a caller may send.
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

	ID             unchanged[uuid.UUID]  `json:"id,omitzero" readOnly:"true"`
	CreatedDate    unchanged[time.Time]  `json:"created_date,omitzero" readOnly:"true"`
	ModifiedDate   unchanged[time.Time]  `json:"modified_date,omitzero" readOnly:"true"`
	Version        unchanged[int64]      `json:"version,omitzero" readOnly:"true"`
	HasSecret      unchanged[bool]       `json:"has_secret,omitzero" readOnly:"true"`
	PublicKey      unchanged[*string]    `json:"public_key,omitzero" readOnly:"true"`
	HasAPIKey      unchanged[bool]       `json:"has_api_key,omitzero" readOnly:"true"`
	DisabledReason unchanged[string]     `json:"disabled_reason,omitzero" readOnly:"true"`
	PausedUntil    unchanged[*time.Time] `json:"paused_until,omitzero" readOnly:"true"`
	Unreadable     unchanged[*string]    `json:"unreadable,omitzero" readOnly:"true"`

	// settings are the plain fields of a hook that have no field above, by name.
	settings map[string]json.RawMessage
}

// take stores what was sent for a field that only has a description.
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

// callbackInput is the field callback if it is an object.
type callbackInput struct {
	URL     optional[string]     `json:"url"`
	Subject optional[string]     `json:"subject"`
	On      optional[stringList] `json:"on"`
}

// readHookInput parses the fields of a hook.
func readHookInput(raw []byte, tenant string) (*usecase.HookChange, error) {
	var in hookInput
	if err := decodeObject(raw, &in); err != nil {
		return nil, err
	}
	return in.change(tenant), nil
}

// change converts the fields for the use cases.
func (in *hookInput) change(tenant string) *usecase.HookChange {
	c := &usecase.HookChange{
		Name: in.Name.Optional, EventType: value(in.EventType, func(l typeList) []string { return l }),
		EventTypes: value(in.EventTypes, func(l stringList) []string { return l }), TargetURL: in.TargetURL.Optional,
		NotificationType: in.NotificationType.Optional, SecretKey: in.SecretKey.Optional, APIKey: in.APIKey.Optional,
		AdditionalHeaders:    value(in.AdditionalHeaders, func(m stringMap) map[string]string { return m }),
		RetryCountdownConfig: value(in.RetryCountdownConfig, rawOf[object]), Config: value(in.Config, rawOf[object]),
		IsActive: value(in.IsActive, func(f flag) bool { return bool(f) }), Status: in.Status.Optional,
		ReadOnly: map[string]usecase.Optional[json.RawMessage]{}, Settings: in.settings,
	}
	for name, field := range map[string]optional[rawJSON]{
		"id": in.ID.optional, "created_date": in.CreatedDate.optional, "modified_date": in.ModifiedDate.optional,
		"version": in.Version.optional, "has_secret": in.HasSecret.optional, "public_key": in.PublicKey.optional,
		"has_api_key": in.HasAPIKey.optional, "disabled_reason": in.DisabledReason.optional, "unreadable": in.Unreadable.optional,
		"paused_until": in.PausedUntil.optional,
	} {
		c.ReadOnly[name] = value(field, rawOf[rawJSON])
	}
	if in.Callback.Set {
		callback, err := readCallback(tenant, json.RawMessage(in.Callback.Value.rawJSON))
		c.Callback = usecase.Some(callback)
		c.Unreadable.Collect("/callback", err)
	}
	return c
}

// value converts a field for the use cases.
func value[T, U any](field optional[T], of func(T) U) usecase.Optional[U] {
	return usecase.Optional[U]{Set: field.Set, Null: field.Null, Value: of(field.Value)}
}

func rawOf[T ~[]byte](text T) json.RawMessage { return json.RawMessage(text) }

// readCallback parses the field; null, {} and an empty text mean none.
func readCallback(tenant string, raw json.RawMessage) (*webhook.Callback, error) {
	if len(raw) == 0 {
		return nil, nil //nolint:nilnil // none
	}
	var path string
	if json.Unmarshal(raw, &path) == nil {
		switch {
		case path == "":
			return nil, nil //nolint:nilnil // none
		case webhook.ValidateEventType(strings.ToLower(path)) != nil:
			return nil, errNoCallback
		}
		return webhook.CallbackOf(tenant, path), nil
	}
	var in callbackInput
	if err := decodeObject(raw, &in); err != nil {
		return nil, err
	}
	if !in.URL.Set && !in.Subject.Set && !in.On.Set {
		return nil, nil //nolint:nilnil // none
	}
	c := webhook.Callback{URL: in.URL.Value, Subject: in.Subject.Value, On: in.On.Value}
	return c.Normal(), nil
}

var errNoCallback = errors.New("must be an object, the dotted path of a function, or null")
