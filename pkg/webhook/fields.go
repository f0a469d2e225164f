package webhook

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Fields describes the fields of a hook, in the order in which the API shows them. The result must not be changed.
func Fields() []Field { return fields }

// FieldNamed returns the description of a field, or nil if there is none of the name.
func FieldNamed(name string) *Field {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &fields[i]
}

var fields = slices.Concat(identityFields, sendingFields, stateFields) //nolint:gochecknoglobals // a table that nobody changes

// identityFields say what a hook is and which events it gets.
var identityFields = []Field{
	{Name: "id", Kind: KindID, ReadOnly: true},
	{
		Name: "name", Kind: KindText, MaxLength: MaxHookName, Example: "Acme, orders", Help: "A name for people, to tell hooks apart", Flag: Flag{Name: "name", Placeholder: "TEXT"},
		at: func(h *Hook) any { return &h.Name }, check: (*Hook).checkName, searched: true, Kept: true,
	},
	{
		Name: "event_type", Kind: KindTextOrMany, Help: "One event type or pattern, or several. Either this or event_types is needed",
		Shown: "The first of event_types",
	},
	{
		Name: "event_types", Kind: KindTexts, MaxItems: MaxEventTypes, Example: `["package.*", "order.>"]`, Help: "Event types, such as package.created, and patterns, such as package.> or *.status.*",
		Shown: "Types and patterns, sorted", Short: "Event type or pattern; may be repeated.",
		Flag: Flag{Name: "event-type", Short: "e", Placeholder: "TYPE"},
		at:   func(h *Hook) any { return &h.EventTypes }, check: (*Hook).checkEventTypes, searched: true, Kept: true,
	},
	{
		Name: "target_url", Kind: KindText, MaxLength: MaxTargetURL, Example: "https://partner.example.com/hooks", Help: "The URL that events are sent to: http or https", Shown: "The URL that events are sent to",
		Short: "Where to deliver.", Flag: Flag{Name: "target-url", Short: "t", Placeholder: "URL"},
		at: func(h *Hook) any { return &h.TargetURL }, check: (*Hook).checkTarget, searched: true, Kept: true,
	},
	{
		Name: "status", Kind: KindText, Help: "active or paused", Shown: "active, paused or disabled", Kept: true,
		at: func(h *Hook) any { return &h.Status }, check: (*Hook).checkStatus, searched: true,
	},
	{
		Name: "notification_type", Kind: KindText, Help: "Always rest",
		at: func(h *Hook) any { return &h.NotificationType }, set: (*Hook).setNotificationType, check: (*Hook).checkNotificationType, Kept: true,
	},
}

// sendingFields say how deliveries are sent.
var sendingFields = []Field{
	{
		Name: "secret_key", Kind: KindText, MaxLength: MaxSecretLength, Hidden: true,
		Help:  "Secret that signs requests; null for no signature. If absent, the stored one is kept",
		Short: "Sign with this secret; empty for no signatures.", Flag: Flag{Name: "secret", Placeholder: "TEXT"},
		at: func(h *Hook) any { return &h.Secrets }, check: (*Hook).checkSecrets, sealed: true, Kept: true,
	},
	{Name: "has_secret", Kind: KindFlag, ReadOnly: true, Help: "Whether requests are signed"},
	{
		Name: "public_key", Kind: KindText, ReadOnly: true, Nullable: true,
		Help: "Public key (whpk_…) that verifies v1a signatures if the secret is an ed25519 key; otherwise null",
	},
	{
		Name: "api_key", Kind: KindText, MaxLength: MaxAPIKeyLength, Hidden: true,
		Help:  "Sent as X-API-Key, or in the header config.api_key_header; null for none. If absent, the stored one is kept",
		Short: "Send this as X-API-Key; empty for none.", Flag: Flag{Name: "api-key", Placeholder: "TEXT"},
		at: func(h *Hook) any { return &h.APIKey }, check: (*Hook).checkAPIKey, sealed: true, Kept: true,
	},
	{Name: "has_api_key", Kind: KindFlag, ReadOnly: true, Help: "Whether an API key is sent"},
	{
		Name: "additional_headers", Kind: KindTextMap, MaxItems: MaxHeaders, Example: `{"X-Shop": "12"}`, Help: "Sent with every request",
		Shown: "Sent with every request. Viewers see *** for the values",
		Short: "Send this header too, as 'Name: value'; may be repeated.", Flag: Flag{Name: "header", Placeholder: "HEADER"},
		at: func(h *Hook) any { return &h.Headers }, sealed: true, check: func(h *Hook, p *ValidationError) {
			p.Collect("/additional_headers", ValidateHeaders(h.Headers))
			h.conflicts(p)
		},
	},
	{
		Name: "callback", Kind: KindOutcome, Members: callbackMembers, Example: `{"url": "https://oms.example.com/outcomes", "on": ["delivered", "dead"]}`,
		Help: "Where outcomes are sent: url or subject, and on, a list of outcomes. The dotted path of a function, as in dj-whisperer, " +
			"means the subject whisperer.callback.<tenant>.<path>. null, {} and an empty string mean none",
		Shown: "Where outcomes are sent; null for nowhere",
		Short: "Where to send outcomes: JSON, @FILE or -; null for nowhere.", Flag: Flag{Name: "callback", Placeholder: "JSON"},
		at: func(h *Hook) any { return &h.Callback }, set: (*Hook).setCallback, check: func(h *Hook, p *ValidationError) {
			if h.Callback != nil {
				p.Collect("/callback", h.Callback.validate(h.Tenant))
			}
		},
	},
	{
		Name: "retry_countdown_config", Kind: KindObject, Members: retryOptions, Variants: retryChoices,
		Example: `{"choice": "linear", "kwargs": {"base": 60, "limit": 600}}`,
		Help: "The retry schedule: choice (fixed, linear, exponential, random, schedule), its kwargs, and max_retries, jitter, deadline; null for the " +
			"default schedule",
		Shown: "The retry schedule; null for the default one",
		Short: "Retry schedule: JSON, @FILE or -; null for the default.", Flag: Flag{Name: "retry", Placeholder: "JSON"},
		at: func(h *Hook) any { return &h.RetryConfig }, check: func(h *Hook, p *ValidationError) {
			_, err := ParseCountdown(h.RetryConfig)
			p.Collect("/retry_countdown_config", err)
		},
	},
	{
		Name: "config", Kind: KindObject, Members: configKeys, Example: `{"channel_id": 12, "format": "standard", "timeout": 10}`,
		Help:  "Settings: the keys described here have a meaning, all others are your own",
		Shown: "Settings with a meaning, and the integrator's own. Secrets in auth and tls are not shown",
		Short: "Config object: JSON, @FILE or -.", Flag: Flag{Name: "config", Placeholder: "JSON"},
		at: func(h *Hook) any { return &h.Config }, check: (*Hook).checkConfig,
	},
	{
		Name: "labels", Kind: KindTextMap, MaxItems: maxLabels, Example: `{"partner": "acme"}`, Help: "Names and values for managing many hooks together, such as partner and acme",
		Short: "Give it this label, as name=value; may be repeated.", Flag: Flag{Name: "label", Placeholder: "LABEL"},
		at: func(h *Hook) any { return &h.Labels }, check: (*Hook).checkLabels,
	},
}

// stateFields say whether the hook is active, and since when.
var stateFields = []Field{
	{Name: "is_active", Kind: KindFlag, Help: "false pauses the hook", Shown: "Whether the status is active"},
	{
		Name: "disabled_reason", Kind: KindText, ReadOnly: true, Help: "Why the status is disabled",
		at: func(h *Hook) any { return &h.DisabledReason }, searched: true,
	},
	{
		Name: "paused_until", Kind: KindTime, ReadOnly: true, Nullable: true,
		Help: "When a paused hook becomes active again automatically; null if it stays paused, or is not paused. Set by pausing",
		at:   func(h *Hook) any { return &h.PausedUntil }, searched: true,
	},
	{
		Name: "unreadable", Kind: KindText, ReadOnly: true, Nullable: true,
		Help: "Why the API cannot read all of the hook, for example because it lacks the master key that encrypted its secrets; null for " +
			"a readable hook. Unreadable parts are shown as if they were not set. Nothing is delivered to the hook, and it cannot be changed, " +
			"only deleted",
	},
	{Name: "created_date", Kind: KindTime, ReadOnly: true},
	{Name: "modified_date", Kind: KindTime, ReadOnly: true},
	{Name: "version", Kind: KindNumber, ReadOnly: true, Help: "Number of changes; also the ETag"},
}

func (h *Hook) checkName(p *ValidationError) {
	if utf8.RuneCountInString(h.Name) > MaxHookName || !printable(h.Name) {
		p.Add("/name", "must be at most %d characters of printable text", MaxHookName)
	}
}

func (h *Hook) checkEventTypes(p *ValidationError) {
	if len(h.EventTypes) == 0 || len(h.EventTypes) > MaxEventTypes {
		p.Add("/event_types", "must name 1 to %d event types", MaxEventTypes)
	}
	for _, t := range h.EventTypes {
		if err := ValidatePattern(t); err != nil {
			p.Add("/event_types", "%q %s", Clip(t), err)
		}
	}
}

func (h *Hook) checkTarget(p *ValidationError) {
	if h.TargetURL == "" || len(h.TargetURL) > MaxTargetURL {
		p.Add("/target_url", "must be a URL of at most %d characters", MaxTargetURL)
	}
}

func (h *Hook) setNotificationType(raw json.RawMessage) error {
	h.NotificationType = NotificationREST
	if !isNull(raw) && !word(raw, &h.NotificationType, strings.ToLower) {
		return invalid("", "must be "+KindText.Expects())
	}
	return nil
}

func (h *Hook) checkNotificationType(p *ValidationError) {
	if h.NotificationType != NotificationREST {
		p.Add("/notification_type", "must be rest, the only type there is")
	}
}

func (h *Hook) checkSecrets(p *ValidationError) {
	for _, s := range h.Secrets {
		if s.Value == "" || len(s.Value) > MaxSecretLength || !printable(s.Value) {
			p.Add("/secret_key", "must be 1 to %d bytes of printable text", MaxSecretLength)
		}
	}
}

func (h *Hook) checkAPIKey(p *ValidationError) {
	if len(h.APIKey) > MaxAPIKeyLength || headerValueProblem(h.APIKey) != "" {
		p.Add("/api_key", "must be at most %d bytes without control characters", MaxAPIKeyLength)
	}
}

// setCallback takes an object, or the dotted path of a function as the predecessor used it; {} and an empty text mean
// none.
func (h *Hook) setCallback(raw json.RawMessage) error {
	var path string
	switch {
	case isNull(raw):
		return nil
	case json.Unmarshal(raw, &path) == nil && path == "":
		return nil
	case path != "" && ValidateEventType(strings.ToLower(path)) != nil:
		return invalid("", "must be an object, the dotted path of a function, or null")
	case path != "":
		h.Callback = CallbackOf(h.Tenant, path)
		return nil
	}
	c, err := parseCallback(raw)
	h.Callback = c
	return err
}

func (h *Hook) checkConfig(p *ValidationError) {
	for _, status := range h.Config.StopOn {
		if h.Config.Success.Counts(status) {
			p.Add("/config/stop_on", "has %d, which counts as delivered by success", status)
		}
	}
	if h.Config.Format == FormatThin && h.Config.Transform != "" {
		p.Add("/config/transform", "means nothing beside the format thin, which sends no data")
	}
	if h.Config.Format == FormatThin && h.Config.ContentFields != nil {
		p.Add("/config/content_fields", "means nothing beside the format thin, which sends no data")
	}
	if h.Config.Transform != "" && h.Config.ContentFields != nil {
		p.Add("/config/content_fields", "means nothing beside transform, which says what is sent")
	}
	if h.Config.TLS != nil && !strings.HasPrefix(strings.ToLower(h.TargetURL), "https:") {
		p.Add("/config/tls", "means nothing for a target_url that is not https")
	}
	h.checkScheme(p)
	if auth := h.Config.Auth; auth != nil && auth.AuthType == AuthBasic && strings.Contains(auth.Username, ":") {
		p.Add("/config/auth/username", "must not contain a colon: receivers take what comes after it for the password (RFC 7617 section 2)")
	}
}

func (h *Hook) checkStatus(p *ValidationError) {
	switch h.Status {
	case Active, Paused, Disabled:
	default:
		p.Add("/status", "must be active, paused or disabled")
	}
}
