package daemon

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of trusted proxies. Their X-Forwarded-For and X-Forwarded-Proto headers are used, and
// their connections do not count towards the limit per client.
type Proxies []netip.Prefix

// ParseProxies parses a comma-separated list of networks and addresses.
func ParseProxies(list string) (Proxies, error) {
	var proxies Proxies
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(one)
		if err != nil {
			addr, addrErr := netip.ParseAddr(one)
			if addrErr != nil {
				return nil, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", one)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		proxies = append(proxies, prefix.Masked())
	}
	return proxies, nil
}

func (p Proxies) contain(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// ClientAddr returns the address of the client that made the request: the one that a trusted proxy reports, or else
// the connection's. IPv6 addresses are reduced to their /64 network, all of which usually belongs to one client. It
// returns the zero value if the address is unknown.
func ClientAddr(r *http.Request) netip.Addr {
	s, ok := r.Context().Value(serverKey{}).(served)
	if !ok || s.conn == nil {
		return groupOf(addrOf(r.RemoteAddr))
	}
	if !s.conn.proxied {
		return s.conn.group()
	}
	// Each proxy appends the address that it got the request from. Read from the right, the first one that is not a
	// trusted proxy is the client. Anything further left is the client's own claim.
	client := s.conn.addr
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr := addrOf(strings.TrimSpace(hop))
		if !addr.IsValid() {
			break
		}
		client = addr
		if !s.server.options.Proxies.contain(addr) {
			break
		}
	}
	return groupOf(client)
}

// Encrypted reports whether the client used TLS, either to us or to a trusted proxy. Of several proxies, the last
// one's report counts.
func Encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	s, ok := r.Context().Value(serverKey{}).(served)
	if !ok || s.conn == nil || !s.conn.proxied {
		return false
	}
	said := strings.Join(r.Header.Values("X-Forwarded-Proto"), ",")
	return strings.EqualFold(strings.TrimSpace(said[strings.LastIndexByte(said, ',')+1:]), "https")
}

// addrOf parses an address with or without a port.
func addrOf(text string) netip.Addr {
	if both, err := netip.ParseAddrPort(text); err == nil {
		return both.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func groupOf(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	const network = 64
	return netip.PrefixFrom(addr, network).Masked().Addr()
}
