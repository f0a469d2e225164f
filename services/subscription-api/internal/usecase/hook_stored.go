package usecase

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// restoreSecrets puts stored secrets back into an auth and a tls that equal what is shown, so that a hook that was
// read can be written back. It reports where it did so. If anything else in them has changed, such as the URL that a
// password is sent to, the secrets must be sent again.
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

// isShown reports whether a member equals what is shown of the stored value.
func isShown(member json.RawMessage, shown any) bool {
	text, err := json.Marshal(shown)
	return err == nil && webhook.SameJSON(member, text)
}

// checkReadOnly accepts read-only fields that a caller has read and writes back unchanged.
func (e *hookEdit) checkReadOnly() {
	for name, sent := range e.ReadOnly {
		if e.before == nil || !equalJSON(sent, readOnlyValue(e.before, name)) {
			e.invalid.Add("/"+name, "is read-only")
		}
	}
	slices.SortFunc(e.invalid.Fields, func(a, b webhook.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
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
		if len(h.Secrets) > 0 && PublicKey(h.Secrets[0].Value) != nil {
			return *PublicKey(h.Secrets[0].Value)
		}
		return nil
	case "paused_until":
		if h.PausedUntil.IsZero() {
			return nil
		}
		return h.PausedUntil
	case "unreadable":
		return nil // a hook that cannot be read cannot be changed
	case "has_api_key":
		return h.APIKey != ""
	default:
		return h.DisabledReason
	}
}

func equalJSON(sent json.RawMessage, have any) bool {
	if t, ok := have.(time.Time); ok {
		var sentTime time.Time
		return json.Unmarshal(sent, &sentTime) == nil && sentTime.Equal(t)
	}
	var value any
	return json.Unmarshal(sent, &value) == nil && reflect.DeepEqual(value, have)
}
