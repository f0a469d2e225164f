package webhook

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Keys describes the keys of a hook's config that have a meaning. Nothing of it may be changed.
func Keys() []Field { return configKeys }

// Methods lists the HTTP methods of deliveries, the default first.
func Methods() []string { return []string{"POST", "PUT", "PATCH"} }

// Orderings lists all orderings, the default first.
func Orderings() []Ordering { return []Ordering{OrderNone, OrderEntity, OrderHook} }

var configKeys = []Field{
	{
		Name: "format", Kind: KindText, Choices: texts(Formats()), Help: "The shape of the body: oms, whisperer, standard, cloudevents or raw",
		key: choice("format", Formats(), strings.ToLower, "must be one of oms, whisperer, standard, cloudevents, raw",
			func(c *Config) *Format { return &c.Format }),
	},
	{
		Name: "method", Kind: KindText, Choices: Methods(), Help: "The HTTP method of deliveries: POST, PUT or PATCH",
		key: choice("method", Methods(), strings.ToUpper, "must be POST, PUT or PATCH", func(c *Config) *string { return &c.Method }),
	},
	{
		Name: "filter", Kind: KindText, Help: "A CEL expression over event.type, event.data, event.context and event.entity that an event has to pass",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			if json.Unmarshal(raw, &c.Filter) != nil {
				p.Add("/filter", "must be a CEL expression as a string")
			}
		},
	},
	{
		Name: "content_fields", Kind: KindTexts, Help: "JSON pointers to what is sent of an event's data; absent for all of it",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) { c.ContentFields = parseContentFields(raw, p) },
	},
	{
		Name: "auth", Kind: KindObject, Hidden: true, Help: "How to log in at the receiver: auth_type basic, token or oauth2, and its fields",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) { c.Auth = parseAuth(raw, p) },
	},
	{
		Name: "tls", Kind: KindObject, Hidden: true, Help: "A client certificate with its key, a CA that alone may vouch for the receiver, and its name",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) { c.TLS = parseTLS(raw, time.Now(), p) },
	},
	{
		Name: "timeout", Kind: KindSeconds, Help: "How many seconds an attempt may take, 1 to 30; 15 if absent",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			var ok bool
			if c.Timeout, ok = secondsOf(raw, MaxTimeout); !ok {
				p.Add("/timeout", "must be whole seconds from 1 to %d", int(MaxTimeout.Seconds()))
			}
		},
	},
	{
		Name: "concurrency", Kind: KindNumber, Help: "How many attempts each worker makes at the same time, 1 to 1,000; 32 if absent",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			var ok bool
			if c.Concurrency, ok = wholeNumber(raw); !ok || c.Concurrency < 1 || c.Concurrency > MaxConcurrency {
				p.Add("/concurrency", "must be a whole number from 1 to %d", MaxConcurrency)
			}
		},
	},
	{
		Name: "rate_limit", Kind: KindObject, Help: "limit and period: at most so many attempts in each period of so many seconds, over all workers",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) { c.RateLimit = parseRateLimit(raw, p) },
	},
	{
		Name: "ordering", Kind: KindText, Choices: texts(Orderings()), Help: "What is delivered in the order of publication: none, entity or hook",
		key: choice("ordering", Orderings(), strings.ToLower, "must be none, entity or hook",
			func(c *Config) *Ordering { return &c.Ordering }),
	},
	{
		Name: "maintenance", Kind: KindList, Help: "Windows, each with start, end, days and timezone, in which deliveries are parked",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) { c.Maintenance = parseWindows(raw, p) },
	},
	{
		Name: "stop_on", Kind: KindNumbers, Help: "HTTP statuses from 300 to 599 after which a delivery is dead at once",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			err := json.Unmarshal(raw, &c.StopOn)
			if err != nil || slices.ContainsFunc(c.StopOn, func(s int) bool { return s < 300 || s > 599 }) {
				p.Add("/stop_on", "must be a list of HTTP statuses from 300 to 599")
			}
		},
	},
	{
		Name: "api_key_header", Kind: KindText, Help: "The header that api_key is sent in; X-API-Key if absent",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			if json.Unmarshal(raw, &c.APIKeyHeader) != nil || headerNameProblem(c.APIKeyHeader) != "" {
				p.Add("/api_key_header", "must be a header name that is not reserved")
			}
		},
	},
	{
		Name: "start_from", Kind: KindText, Help: "How far back a new hook begins: a time, or a duration such as P7D",
		Short: "how far back a new hook begins: a time, or a duration such as P7D",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			var ok bool
			if c.StartFrom, ok = parseStartFrom(raw); !ok {
				p.Add("/start_from", "must be a time such as 2026-01-31T12:00:00Z, or a duration of at most 90 days before the creation, such as P7D or PT24H")
			}
		},
	},
}

// choice reads a key that is one of some words, in any case.
func choice[T ~string](name string, of []T, spell func(string) string, rule string, at func(*Config) *T) func(*Config, json.RawMessage, *ValidationError) {
	return func(c *Config, raw json.RawMessage, p *ValidationError) {
		if into := at(c); !word(raw, into, spell) || !slices.Contains(of, *into) {
			p.Add("/"+name, "%s", rule)
		}
	}
}

// keysHelp says which keys of a config have a meaning.
func keysHelp() string {
	names := make([]string, len(configKeys))
	for i, k := range configKeys {
		names[i] = k.Name
		if k.Short != "" {
			names[i] += " (" + k.Short + ")"
		}
	}
	return strings.Join(names, ", ") + " have a meaning; all other keys are your own"
}

func texts[T ~string](words []T) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return list
}
