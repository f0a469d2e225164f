package httpapi

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// hookBody is a hook as the API shows it: without its secrets.
type hookBody struct {
	ID                   uuid.UUID          `json:"id" format:"uuid"`
	Name                 string             `json:"name" doc:"Tells hooks apart"`
	EventType            string             `json:"event_type" doc:"The first of event_types" example:"package.created"`
	EventTypes           []string           `json:"event_types" nullable:"false" doc:"Types and patterns, sorted"`
	TargetURL            string             `json:"target_url" doc:"Where events are sent"`
	NotificationType     string             `json:"notification_type" enum:"rest"`
	HasSecret            bool               `json:"has_secret" doc:"Whether what is sent is signed"`
	HasAPIKey            bool               `json:"has_api_key" doc:"Whether an API key is sent"`
	AdditionalHeaders    map[string]string  `json:"additional_headers" doc:"Sent with every request. Viewers see *** for the values"`
	Callback             object             `json:"callback" doc:"What to do with each outcome; null for nothing"`
	RetryCountdownConfig object             `json:"retry_countdown_config" doc:"The retry schedule; null for the default one"`
	Config               object             `json:"config" doc:"Settings with a meaning, and the integrator's own. A password in auth is not shown"`
	IsActive             bool               `json:"is_active" doc:"Whether the status is active"`
	Status               webhook.HookStatus `json:"status" enum:"active,paused,disabled"`
	DisabledReason       string             `json:"disabled_reason" doc:"Why the status is disabled"`
	CreatedDate          time.Time          `json:"created_date"`
	ModifiedDate         time.Time          `json:"modified_date"`
	Version              int64              `json:"version" doc:"Counts the changes; also the ETag"`
}

// hiddenValue stands for what the reader may not see.
const hiddenValue = "***"

// renderHook shows a hook to a reader of the role.
func renderHook(h *webhook.Hook, role postgres.Role) (hookBody, error) {
	config, err := renderConfig(&h.Config)
	if err != nil {
		return hookBody{}, err
	}
	b := hookBody{
		ID: h.ID, Name: h.Name, EventTypes: h.EventTypes, TargetURL: h.TargetURL, NotificationType: h.NotificationType,
		HasSecret: len(h.Secrets) > 0, HasAPIKey: h.APIKey != "", AdditionalHeaders: maps.Clone(h.Headers),
		RetryCountdownConfig: object{rawJSON(h.RetryConfig)}, Config: object{config},
		IsActive: h.Status == webhook.Active, Status: h.Status, DisabledReason: h.DisabledReason,
		CreatedDate: h.CreatedAt, ModifiedDate: h.ModifiedAt, Version: h.Version,
	}
	if len(h.EventTypes) > 0 {
		b.EventType = h.EventTypes[0]
	}
	if b.AdditionalHeaders == nil {
		b.AdditionalHeaders = map[string]string{}
	}
	if !role.Covers(postgres.Editor) {
		for name := range b.AdditionalHeaders {
			b.AdditionalHeaders[name] = hiddenValue
		}
	}
	if h.Callback != nil {
		callback, err := json.Marshal(h.Callback)
		if err != nil {
			return hookBody{}, err
		}
		b.Callback = object{callback}
	}
	return b, nil
}

// shownAuth is config.auth without its password.
type shownAuth struct {
	AuthType string `json:"auth_type"`
	Username string `json:"username"`
}

// renderConfig puts auth back into the config, without its password; a config that has none stays as it was written.
func renderConfig(c *webhook.Config) (rawJSON, error) {
	if c.Auth == nil {
		return rawJSON(c.Raw), nil
	}
	kept := map[string]json.RawMessage{}
	if err := json.Unmarshal(c.Raw, &kept); err != nil {
		return nil, err
	}
	auth, err := json.Marshal(shownAuth{AuthType: c.Auth.AuthType, Username: c.Auth.Username})
	if err != nil {
		return nil, err
	}
	kept["auth"] = auth
	return json.Marshal(kept)
}

// restorePassword puts the stored password into a config whose auth has none, so that what was read can be written back.
func restorePassword(config json.RawMessage, stored *webhook.Auth) json.RawMessage {
	var members map[string]json.RawMessage
	var auth map[string]json.RawMessage
	var shown shownAuth
	if stored == nil || json.Unmarshal(config, &members) != nil || json.Unmarshal(members["auth"], &auth) != nil ||
		json.Unmarshal(members["auth"], &shown) != nil {
		return config
	}
	if _, there := auth["password"]; there || shown.AuthType != stored.AuthType || shown.Username != stored.Username {
		return config
	}
	whole, err := json.Marshal(stored)
	if err != nil {
		return config
	}
	members["auth"] = whole
	restored, err := json.Marshal(members)
	if err != nil {
		return config
	}
	return restored
}
