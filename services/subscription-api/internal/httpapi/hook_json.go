package httpapi

import (
	"encoding/json"
	"maps"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// hiddenValue replaces what the reader may not see.
const hiddenValue = "***"

// renderHook renders a hook for a reader with the role.
func renderHook(h *webhook.Hook, role usecase.Role) (api.Hook, error) {
	config, err := h.Config.Shown()
	if err != nil {
		return api.Hook{}, err
	}
	b := api.Hook{
		ID: h.ID, Name: h.Name, EventTypes: h.EventTypes, TargetURL: h.TargetURL, HasSecret: len(h.Secrets) > 0, HasAPIKey: h.APIKey != "",
		AdditionalHeaders: maps.Clone(h.Headers), IsActive: h.Status == webhook.Active, Status: h.Status, DisabledReason: h.DisabledReason,
		PausedUntil: optionalTime(h.PausedUntil), CreatedDate: h.CreatedAt, ModifiedDate: h.ModifiedAt, Version: h.Version,
	}
	if err := json.Unmarshal(h.Shown(), &b); err != nil {
		return api.Hook{}, err
	}
	b.Config = config
	if h.Unreadable != "" {
		b.Unreadable = &h.Unreadable
	}
	if len(h.Secrets) > 0 {
		b.PublicKey = usecase.PublicKey(h.Secrets[0].Value)
	}
	if len(h.EventTypes) > 0 {
		b.EventType = h.EventTypes[0]
	}
	if b.AdditionalHeaders == nil {
		b.AdditionalHeaders = map[string]string{}
	}
	if !role.Covers(usecase.Editor) {
		for name := range b.AdditionalHeaders {
			b.AdditionalHeaders[name] = hiddenValue
		}
	}
	return b, nil
}
