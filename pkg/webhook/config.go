package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Format is the shape of the body that a receiver gets.
type Format string

// The formats; see contract section 6.
const (
	FormatOMS         Format = "oms"
	FormatWhisperer   Format = "whisperer"
	FormatStandard    Format = "standard"
	FormatCloudEvents Format = "cloudevents"
	FormatRaw         Format = "raw"
)

// Formats lists all formats, the default first.
func Formats() []Format {
	return []Format{FormatOMS, FormatWhisperer, FormatStandard, FormatCloudEvents, FormatRaw}
}

// Defaults and limits of config keys.
const (
	DefaultTimeout     = 15 * time.Second
	MaxTimeout         = 30 * time.Second
	DefaultConcurrency = 32
	MaxConcurrency     = 1000
)

// Config is a hook's config object: keys with a meaning, parsed, and the integrator's own, kept as they came.
// Make one with ParseConfig.
type Config struct {
	// Raw is the object as it was given, without auth and tls.
	Raw json.RawMessage
	// Auth is how the receiver wants us to log in; nil for not at all. It is secret.
	Auth *Auth
	// TLS is how connections prove who we are, and whom they trust; nil for as everywhere. It is secret.
	TLS *TLS
	// ContentFields is what is sent of an event's data; nil for all of it.
	ContentFields *ContentFields
	Format        Format
	Method        string
	Timeout       time.Duration
	Concurrency   int
	StopOn        []int
	// Filter is a CEL expression that an event has to pass; empty for none. Whether it compiles is package filter's to say.
	Filter       string
	APIKeyHeader string
	// RateLimit bounds the attempts over all workers; nil for no bound.
	RateLimit   *RateLimit
	Ordering    Ordering
	Maintenance []Window
	// StartFrom is how far back the hook begins when it is created; nil for its creation.
	StartFrom *StartFrom

	own map[string]any // all of the object, for Contains
}

// RateLimit is at most Limit attempts in each Period.
type RateLimit struct {
	Limit  int
	Period time.Duration
}

// Ordering is what has to be delivered one after the other, in the order of publication.
type Ordering string

// The orderings.
const (
	OrderNone   Ordering = "none"
	OrderEntity Ordering = "entity" // the events of one entity; others pass
	OrderHook   Ordering = "hook"   // all events of the hook
)

// Drained reports whether all deliveries go through the parked queue, where one worker at a time can keep the order and
// the rate.
func (c *Config) Drained() (Reason, bool) {
	switch {
	case c.Ordering == OrderEntity || c.Ordering == OrderHook:
		return ReasonOrdered, true
	case c.RateLimit != nil:
		return ReasonRate, true
	}
	return ReasonNone, false
}

// ParseConfig reads a hook's config object; null and empty mean {}. A *ValidationError points at each bad key,
// relative to the object.
func ParseConfig(raw json.RawMessage) (Config, error) {
	c := Config{
		Raw: json.RawMessage("{}"), Format: FormatOMS, Method: "POST", Timeout: DefaultTimeout,
		Concurrency: DefaultConcurrency, APIKeyHeader: DefaultAPIKeyField, Ordering: OrderNone,
	}
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
		if raw := keys[configKeys[i].Name]; !isNull(raw) && !configKeys[i].Hidden {
			configKeys[i].key(&c, raw, p)
		}
	}
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

// Shown is the config as the API shows it: with auth and tls, without what is secret of them. A config that has neither is as it
// was written.
func (c *Config) Shown() (json.RawMessage, error) {
	if c.Auth == nil && c.TLS == nil {
		return c.Raw, nil
	}
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(c.Raw, &keys); err != nil {
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

// secrets takes auth and tls out of the keys, and reports whether there was any of them: null too, because one before it
// in the text would stay.
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

// word reads a fixed word, which may be written in any case.
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

func parseRateLimit(raw json.RawMessage, p *ValidationError) *RateLimit {
	var in struct {
		Limit  json.RawMessage `json:"limit"`
		Period json.RawMessage `json:"period"`
	}
	if err := decodeStrict(raw, &in); err != nil {
		p.Collect("/rate_limit", err)
		return nil
	}
	limit, ok := wholeNumber(in.Limit)
	if isNull(in.Limit) || !ok || limit < 1 || limit > maxRate {
		p.Add("/rate_limit/limit", "must be a whole number from 1 to %d", maxRate)
	}
	period, ok := secondsOf(in.Period, maxRatePeriod)
	if !ok {
		p.Add("/rate_limit/period", "must be whole seconds from 1 to %d", int(maxRatePeriod.Seconds()))
	}
	return &RateLimit{Limit: limit, Period: period}
}
