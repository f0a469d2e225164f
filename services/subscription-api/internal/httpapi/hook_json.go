package httpapi

import (
	"encoding/json"
	"maps"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// hookBody is a hook as the API shows it: without its secrets.
type hookBody = api.Hook

// hiddenValue stands for what the reader may not see.
const hiddenValue = "***"

// renderHook shows a hook to a reader of the role.
func renderHook(h *webhook.Hook, role store.Role) (hookBody, error) {
	config, err := h.Config.Shown()
	if err != nil {
		return hookBody{}, err
	}
	b := hookBody{
		ID: h.ID, Name: h.Name, EventTypes: h.EventTypes, TargetURL: h.TargetURL, HasSecret: len(h.Secrets) > 0, HasAPIKey: h.APIKey != "",
		AdditionalHeaders: maps.Clone(h.Headers), IsActive: h.Status == webhook.Active, Status: h.Status, DisabledReason: h.DisabledReason,
		CreatedDate: h.CreatedAt, ModifiedDate: h.ModifiedAt, Version: h.Version,
	}
	if err := json.Unmarshal(h.Shown(), &b); err != nil {
		return hookBody{}, err
	}
	b.Config = config
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
