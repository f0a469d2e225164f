package daemon

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are networks whose X-Forwarded-For and X-Forwarded-Proto are believed, and whose connections are not counted as one client's.
type Proxies []netip.Prefix

// ParseProxies reads networks and addresses that are separated by commas.
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

// ClientAddr is the address of the client that made the request, as far as it is known: what a proxy that is trusted says,
// and otherwise where the connection comes from. IPv6 addresses are cut to their network of 64 bits, of which one client has
// all. It is the zero value where nothing is known.
func ClientAddr(r *http.Request) netip.Addr {
	s, ok := r.Context().Value(serverKey{}).(served)
	if !ok || s.conn == nil {
		return groupOf(addrOf(r.RemoteAddr))
	}
	if !s.conn.proxied {
		return s.conn.group()
	}
	// Each proxy appends whom it heard: from the right, the first that is no proxy is the client. Further left is its claim.
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

// Encrypted reports whether the client made the request over TLS, as far as that is known: to us, or to a proxy that is
// trusted, of several the last.
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

// addrOf reads an address with or without a port.
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
