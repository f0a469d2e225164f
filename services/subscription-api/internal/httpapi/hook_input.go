package httpapi

import (
	"encoding/json"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// hookInput has the fields of a hook that a caller may send.
type hookInput struct {
	EventType  optional[typeList]   `json:"event_type,omitzero"`
	EventTypes optional[stringList] `json:"event_types,omitzero"`
	TargetURL  optional[string]     `json:"target_url,omitzero"`
	SecretKey  optional[string]     `json:"secret_key,omitzero"`
	APIKey     optional[string]     `json:"api_key,omitzero"`
	Config     optional[object]     `json:"config,omitzero"`
	IsActive   optional[flag]       `json:"is_active,omitzero"`
	Status     optional[string]     `json:"status,omitzero"`

	// settings and readOnly are the plain and the read-only fields by name.
	settings, readOnly map[string]json.RawMessage
}

// take stores what was sent for a field that only has a description, or says what is wrong with it.
func (in *hookInput) take(name string, raw json.RawMessage) (wrong string) {
	f := webhook.FieldNamed(name)
	switch {
	case f == nil || !f.Plain() && !f.ReadOnly:
		return unknownField
	case f.ReadOnly:
		in.readOnly[name] = raw
	case string(raw) != "null" && !f.Kind.Accepts(raw):
		return "must be " + f.Kind.Expects()
	default:
		in.settings[name] = raw
	}
	return ""
}

// readHookInput parses the fields of a hook.
func readHookInput(raw []byte) (*usecase.HookChange, error) {
	in := hookInput{settings: map[string]json.RawMessage{}, readOnly: map[string]json.RawMessage{}}
	if err := decodeObject(raw, &in); err != nil {
		return nil, err
	}
	return &usecase.HookChange{
		EventType:  value(in.EventType, func(l typeList) []string { return l }),
		EventTypes: value(in.EventTypes, func(l stringList) []string { return l }),
		TargetURL:  in.TargetURL.Optional, SecretKey: in.SecretKey.Optional, APIKey: in.APIKey.Optional,
		Config:   value(in.Config, func(o object) json.RawMessage { return json.RawMessage(o) }),
		IsActive: value(in.IsActive, func(f flag) bool { return bool(f) }), Status: in.Status.Optional,
		Settings: in.settings, ReadOnly: in.readOnly,
	}, nil
}

// value converts a field for the use cases.
func value[T, U any](field optional[T], of func(T) U) usecase.Optional[U] {
	return usecase.Optional[U]{Set: field.Set, Null: field.Null, Value: of(field.Value)}
}
