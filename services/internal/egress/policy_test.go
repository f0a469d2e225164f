package egress_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

func TestParsePolicy(t *testing.T) {
	t.Parallel()
	p, err := egress.ParsePolicy(" 10.1.2.3/8, fd00::/8 ,192.168.1.5,, ::1", "443, 9000")
	require.NoError(t, err)
	require.Equal(t, egress.Policy{
		Allow: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
			netip.MustParsePrefix("192.168.1.5/32"), netip.MustParsePrefix("::1/128"),
		},
		Ports: []uint16{443, 9000},
	}, p)

	p, err = egress.ParsePolicy("", " ")
	require.NoError(t, err)
	require.Equal(t, egress.Policy{}, p, "empty lists are the defaults")
}

func TestParsePolicyRefusesWhatIsNoNetworkOrPort(t *testing.T) {
	t.Parallel()
	for _, allow := range []string{"localhost", "10.0.0.0/33", "10.0.0", "fe80::1%lo", "::ffff:10.0.0.1", "*", "10.0.0.0/8;"} {
		_, err := egress.ParsePolicy(allow, "")
		require.ErrorIs(t, err, egress.ErrPolicy, allow)
	}
	for _, ports := range []string{"0", "65536", "-1", "+80", "080", "http", "80-90", "80 443"} {
		_, err := egress.ParsePolicy("", ports)
		require.ErrorIs(t, err, egress.ErrPolicy, ports)
	}
}

func TestMetadataAddressesNeedToBeAllowedByThemselves(t *testing.T) {
	t.Parallel()
	for addr, network := range map[string]string{
		"169.254.169.254": "169.254.0.0/16", "169.254.170.2": "0.0.0.0/0", "100.100.100.200": "100.64.0.0/10",
		"192.0.0.192": "192.0.0.0/24", "168.63.129.16": "168.63.0.0/16", "[fd00:ec2::254]": "fd00::/8", "[fd20:ce::254]": "::/0",
	} {
		wide, err := egress.ParsePolicy(network, "")
		require.NoError(t, err)
		_, err = wide.CheckURL("http://" + addr + "/")
		require.Error(t, err, "%s in %s", addr, network)

		exact, err := egress.ParsePolicy(netip.MustParseAddr(trimBrackets(addr)).String(), "")
		require.NoError(t, err)
		_, err = exact.CheckURL("http://" + addr + "/")
		require.NoError(t, err, addr)
	}
}

func trimBrackets(host string) string {
	if host[0] == '[' {
		return host[1 : len(host)-1]
	}
	return host
}
