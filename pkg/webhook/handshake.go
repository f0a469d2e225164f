package webhook

import (
	"net/url"
	"slices"
	"strings"
)

// Handshake says which receivers must agree before a tenant's hooks send to them, by the handshake of CloudEvents'
// HTTP 1.1 Web Hooks for Event Delivery.
type Handshake string

// The policies.
const (
	HandshakeOff Handshake = "off"
	// HandshakeNewHosts asks hosts that no hook of the tenant uses yet.
	HandshakeNewHosts Handshake = "new_hosts"
	// HandshakeAlways asks for each hook that is new or gets another host.
	HandshakeAlways Handshake = "always"
)

// Handshakes lists the policies, the default first.
func Handshakes() []Handshake { return []Handshake{HandshakeOff, HandshakeNewHosts, HandshakeAlways} }

// Headers of the handshake.
const (
	HeaderRequestOrigin = "WebHook-Request-Origin"
	HeaderAllowedOrigin = "WebHook-Allowed-Origin"
)

// AllowedOrigin reports whether a receiver with this answer has agreed to get requests from the origin, a host name.
func AllowedOrigin(answer []string, origin string) bool {
	return slices.ContainsFunc(answer, func(allowed string) bool {
		allowed = strings.TrimSpace(allowed)
		return allowed == "*" || strings.EqualFold(allowed, origin)
	})
}

// OriginOf returns the scheme, host and port of a URL, which identify the receiver's server.
func OriginOf(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// Destination is a URL that a hook sends to, and the pointer of the field that contains it.
type Destination struct{ Pointer, URL string }

// Destinations returns the URLs that the hook sends to: its target and its callback.
func (h *Hook) Destinations() []Destination {
	list := []Destination{{"/target_url", h.TargetURL}}
	if h.Callback != nil && h.Callback.URL != "" {
		list = append(list, Destination{"/callback/url", h.Callback.URL})
	}
	return list
}
