package webhook

import (
	"errors"
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

// Limits of a hook's additional headers.
const (
	MaxHeaders         = 20
	MaxHeaderName      = 256     // bytes
	MaxHeaderValue     = 4 << 10 // bytes
	MaxHeadersInAll    = 16 << 10
	DefaultAPIKeyField = "X-API-Key"
)

// forbiddenHeaders belong to HTTP, to us, or to a metadata service.
var forbiddenHeaders = map[string]bool{
	"host": true, "content-length": true, "transfer-encoding": true, "te": true, "trailer": true, "connection": true,
	"keep-alive": true, "upgrade": true, "expect": true, "content-encoding": true, "content-type": true, "accept-encoding": true, "cookie": true, "date": true, "via": true, "forwarded": true,
	"idempotency-key": true, "x-idempotency-key": true, "metadata-flavor": true, "metadata": true, "traceparent": true,
	"tracestate": true,
}

var forbiddenHeaderPrefixes = []string{
	"proxy-", "x-forwarded-", "webhook-", "svix-", "x-amz-", "x-aws-", "x-google-", "x-whisperer-",
}

// ValidateHeaders reports why a hook may not send these additional headers. Names must be RFC 9110 tokens that
// neither HTTP nor Whisperer uses itself; values must not contain control characters. Pointers are relative to the
// object.
func ValidateHeaders(headers map[string]string) error {
	p := &ValidationError{}
	if len(headers) > MaxHeaders {
		p.Add("", "has more than %d headers", MaxHeaders)
	}
	total := 0
	seen := map[string]bool{}
	for _, name := range sortedKeys(headers) {
		pointer := "/" + escapePointer(name)
		total += len(name) + len(headers[name])
		if reason := headerNameProblem(name); reason != "" {
			p.Add(pointer, "%s", reason)
		}
		if reason := headerValueProblem(headers[name]); reason != "" {
			p.Add(pointer, "%s", reason)
		}
		lower := strings.ToLower(name)
		if seen[lower] {
			p.Add(pointer, "is there twice: header names are the same in any case")
		}
		seen[lower] = true
	}
	if total > MaxHeadersInAll {
		p.Add("", "is larger than %d bytes in all", MaxHeadersInAll)
	}
	return p.OrNil()
}

// Trim removes blanks from the ends of header values and of the API key: they are not part of a value, and HTTP/2
// receivers reject a header that has any (RFC 9113 section 8.2.1). It trims the values of labels as well, because
// ParseLabelSelector does.
func (h *Hook) Trim() {
	for name, value := range h.Labels {
		if trimmed := strings.TrimSpace(value); trimmed != value {
			h.Labels = maps.Clone(h.Labels)
			h.Labels[name] = trimmed
		}
	}
	h.APIKey = textproto.TrimString(h.APIKey)
	for name, value := range h.Headers {
		if trimmed := textproto.TrimString(value); trimmed != value {
			h.Headers = maps.Clone(h.Headers)
			h.Headers[name] = trimmed
		}
	}
}

// conflicts reports headers that would be set twice; only one of the two would be sent.
func (h *Hook) conflicts(p *ValidationError) {
	auth, key := "", ""
	if h.Config.Auth != nil {
		auth = h.Config.Auth.Header()
	}
	if h.APIKey != "" {
		key = h.Config.APIKeyHeader
	}
	both := func(field, of string, headers map[string]string) {
		for _, name := range sortedKeys(headers) {
			switch {
			case strings.EqualFold(name, auth):
				p.Add(field+"/"+escapePointer(name), "is set by config.auth as well: leave out %s %s or config.auth", of, Clip(name))
			case strings.EqualFold(name, key):
				p.Add(field+"/"+escapePointer(name), "is set by api_key as well: leave out %s %s or api_key", of, Clip(name))
			case slices.ContainsFunc(h.Config.Signature.Headers(), func(s string) bool { return strings.EqualFold(name, s) }):
				p.Add(field+"/"+escapePointer(name), "is set by config.signature as well: leave out %s %s or config.signature", of, Clip(name))
			}
		}
	}
	both("/additional_headers", "additional_headers'", h.Headers)
	both("/config/headers_from", "headers_from's", h.Config.HeadersFrom)
	for _, name := range sortedKeys(h.Config.HeadersFrom) {
		for fixed := range h.Headers {
			if strings.EqualFold(name, fixed) {
				p.Add("/config/headers_from/"+escapePointer(name), "is set by additional_headers as well: leave out one of them")
			}
		}
	}
	for _, name := range h.Config.Signature.Headers() {
		if strings.EqualFold(name, auth) || strings.EqualFold(name, key) {
			p.Add("/config/signature", "sets %s, which api_key or config.auth sets as well", Clip(name))
		}
	}
	if key != "" && strings.EqualFold(key, auth) {
		p.Add("/api_key", "is sent as %s, which config.auth sets as well: leave out api_key or config.auth, or change config.api_key_header", Clip(key))
	}
}

// HeaderValue returns a header's value without surrounding blanks, or an error that says why a request cannot contain
// it.
func HeaderValue(value string) (string, error) {
	value = textproto.TrimString(value)
	if problem := headerValueProblem(value); problem != "" {
		return "", errors.New(problem)
	}
	return value, nil
}

func headerNameProblem(name string) string {
	if name == "" || len(name) > MaxHeaderName {
		return "has a name that is empty or too long"
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return "is not a header name: it has a character that RFC 9110 does not allow"
		}
	}
	lower := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if forbiddenHeaders[lower] {
		return "is a header that cannot be set here"
	}
	for _, prefix := range forbiddenHeaderPrefixes {
		if strings.HasPrefix(lower, prefix) {
			return "is a header that cannot be set here: names that begin with " + prefix + " are reserved"
		}
	}
	return ""
}

func headerValueProblem(value string) string {
	if len(value) > MaxHeaderValue {
		return "has a value that is too long"
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "has a control character in its value"
		}
	}
	return ""
}
