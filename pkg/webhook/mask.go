package webhook

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
)

// Mask are words that names of query parameters have in them whose values are secret, in lower case. Some receivers want
// their key in the target URL; who only reads must not get it from there, nor from an answer that repeats it.
type Mask []string

// ParseMask reads words that are separated by commas.
func ParseMask(list string) Mask {
	var m Mask
	for word := range strings.SplitSeq(strings.ToLower(list), ",") {
		if word = strings.TrimSpace(word); word != "" {
			m = append(m, word)
		}
	}
	return m
}

// URL is the URL with *** for what is secret in it; the URL as it is where nothing is.
func (m Mask) URL(target string) string {
	masked, _ := m.split(target)
	return masked
}

// Hook is the hook with masked URLs.
func (m Mask) Hook(h Hook) Hook {
	h.TargetURL = m.URL(h.TargetURL)
	if h.Callback != nil {
		callback := *h.Callback
		callback.URL = m.URL(callback.URL)
		h.Callback = &callback
	}
	return h
}

// Attempt is the attempt with a masked URL, and with *** wherever else a value is that is masked there.
func (m Mask) Attempt(a Attempt) Attempt {
	masked, secrets := m.split(a.URL)
	a.URL = masked
	for _, secret := range secrets {
		a.Error = strings.ReplaceAll(a.Error, secret, hidden)
		a.ResponseBody = bytes.ReplaceAll(a.ResponseBody, []byte(secret), []byte(hidden))
		a.RequestHeaders, a.ResponseHeaders = maskHeaders(a.RequestHeaders, secret), maskHeaders(a.ResponseHeaders, secret)
	}
	return a
}

func maskHeaders(headers []Header, secret string) []Header {
	headers = slices.Clone(headers)
	for i := range headers {
		headers[i].Value = strings.ReplaceAll(headers[i].Value, secret, hidden)
	}
	return headers
}

// split masks a URL and returns the secret values, as they were written and as they are meant, the longest first.
func (m Mask) split(target string) (masked string, secrets []string) {
	const leastSecret = 4 // what is shorter is in every text
	base, query, found := strings.Cut(target, "?")
	if !found || len(m) == 0 {
		return target, nil
	}
	query, fragment, hasFragment := strings.Cut(query, "#")
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		plain = strings.ToLower(plain)
		if value == "" || !slices.ContainsFunc(m, func(word string) bool { return strings.Contains(plain, word) }) {
			continue
		}
		parts[i] = name + "=" + hidden
		meant, err := url.QueryUnescape(value)
		if err != nil {
			meant = value
		}
		for _, secret := range []string{value, meant} {
			if len(secret) >= leastSecret {
				secrets = append(secrets, secret)
			}
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	masked = base + "?" + strings.Join(parts, "&")
	if hasFragment {
		masked += "#" + fragment
	}
	return masked, secrets
}
