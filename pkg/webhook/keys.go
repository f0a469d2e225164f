package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Keys describes the keys of a hook's config that have a meaning. The result must not be changed.
func Keys() []Field { return configKeys }

// Methods lists the HTTP methods of deliveries, the default first.
func Methods() []string { return []string{"POST", "PUT", "PATCH"} }

// Orderings lists all orderings, the default first.
func Orderings() []Ordering { return []Ordering{OrderNone, OrderEntity, OrderHook} }

// Collapses lists all values of collapse, the default first.
func Collapses() []Collapse { return []Collapse{CollapseNone, CollapseEntity} }

var configKeys = []Field{
	{
		Name: "format", Kind: KindText, Choices: texts(Formats()), Help: "The shape of the body: oms, whisperer, standard, cloudevents, raw or thin",
		key: choice("format", Formats(), strings.ToLower, "must be one of oms, whisperer, standard, cloudevents, raw, thin",
			func(c *Config) *Format { return &c.Format }),
	},
	{
		Name: "method", Kind: KindText, Choices: Methods(), Help: "The HTTP method of deliveries: POST, PUT or PATCH",
		key: choice("method", Methods(), strings.ToUpper, "must be POST, PUT or PATCH", func(c *Config) *string { return &c.Method }),
	},
	{
		Name: "filter", Kind: KindText, Example: `event.data.total > 100`, Help: "A CEL expression over event.type, event.data, event.context and event.entity; only events for which it is true are sent",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			if json.Unmarshal(raw, &c.Filter) != nil {
				p.Add("/filter", "must be a CEL expression as a string")
			}
		},
	},
	{
		Name: "transform", Kind: KindText, Example: `{"order": event.data.id}`, Help: "A CEL expression over the event and hook.config whose value is sent as data",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			if json.Unmarshal(raw, &c.Transform) != nil {
				p.Add("/transform", "must be a CEL expression as a string")
			}
		},
	},
	{
		Name: "headers_from", Kind: KindTextMap, MaxItems: MaxHeaders, Example: `{"X-Order": "string(event.data.id)"}`,
		Help: "Headers by name, with CEL expressions over the event as values; the rules of additional_headers apply",
		key:  func(c *Config, raw json.RawMessage, p *ValidationError) { c.HeadersFrom = parseHeadersFrom(raw, p) },
	},
	{
		Name: "content_fields", Kind: KindTexts, MaxItems: maxContentFields, Example: `["/id", "/customer/email"]`,
		Help: "JSON pointers to the parts of an event's data that are sent; all of it if absent",
		key:  func(c *Config, raw json.RawMessage, p *ValidationError) { c.ContentFields = parseContentFields(raw, p) },
	},
	{
		Name: "auth", Kind: KindObject, Hidden: true, Variants: authTypes, Example: `{"auth_type": "basic", "username": "shop", "password": "secret"}`,
		Help: "How to authenticate to the receiver: auth_type basic, token or oauth2, and its fields",
		key:  func(c *Config, raw json.RawMessage, p *ValidationError) { c.Auth = parseAuth(raw, p) },
	},
	{
		Name: "tls", Kind: KindObject, Hidden: true, Members: tlsMembers, Example: `{"server_name": "hooks.example.com"}`,
		Help: "A client certificate with its key, the only CA to trust for the receiver, and the name in the receiver's certificate",
		key:  func(c *Config, raw json.RawMessage, p *ValidationError) { c.TLS = parseTLS(raw, time.Now(), p) },
	},
	{
		Name: "signature", Kind: KindObject, Members: schemeMembers, Example: `{"preset": "github"}`,
		Help: "An additional signature, besides Standard Webhooks: preset (github, shopify, slack, stripe, or rfc9421 with algorithm), or header, value, content, algorithm, encoding and timestamp_header",
		key:  func(c *Config, raw json.RawMessage, p *ValidationError) { c.Signature = parseScheme(raw, p) },
	},
	{
		Name: "timeout", Kind: KindSeconds, AsWritten: true, Low: 1, High: MaxTimeout.Seconds(), Default: fmt.Sprint(DefaultTimeout.Seconds()), Example: "15",
		Help: "The maximum duration of an attempt in seconds, 1 to 30; 15 if absent",
		key: func(c *Config, raw json.RawMessage, _ *ValidationError) {
			n, _ := wholeNumber(raw)
			c.Timeout = time.Duration(n) * time.Second
		},
	},
	{
		Name: "concurrency", Kind: KindNumber, Low: 1, High: MaxConcurrency, Default: "32", Example: "32",
		Help: "The maximum number of simultaneous attempts per worker, 1 to 1,000; 32 if absent",
		key:  func(c *Config, raw json.RawMessage, _ *ValidationError) { c.Concurrency, _ = wholeNumber(raw) },
	},
	{
		Name: "rate_limit", Kind: KindObject, Members: rateMembers, Example: `{"limit": 100, "period": 60}`,
		Help: "limit and period: at most this many attempts per period (in seconds), across all workers",
		key:  func(c *Config, raw json.RawMessage, p *ValidationError) { c.RateLimit = parseRateLimit(raw, p) },
	},
	{
		Name: "ordering", Kind: KindText, Choices: texts(Orderings()), Help: "What is delivered in the order of publication: none, entity or hook",
		key: choice("ordering", Orderings(), strings.ToLower, "must be none, entity or hook",
			func(c *Config) *Ordering { return &c.Ordering }),
	},
	{
		Name: "collapse", Kind: KindText, Choices: texts(Collapses()),
		Help: "entity: of an entity's events that wait for the hook, send only the newest; none: send all of them. entity keeps the same order as ordering: entity",
		key:  choice("collapse", Collapses(), strings.ToLower, "must be none or entity", func(c *Config) *Collapse { return &c.Collapse }),
	},
	{
		Name: "batch", Kind: KindObject, Members: batchMembers, Example: `{"max_events": 100, "max_wait": 5}`,
		Help: "max_events (2 to 100) and max_wait (1 to 60 seconds): several events in one request, as a JSON array",
		key:  func(c *Config, raw json.RawMessage, p *ValidationError) { c.Batch = parseBatch(raw, p) },
	},
	{
		Name: "maintenance", Kind: KindList, Members: windowMembers, MaxItems: maxWindows,
		Example: `[{"start": "22:00", "end": "02:00", "days": ["sat", "sun"], "timezone": "Europe/Berlin"}]`,
		Help:    "Windows during which deliveries are parked, each with start, end, days and timezone",
		key:     func(c *Config, raw json.RawMessage, p *ValidationError) { c.Maintenance = parseWindows(raw, p) },
	},
	{
		Name: "success", Kind: KindObject, Members: successMembers, Example: `{"statuses": ["200-299", 409], "condition": "response.body.ok"}`,
		Help: "Which responses count as delivered: statuses (statuses and ranges; 2xx if absent), and condition (a CEL expression over response.status and response.body)",
		key:  func(c *Config, raw json.RawMessage, p *ValidationError) { c.Success = parseSuccess(raw, p) },
	},
	{
		Name: "stop_on", Kind: KindNumbers, Low: 300, High: 599, Example: "[400, 404]", Help: "HTTP statuses from 300 to 599 that make a delivery dead at once",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			err := json.Unmarshal(raw, &c.StopOn)
			if err != nil || slices.ContainsFunc(c.StopOn, func(s int) bool { return s < 300 || s > 599 }) {
				p.Add("/stop_on", "must be a list of HTTP statuses from 300 to 599")
			}
		},
	},
	{
		Name: "api_key_header", Kind: KindText, MaxLength: MaxHeaderName, Default: `"` + DefaultAPIKeyField + `"`, Example: "X-Shop-Key",
		Help: "The header in which api_key is sent; X-API-Key if absent",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			if json.Unmarshal(raw, &c.APIKeyHeader) != nil || headerNameProblem(c.APIKeyHeader) != "" {
				p.Add("/api_key_header", "must be a header name that is not reserved")
			}
		},
	},
	{
		Name: "start_from", Kind: KindText, Example: "P7D", Help: "From when a new hook gets events: a time, or a duration before its creation, such as P7D",
		key: func(c *Config, raw json.RawMessage, p *ValidationError) {
			var ok bool
			if c.StartFrom, ok = parseStartFrom(raw); !ok {
				p.Add("/start_from", "must be a time such as 2026-01-31T12:00:00Z, or a duration of at most 90 days before the creation, such as P7D or PT24H")
			}
		},
	},
}

// choice returns a parser of a key whose value is one of some words, in any case.
func choice[T ~string](name string, of []T, spell func(string) string, rule string, at func(*Config) *T) func(*Config, json.RawMessage, *ValidationError) {
	return func(c *Config, raw json.RawMessage, p *ValidationError) {
		if into := at(c); !word(raw, into, spell) || !slices.Contains(of, *into) {
			p.Add("/"+name, "%s", rule)
		}
	}
}

func texts[T ~string](words []T) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return list
}
