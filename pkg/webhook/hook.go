package webhook

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// HookStatus says whether a hook gets deliveries.
type HookStatus string

// The statuses of a hook.
const (
	Active   HookStatus = "active"
	Paused   HookStatus = "paused"   // stopped by a person: deliveries are parked
	Disabled HookStatus = "disabled" // stopped by us: no deliveries are made; they can be recovered
)

// NotificationREST is the only notification type.
const NotificationREST = "rest"

// Limits of hooks' fields, in bytes; the name's is in characters.
const (
	MaxHookName     = 255
	MaxTargetURL    = 2048
	MaxSecretLength = 1024
	MaxAPIKeyLength = 1024
	MaxConfigSize   = 64 << 10
)

// Hook is a tenant's subscription to events.
type Hook struct {
	ID     uuid.UUID
	Tenant string
	Name   string
	// EventTypes are types and patterns in canonical form; see CanonicalEventTypes.
	EventTypes       []string
	TargetURL        string
	NotificationType string
	// Secrets are the signing secrets. The first is the current one; the others are valid until they expire.
	Secrets []Secret
	// APIKey is sent in the header Config.APIKeyHeader; may be empty.
	APIKey  string
	Headers map[string]string
	// Labels help people who manage many hooks to tell them apart.
	Labels map[string]string
	// Callback is nil if outcomes are not reported.
	Callback *Callback
	// RetryConfig is retry_countdown_config as it was given; nil for the default.
	RetryConfig json.RawMessage
	Config      Config
	Status      HookStatus
	// DisabledReason says in one sentence why the status is Disabled.
	DisabledReason string
	// PausedUntil is when a paused hook becomes active again automatically. It is zero if the hook stays paused or is
	// not paused.
	PausedUntil time.Time
	// Unreadable says why part of the hook could not be read, and what is missing; for example, its secrets may be
	// sealed with another master key. It is empty if the hook is complete.
	Unreadable string
	CreatedAt  time.Time
	ModifiedAt time.Time
	// Version counts the changes, from 1.
	Version int64

	// unknown holds members that a newer program has stored in the document; they are kept unchanged.
	unknown map[string]json.RawMessage
}

// Secret is a signing secret.
type Secret struct {
	Value string `json:"value"`
	// ExpiresAt is zero for the current secret.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Matches reports whether the hook wants the event, by tenant, type and config_filter. It ignores the status, because
// deliveries for a paused hook are parked.
func (h *Hook) Matches(e *Event) bool {
	return h.Tenant == e.Tenant && h.WantsType(e.Type) && h.Config.Contains(e.ConfigFilter)
}

// WantsType reports whether one of the hook's types or patterns covers the event type.
func (h *Hook) WantsType(eventType string) bool {
	for _, pattern := range h.EventTypes {
		if MatchPattern(pattern, eventType) {
			return true
		}
	}
	return false
}

// Validate reports every field that breaks a rule which needs no look-up, as a *ValidationError with pointers into
// the hook's JSON form. Package egress checks the target URL's host, and the catalogue checks that types are known.
func (h *Hook) Validate() error {
	p := &ValidationError{}
	for i := range fields {
		if fields[i].check != nil {
			fields[i].check(h, p)
		}
	}
	return p.OrNil()
}

// Countdown returns the hook's retry schedule, or the default if the stored config cannot be parsed.
func (h *Hook) Countdown() Countdown {
	c, err := parseCountdown(h.RetryConfig)
	if err != nil {
		return DefaultCountdown()
	}
	return c
}

func (c *Callback) validate(tenant string) error {
	p := &ValidationError{}
	if (c.URL == "") == (c.Subject == "") {
		p.Add("", "must have either url or subject")
	}
	if prefix := "whisperer.callback." + tenant + "."; c.Subject != "" {
		rest, ok := strings.CutPrefix(c.Subject, prefix)
		if !ok || ValidateEventType(rest) != nil {
			p.Add("/subject", "must begin with %s and go on with words of a-z, 0-9 and _ joined by dots", prefix)
		}
	}
	for _, on := range c.On {
		if !slices.Contains(callbackOutcomes, DeliveryState(on)) {
			p.Add("/on", "%q is not an outcome: use %s", Clip(on), strings.Join(texts(callbackOutcomes), ", "))
		}
	}
	return p.OrNil()
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}

// Clip shortens foreign text for use in an error message.
func Clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
