package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"code.dny.dev/ssrf"
)

// ErrPolicy says that an operator's settings make no policy.
var ErrPolicy = errors.New("invalid egress policy")

// Policy says where webhooks may go: to public addresses on the usual ports, and wherever the operator allows besides.
// The zero Policy allows nothing besides. It must not be changed once it is in use.
type Policy struct {
	// Allow lists networks that may be called although they are not public, on any port. Addresses at which clouds
	// serve credentials stay forbidden unless they are listed by themselves (/32, /128).
	Allow []netip.Prefix
	// Ports of public addresses that may be called; empty for 80, 443, 8080 and 8443.
	Ports []uint16
}

var defaultPorts = []uint16{80, 443, 8080, 8443}

// metadataAddrs are where clouds serve credentials and configuration to the machines in them.
var metadataAddrs = []netip.Addr{
	netip.AddrFrom4([4]byte{169, 254, 169, 254}),                           // AWS, Google, Azure, and nearly everybody else
	netip.AddrFrom4([4]byte{169, 254, 170, 2}),                             // AWS ECS
	netip.AddrFrom4([4]byte{100, 100, 100, 200}),                           // Alibaba
	netip.AddrFrom4([4]byte{192, 0, 0, 192}),                               // Oracle
	netip.AddrFrom4([4]byte{168, 63, 129, 16}),                             // Azure; unlike the others a public address
	netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54}), // AWS, fd00:ec2::254
	netip.AddrFrom16([16]byte{0xfd, 0x20, 0x00, 0xce, 14: 0x02, 15: 0x54}), // Google, fd20:ce::254
}

// ParsePolicy reads a policy from two comma separated lists: networks ("10.1.0.0/16") or single addresses, and ports.
// Empty lists mean what they mean in Policy. It returns ErrPolicy for anything else.
func ParsePolicy(allowCSV, portsCSV string) (Policy, error) {
	var p Policy
	for _, text := range split(allowCSV) {
		prefix, err := parsePrefix(text)
		if err != nil || prefix.Addr().Is4In6() {
			return Policy{}, fmt.Errorf("parse allowed network %q: %w", text, ErrPolicy)
		}
		p.Allow = append(p.Allow, prefix.Masked())
	}
	for _, text := range split(portsCSV) {
		port, ok := parsePort(text)
		if !ok {
			return Policy{}, fmt.Errorf("parse allowed port %q: %w", text, ErrPolicy)
		}
		p.Ports = append(p.Ports, port)
	}
	return p, nil
}

func split(csv string) []string {
	parts := strings.Split(csv, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return slices.DeleteFunc(parts, func(s string) bool { return s == "" })
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("parse network: %w", err)
		}
		return prefix, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("parse address: %w", err)
	}
	if addr.Zone() != "" {
		return netip.Prefix{}, errors.New("parse address: it has a zone")
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// parsePort reads a port as it is usually written: decimal, without sign or leading zeros.
func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return 0, false
	}
	return uint16(n), true
}

// guard decides about addresses.
type guard struct {
	policy Policy
	public *ssrf.Guardian
}

func newGuard(p Policy) guard {
	if len(p.Ports) == 0 {
		p.Ports = defaultPorts
	}
	// Ports are the guard's own rule, because allowed networks may be called on any.
	return guard{policy: p, public: ssrf.New(ssrf.WithAnyNetwork(), ssrf.WithAnyPort())}
}

// permits reports whether a connection to this address and port may be made. IPv4 inside IPv6 is never permitted as
// such: a caller that means the IPv4 address unmaps it first.
func (g guard) permits(to netip.AddrPort) bool {
	addr := to.Addr()
	switch {
	case g.allows(addr):
		return true
	case slices.Contains(metadataAddrs, addr):
		return false
	default:
		return g.portPermitted(to.Port()) && g.public.SafeAddr(addr) == nil
	}
}

// allows reports whether the operator has listed the address.
func (g guard) allows(addr netip.Addr) bool {
	metadata := slices.Contains(metadataAddrs, addr)
	return slices.ContainsFunc(g.policy.Allow, func(p netip.Prefix) bool {
		return p.Contains(addr) && (p.IsSingleIP() || !metadata)
	})
}

func (g guard) portPermitted(port uint16) bool { return slices.Contains(g.policy.Ports, port) }

// allowsLoopback reports whether this machine itself may be called by name.
func (g guard) allowsLoopback() bool {
	return g.allows(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || g.allows(netip.IPv6Loopback())
}

// allowsAny reports whether there are inside networks that may be called. Then only the addresses behind a name tell
// whether it may be.
func (g guard) allowsAny() bool { return len(g.policy.Allow) > 0 }
