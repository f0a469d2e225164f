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

// ErrPolicy says that the operator's settings are not a valid policy.
var ErrPolicy = errors.New("invalid egress policy")

// Policy says where webhooks may be sent: to public addresses on the usual ports, and to what the operator allows in
// addition. The zero Policy allows nothing in addition. A Policy must not be changed once it is in use.
type Policy struct {
	// Allow lists networks that may be called on any port although they are not public. Addresses at which clouds
	// serve credentials stay forbidden unless they are listed individually (/32, /128).
	Allow []netip.Prefix
	// Ports are the permitted ports of public addresses; empty means 80, 443, 8080 and 8443.
	Ports []uint16
}

var defaultPorts = []uint16{80, 443, 8080, 8443}

// metadataAddrs are addresses at which clouds serve credentials and configuration to their machines.
var metadataAddrs = []netip.Addr{
	netip.AddrFrom4([4]byte{169, 254, 169, 254}),                           // AWS, Google, Azure and most others
	netip.AddrFrom4([4]byte{169, 254, 170, 2}),                             // AWS ECS
	netip.AddrFrom4([4]byte{100, 100, 100, 200}),                           // Alibaba
	netip.AddrFrom4([4]byte{192, 0, 0, 192}),                               // Oracle
	netip.AddrFrom4([4]byte{168, 63, 129, 16}),                             // Azure; the only public address of these
	netip.AddrFrom16([16]byte{0xfd, 0x00, 0x0e, 0xc2, 14: 0x02, 15: 0x54}), // AWS, fd00:ec2::254
	netip.AddrFrom16([16]byte{0xfd, 0x20, 0x00, 0xce, 14: 0x02, 15: 0x54}), // Google, fd20:ce::254
}

// ParsePolicy parses a policy from two comma-separated lists: networks ("10.1.0.0/16") or single addresses, and
// ports. Empty lists mean the same as in Policy. It returns ErrPolicy for anything else.
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

// parsePort parses a port in the usual notation: decimal, without sign or leading zeros.
func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != text {
		return 0, false
	}
	return uint16(n), true
}

// guard decides which addresses may be called.
type guard struct {
	policy Policy
	public *ssrf.Guardian
}

func newGuard(p Policy) guard {
	if len(p.Ports) == 0 {
		p.Ports = defaultPorts
	}
	// Ports are checked by the guard itself, because allowed networks may be called on any port.
	return guard{policy: p, public: ssrf.New(ssrf.WithAnyNetwork(), ssrf.WithAnyPort())}
}

// permits reports whether a connection to this address and port may be made. IPv4 addresses mapped to IPv6 are never
// permitted; callers unmap them first.
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

// allowsLoopback reports whether this machine may be called by name.
func (g guard) allowsLoopback() bool {
	return g.allows(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || g.allows(netip.IPv6Loopback())
}

// allowsAny reports whether the operator has listed any networks. If so, only the addresses behind a name tell
// whether the name is permitted.
func (g guard) allowsAny() bool { return len(g.policy.Allow) > 0 }
