package webhook

import (
	"net/url"
	"slices"
	"strings"
)

// Kept says which secrets a change of a hook did not send again; they stay as they are stored.
type Kept struct{ APIKey, Headers, Auth, TLS bool }

// CheckKept refuses to keep a secret if the target URL has a new scheme, host or port. Otherwise anybody who can
// change a hook could have its secrets, which nobody may read, sent to a host of their choice.
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

// CheckChanged reports each secret that is missing in an auth that replaces another: secrets are only kept if nothing
// else of auth changes. Pointers are relative to the hook.
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

// SecretHeader reports whether a header of that name is likely to contain a secret.
func SecretHeader(name string) bool {
	name = strings.ToLower(name)
	words := []string{"auth", "credential", "key", "pass", "secret", "session", "signature", "token"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(name, word) })
}

// SameOrigin reports whether two URLs have the same scheme, host and port.
func SameOrigin(a, b string) bool { return origin(a) == origin(b) }

// origin returns a URL's scheme, host and port, or the text itself if it is not a URL.
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
