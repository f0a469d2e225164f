package httpapi

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
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
	PublicKey            *string            `json:"public_key" doc:"Verifies signatures v1a where the secret is an ed25519 key (whpk_…); null for others"`
	HasAPIKey            bool               `json:"has_api_key" doc:"Whether an API key is sent"`
	AdditionalHeaders    map[string]string  `json:"additional_headers" doc:"Sent with every request. Viewers see *** for the values"`
	Callback             object             `json:"callback" doc:"What to do with each outcome; null for nothing"`
	RetryCountdownConfig object             `json:"retry_countdown_config" doc:"The retry schedule; null for the default one"`
	Config               object             `json:"config" doc:"Settings with a meaning, and the integrator's own. What is secret in auth and tls is not shown"`
	IsActive             bool               `json:"is_active" doc:"Whether the status is active"`
	Status               webhook.HookStatus `json:"status" enum:"active,paused,disabled"`
	DisabledReason       string             `json:"disabled_reason" doc:"Why the status is disabled"`
	Unreadable           *string            `json:"unreadable" doc:"Why the API cannot read all of the hook, such as that it does not have the master key that its secrets are sealed with; null for a hook that can be read. What cannot be read is shown as if it were not set. The hook is not delivered to and cannot be changed, but be deleted"`
	CreatedDate          time.Time          `json:"created_date"`
	ModifiedDate         time.Time          `json:"modified_date"`
	Version              int64              `json:"version" doc:"Counts the changes; also the ETag"`
}

// hiddenValue stands for what the reader may not see.
const hiddenValue = "***"

// renderHook shows a hook to a reader of the role.
func renderHook(h *webhook.Hook, role store.Role) (hookBody, error) {
	config, err := h.Config.Shown()
	if err != nil {
		return hookBody{}, err
	}
	b := hookBody{
		ID: h.ID, Name: h.Name, EventTypes: h.EventTypes, TargetURL: h.TargetURL, NotificationType: h.NotificationType,
		HasSecret: len(h.Secrets) > 0, HasAPIKey: h.APIKey != "", AdditionalHeaders: maps.Clone(h.Headers),
		RetryCountdownConfig: object{rawJSON(h.RetryConfig)}, Config: object{rawJSON(config)},
		IsActive: h.Status == webhook.Active, Status: h.Status, DisabledReason: h.DisabledReason,
		CreatedDate: h.CreatedAt, ModifiedDate: h.ModifiedAt, Version: h.Version,
	}
	if h.Unreadable != "" {
		b.Unreadable = &h.Unreadable
	}
	if len(h.Secrets) > 0 {
		b.PublicKey = publicKey(h.Secrets[0].Value)
	}
	if len(h.EventTypes) > 0 {
		b.EventType = h.EventTypes[0]
	}
	if b.AdditionalHeaders == nil {
		b.AdditionalHeaders = map[string]string{}
	}
	if !role.Covers(store.Editor) {
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

// publicKey is the public half of an ed25519 secret, nil for other secrets.
func publicKey(secret string) *string {
	key, err := signature.ParseKey(secret)
	if err != nil || key.Public() == "" {
		return nil
	}
	public := key.Public()
	return &public
}

// restoreSecrets puts the stored secrets back into an auth and a tls that are as they were shown, so that what was read
// can be written back, and tells where it did so. Where anything else has changed, the URL that a password is sent to for
// example, a secret has to be sent again.
func restoreSecrets(config json.RawMessage, stored *webhook.Config) (whole json.RawMessage, auth, tls bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(config, &members) != nil {
		return config, false, false
	}
	if stored.Auth != nil && isShown(members["auth"], stored.Auth.Shown()) {
		auth = put(members, "auth", stored.Auth)
	}
	if stored.TLS != nil && isShown(members["tls"], stored.TLS.Shown()) {
		tls = put(members, "tls", stored.TLS)
	}
	if !auth && !tls {
		return config, false, false
	}
	whole, err := json.Marshal(members)
	if err != nil {
		return config, false, false
	}
	return whole, auth, tls
}

func put(members map[string]json.RawMessage, name string, value any) bool {
	raw, err := json.Marshal(value)
	if err == nil {
		members[name] = raw
	}
	return err == nil
}

// isShown reports whether a member is what we show of the stored value.
func isShown(member json.RawMessage, shown any) bool {
	text, err := json.Marshal(shown)
	return err == nil && webhook.SameJSON(member, text)
}
