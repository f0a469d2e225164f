package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Format is the format of the body that a receiver gets.
type Format string

// The formats.
const (
	FormatOMS         Format = "oms"         // event_time, event_type, current_context and data
	FormatWhisperer   Format = "whisperer"   // event, with type and uuid, and data
	FormatStandard    Format = "standard"    // Standard Webhooks: type, timestamp and data
	FormatCloudEvents Format = "cloudevents" // CloudEvents 1.0, structured
	FormatRaw         Format = "raw"         // the data alone
	// FormatThin has no data, but the URL to fetch it from.
	FormatThin Format = "thin"
)

// Formats lists all formats, the default first.
func Formats() []Format {
	return []Format{FormatOMS, FormatWhisperer, FormatStandard, FormatCloudEvents, FormatRaw, FormatThin}
}

// Limits of config keys that other packages need; the other keys' limits are only in Keys.
const (
	DefaultTimeout = 15 * time.Second
	MaxTimeout     = 30 * time.Second
	MaxConcurrency = 1000
)

// Config is a hook's config object. Keys with a meaning are parsed; the integrator's own keys are kept as they are.
// Create one with ParseConfig.
type Config struct {
	// Raw is the object as it was given, without auth and tls.
	Raw json.RawMessage
	// Auth says how to authenticate to the receiver; nil for not at all. It is secret.
	Auth *Auth
	// TLS configures the connections' client certificate and trust; nil for the default. It is secret.
	TLS *TLS
	// ContentFields selects the parts of an event's data to send; nil for all of it.
	ContentFields *ContentFields
	Format        Format
	Method        string
	Timeout       time.Duration
	Concurrency   int
	// Success says which answers count as delivered.
	Success Success
	StopOn  []int
	// Filter is a CEL expression that must be true for an event; empty for none. Package filter checks that it
	// compiles.
	Filter string
	// Transform is a CEL expression whose value is sent as the event's data; empty to send what was published.
	Transform string
	// Signature adds a signature scheme to that of Standard Webhooks; nil for none.
	Signature *SignatureScheme
	// HeadersFrom maps header names to CEL expressions that compute the values from the event.
	HeadersFrom  map[string]string
	APIKeyHeader string
	// RateLimit bounds the attempts over all workers; nil for no limit.
	RateLimit *RateLimit
	// Ordering is at least OrderEntity if Collapse is set.
	Ordering Ordering
	Collapse Collapse
	// Batch says how many events go in one request; nil for one per request.
	Batch       *Batch
	Maintenance []Window
	// StartFrom is how far before its creation the hook begins; nil for at its creation.
	StartFrom *StartFrom

	own map[string]any // the whole object, for Contains
}

// Makes reports whether expressions compute parts of the request from the event.
func (c *Config) Makes() bool { return c.Transform != "" || len(c.HeadersFrom) > 0 }

// Evaluates reports whether an attempt evaluates expressions, which draws on the tenant's budget.
func (c *Config) Evaluates() bool { return c.Makes() || c.Success.Condition != "" }

// RateLimit allows at most Limit attempts in each Period.
type RateLimit struct {
	Limit  int
	Period time.Duration
}

// Ordering says which deliveries must be made one after the other, in the order of publication.
type Ordering string

// The orderings.
const (
	OrderNone   Ordering = "none"
	OrderEntity Ordering = "entity" // the events of one entity; others may overtake them
	OrderHook   Ordering = "hook"   // all events of the hook
)

// Key returns the ordering key of an event with this entity: events with the same key are delivered in order. ordered
// is false if the event need not keep any order.
func (o Ordering) Key(entity string) (key string, ordered bool) {
	switch {
	case o == OrderHook:
		return "", true
	case o == OrderEntity && entity != "":
		return entity, true
	}
	return "", false
}

// Collapse says which waiting deliveries of a hook are replaced by the newest one.
type Collapse string

// The ways to collapse.
const (
	CollapseNone   Collapse = "none"
	CollapseEntity Collapse = "entity" // the deliveries of one entity
)

// Drained reports whether all deliveries go through the parked queue, where one worker at a time can keep the order
// and the rate.
func (c *Config) Drained() (Reason, bool) {
	switch {
	case c.Ordering == OrderEntity || c.Ordering == OrderHook:
		return ReasonOrdered, true
	case c.RateLimit != nil:
		return ReasonRate, true
	case c.Batch != nil:
		return ReasonBatch, true
	}
	return ReasonNone, false
}

// OnlyRate reports whether deliveries go through the parked queue only because of a rate limit.
func (c *Config) OnlyRate() bool {
	reason, _ := c.Drained()
	return reason == ReasonRate && c.Batch == nil && c.Collapse != CollapseEntity
}

// ParksRetries reports whether a due retry is parked like any other delivery instead of being sent at once.
func (c *Config) ParksRetries() bool {
	return c.RateLimit != nil || c.Collapse == CollapseEntity || c.Batch != nil
}

// ParseConfig parses a hook's config object; null and empty mean {}. A *ValidationError points at each invalid key,
// relative to the object.
func ParseConfig(raw json.RawMessage) (Config, error) {
	c := defaultConfig()
	if isNull(raw) {
		return c, nil
	}
	var keys map[string]json.RawMessage
	if len(raw) > MaxConfigSize {
		return c, invalid("", "is larger than 64 KiB")
	}
	if err := json.Unmarshal(raw, &keys); err != nil || !utf8.Valid(raw) {
		return c, invalid("", "must be an object")
	}
	p := &ValidationError{}
	for i := range configKeys {
		k := &configKeys[i]
		raw := keys[k.Name]
		if isNull(raw) || k.Hidden {
			continue
		}
		if problem := k.Refuses(raw); problem != "" {
			p.Add("/"+k.Name, "%s", problem)
			continue
		}
		k.key(&c, raw, p)
	}
	if c.Collapse == CollapseEntity && c.Ordering == OrderNone { // otherwise an older event might arrive after a newer one
		c.Ordering = OrderEntity
	}
	c.checkBatch(p)
	c.Raw = slices.Clone(raw)
	if c.secrets(keys, p) {
		stripped, err := json.Marshal(keys)
		if err != nil {
			return Config{}, invalid("", "must be an object")
		}
		c.Raw = stripped
	}
	own, err := decodeAny(c.Raw)
	if err != nil {
		return Config{}, invalid("", "must be an object")
	}
	c.own, _ = own.(map[string]any)
	if err := p.OrNil(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// defaultConfig returns the defaults of all keys.
func defaultConfig() Config {
	c := Config{Raw: json.RawMessage("{}")}
	for i := range configKeys {
		k := &configKeys[i]
		if value := k.assumed(); value != nil {
			k.key(&c, value, &ValidationError{})
		}
	}
	return c
}

// Shown returns the config as the API shows it: canonical, with auth and tls but without their secrets.
func (c *Config) Shown() (json.RawMessage, error) {
	plain := canonicalMembers(c.Raw, configKeys)
	if c.Auth == nil && c.TLS == nil {
		return plain, nil
	}
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(plain, &keys); err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	var err error
	if c.Auth != nil {
		if keys["auth"], err = json.Marshal(c.Auth.Shown()); err != nil {
			return nil, fmt.Errorf("write auth: %w", err)
		}
	}
	if c.TLS != nil {
		if keys["tls"], err = json.Marshal(c.TLS.Shown()); err != nil {
			return nil, fmt.Errorf("write tls: %w", err)
		}
	}
	return json.Marshal(keys)
}

// secrets parses auth and tls and removes them from keys. It reports whether either was present, even as null,
// because then the original text must not be kept: it may contain an earlier duplicate of the key.
func (c *Config) secrets(keys map[string]json.RawMessage, p *ValidationError) bool {
	liftAuth(keys)
	found := false
	for i := range configKeys {
		k := &configKeys[i]
		raw, there := keys[k.Name]
		if !k.Hidden || !there {
			continue
		}
		if found = true; !isNull(raw) {
			k.key(c, raw, p)
		}
		delete(keys, k.Name)
	}
	return found
}

// word parses one of a fixed set of words, in any case.
func word[T ~string](raw json.RawMessage, into *T, spell func(string) string) bool {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return false
	}
	*into = T(spell(text))
	return true
}

// Limits of rate limits.
const (
	maxRate       = 100_000
	maxRatePeriod = 24 * time.Hour
)

// rateMembers describes config.rate_limit.
var rateMembers = []Field{
	{Name: "limit", Kind: KindNumber, Low: 1, High: maxRate, Needed: true, Example: "100", Help: "The maximum number of attempts per period"},
	{Name: "period", Kind: KindSeconds, Low: 1, High: maxRatePeriod.Seconds(), Needed: true, Example: "60", Help: "The length of a period, in seconds"},
}

func parseRateLimit(raw json.RawMessage, p *ValidationError) *RateLimit {
	in := readMembers("/rate_limit", rateMembers, raw, p)
	return &RateLimit{Limit: numberIn(in, "limit"), Period: time.Duration(numberIn(in, "period")) * time.Second}
}
