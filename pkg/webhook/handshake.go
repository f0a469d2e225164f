package webhook

import (
	"net/url"
	"slices"
	"strings"
)

// Handshake says which receivers have to agree before a tenant's hooks send to them, by the handshake of CloudEvents' HTTP 1.1 Web Hooks
// for Event Delivery.
type Handshake string

// The policies.
const (
	HandshakeOff Handshake = "off"
	// HandshakeNewHosts asks hosts that no hook of the tenant has.
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

// AllowedOrigin reports whether a receiver that answers this has agreed to be sent to from the origin, a host's name.
func AllowedOrigin(answer []string, origin string) bool {
	return slices.ContainsFunc(answer, func(allowed string) bool {
		allowed = strings.TrimSpace(allowed)
		return allowed == "*" || strings.EqualFold(allowed, origin)
	})
}

// OriginOf is the scheme, host and port of a URL, which tell one receiver's server from another's.
func OriginOf(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// Destination is a place that a hook sends to, and the pointer of the field that says so.
type Destination struct{ Pointer, URL string }

// Destinations are where the hook sends: its target, and its callback's.
func (h *Hook) Destinations() []Destination {
	list := []Destination{{"/target_url", h.TargetURL}}
	if h.Callback != nil && h.Callback.URL != "" {
		list = append(list, Destination{"/callback/url", h.Callback.URL})
	}
	return list
}
