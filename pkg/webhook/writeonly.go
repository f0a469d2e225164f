package webhook

import (
	"net/url"
	"slices"
	"strings"
)

// Kept are the secrets that a change of a hook did not send again: they are as they were stored.
type Kept struct{ APIKey, Headers, Auth, TLS bool }

// CheckKept complains about each secret that was kept although the target URL has another scheme, host or port than
// before: whoever can change a hook could have what nobody may read sent to a host of their choice.
func CheckKept(before, after *Hook, kept Kept) error {
	if SameOrigin(before.TargetURL, after.TargetURL) {
		return nil
	}
	p := &ValidationError{}
	const again = "has to be sent again, because target_url has another scheme, host or port"
	if kept.APIKey && after.APIKey != "" {
		p.Add("/api_key", again)
	}
	if kept.Headers {
		for _, name := range sortedKeys(after.Headers) {
			if SecretHeader(name) {
				p.Add("/additional_headers/"+escapePointer(name), again)
			}
		}
	}
	if auth := after.Config.Auth; kept.Auth && auth != nil {
		for _, field := range auth.secrets() {
			if *field.value != "" {
				p.Add("/config/auth/"+field.name, again)
			}
		}
		for _, name := range sortedKeys(auth.Params) {
			p.Add("/config/auth/params/"+escapePointer(name), again)
		}
	}
	if kept.TLS && after.Config.TLS != nil && after.Config.TLS.ClientKey != "" {
		p.Add("/config/tls/client_key", again)
	}
	return p.OrNil()
}

// CheckChanged complains about each secret that is missing in an auth which takes the place of another: what is secret
// is kept only where nothing else of it changes. Pointers are relative to the hook.
func (a *Auth) CheckChanged() error {
	p := &ValidationError{}
	const again = "has to be sent, too, where something of auth changes"
	for _, field := range a.secrets() {
		if *field.value == "" {
			p.Add("/config/auth/"+field.name, again)
		}
	}
	for _, name := range sortedKeys(a.Params) {
		if a.Params[name] == hidden {
			p.Add("/config/auth/params/"+escapePointer(name), again)
		}
	}
	return p.OrNil()
}

// SecretHeader reports whether a header of that name is likely to have a secret in it.
func SecretHeader(name string) bool {
	name = strings.ToLower(name)
	words := []string{"auth", "credential", "key", "pass", "secret", "session", "signature", "token"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(name, word) })
}

// SameOrigin reports whether two URLs have the same scheme, host and port.
func SameOrigin(a, b string) bool { return origin(a) == origin(b) }

// origin is a URL's scheme, host and port; the URL itself where it is none.
func origin(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	switch {
	case port == "" && scheme == "http":
		port = "80"
	case port == "" && scheme == "https":
		port = "443"
	}
	return scheme + "://" + strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + port
}
