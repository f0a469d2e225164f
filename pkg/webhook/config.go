package webhook

import (
	"encoding/json"
	"slices"
	"time"
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
	// Raw is the object as it was given, without auth.
	Raw json.RawMessage
	// Auth is how the receiver wants us to log in; nil for not at all. It is secret.
	Auth         *Auth
	Format       Format
	Method       string
	Timeout      time.Duration
	Concurrency  int
	StopOn       []int
	APIKeyHeader string

	own map[string]any // all of the object, for Contains
}

// Auth is config.auth.
type Auth struct {
	AuthType string `json:"auth_type"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// AuthBasic is HTTP basic authentication (RFC 7617).
const AuthBasic = "basic"

// reservedKeys have a meaning in the contract that this version cannot honour yet; storing them would be a promise.
var reservedKeys = []string{
	"filter", "rate_limit", "ordering", "content_fields", "tls", "maintenance", "start_from",
}

// ParseConfig reads a hook's config object; null and empty mean {}. A *ValidationError points at each bad key,
// relative to the object.
func ParseConfig(raw json.RawMessage) (Config, error) {
	c := Config{
		Raw: json.RawMessage("{}"), Format: FormatOMS, Method: "POST", Timeout: DefaultTimeout,
		Concurrency: DefaultConcurrency, APIKeyHeader: DefaultAPIKeyField,
	}
	if isNull(raw) {
		return c, nil
	}
	var keys map[string]json.RawMessage
	if len(raw) > MaxConfigSize {
		return c, invalid("", "is larger than 64 KiB")
	}
	if err := json.Unmarshal(raw, &keys); err != nil {
		return c, invalid("", "must be an object")
	}
	p := &problems{}
	c.known(keys, p)
	for _, key := range reservedKeys {
		if _, ok := keys[key]; ok {
			p.add("/"+key, "is reserved and not supported by this version")
		}
	}
	if auth, ok := keys["auth"]; ok {
		delete(keys, "auth")
		if !isNull(auth) {
			c.Auth = parseAuth(auth, p)
		}
	}
	if err := p.err(); err != nil {
		return Config{}, err
	}
	return c, c.keep(raw, keys)
}

// keep stores the object without auth: byte for byte where there was none.
func (c *Config) keep(raw json.RawMessage, keys map[string]json.RawMessage) error {
	c.Raw = slices.Clone(raw)
	if c.Auth != nil {
		stripped, err := json.Marshal(keys)
		if err != nil {
			return invalid("", "must be an object")
		}
		c.Raw = stripped
	}
	if err := json.Unmarshal(c.Raw, &c.own); err != nil {
		return invalid("", "must be an object")
	}
	return nil
}

// known reads the keys with a meaning.
func (c *Config) known(keys map[string]json.RawMessage, p *problems) {
	read := func(key string, ok func(raw json.RawMessage) bool, rule string, args ...any) {
		if raw, there := keys[key]; there && !isNull(raw) && !ok(raw) {
			p.add("/"+key, rule, args...)
		}
	}
	read("format", func(raw json.RawMessage) bool {
		return json.Unmarshal(raw, &c.Format) == nil && slices.Contains(Formats(), c.Format)
	}, "must be one of oms, whisperer, standard, cloudevents, raw")
	read("method", func(raw json.RawMessage) bool {
		return json.Unmarshal(raw, &c.Method) == nil && slices.Contains([]string{"POST", "PUT", "PATCH"}, c.Method)
	}, "must be POST, PUT or PATCH")
	read("timeout", func(raw json.RawMessage) bool {
		d, ok := secondsOf(raw, MaxTimeout)
		c.Timeout = d
		return ok
	}, "must be whole seconds from 1 to %d", int(MaxTimeout.Seconds()))
	read("concurrency", func(raw json.RawMessage) bool {
		n, ok := wholeNumber(raw)
		c.Concurrency = n
		return ok && n >= 1 && n <= MaxConcurrency
	}, "must be a whole number from 1 to %d", MaxConcurrency)
	read("stop_on", func(raw json.RawMessage) bool {
		err := json.Unmarshal(raw, &c.StopOn)
		return err == nil && !slices.ContainsFunc(c.StopOn, func(s int) bool { return s < 300 || s > 599 })
	}, "must be a list of HTTP statuses from 300 to 599")
	read("api_key_header", func(raw json.RawMessage) bool {
		return json.Unmarshal(raw, &c.APIKeyHeader) == nil && headerNameProblem(c.APIKeyHeader) == ""
	}, "must be a header name that is not reserved")
}

func parseAuth(raw json.RawMessage, p *problems) *Auth {
	var a Auth
	if err := decodeStrict(raw, &a); err != nil {
		p.under("/auth", err)
		return nil
	}
	if a.AuthType != AuthBasic {
		p.add("/auth/auth_type", "must be basic, the only one that this version supports")
	}
	if a.Username == "" || len(a.Username) > 256 || !printable(a.Username) {
		p.add("/auth/username", "must be 1 to 256 bytes of printable text")
	}
	if len(a.Password) > 1024 || !printable(a.Password) {
		p.add("/auth/password", "must be at most 1024 bytes of printable text")
	}
	return &a
}

// Contains reports whether the config contains the filter: every key of the filter is there with the same value,
// objects being compared the same way, key by key. A filter that is empty or null is contained in all.
func (c *Config) Contains(filter json.RawMessage) bool {
	if isNull(filter) {
		return true
	}
	var want any
	if json.Unmarshal(filter, &want) != nil {
		return false
	}
	return contains(c.own, want)
}

func contains(have, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil
		}
		for key, value := range w {
			if got, there := h[key]; !there || !contains(got, value) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return false
		}
		for i := range w {
			if !contains(h[i], w[i]) {
				return false
			}
		}
		return true
	default:
		return have == want
	}
}
