package egress_test

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

func TestReceiversThatDoNotTakeTheConnection(t *testing.T) {
	t.Parallel()
	full := fullBacklog(t)
	client := newClient(t, egress.Options{DialTimeout: time.Second})
	got := do(t, client, "http://"+full, egress.Request{Timeout: 200 * time.Millisecond})
	require.Equal(t, webhook.ClassConnectTimeout, got.Class, "%v", got.Err)
	client = newClient(t, egress.Options{DialTimeout: 200 * time.Millisecond})
	got = post(t, client, "http://"+full)
	require.Equal(t, webhook.ClassConnectTimeout, got.Class, "%v", got.Err)
	require.Less(t, got.Duration, 5*time.Second)
}

func TestASilentAddressCostsAMomentOnce(t *testing.T) {
	t.Parallel()
	server := listenOn(t, "127.0.0.3:0", once(closing200))
	silent := fullBacklogOn(t, [4]byte{127, 0, 0, 6}, portNumber(t, server))
	client := newClient(t, egress.Options{Resolver: answers(silent + " 127.0.0.3")})
	url := "http://hooks.example.com:" + portOf(server)
	got := post(t, client, url)
	require.True(t, got.Success(), "%v", got.Err)
	const moment = 250 * time.Millisecond
	require.GreaterOrEqual(t, got.Timings.Connect, moment)
	require.Eventually(t, func() bool { // on a busy machine it may take longer, but not every time
		got := post(t, client, url)
		require.True(t, got.Success(), "%v", got.Err)
		require.Positive(t, got.Timings.Connect, "another connection")
		return got.Timings.Connect < moment
	}, time.Minute, time.Millisecond, "the good address is remembered")
}

func portNumber(t *testing.T, r *receiver) int {
	to, err := netip.ParseAddrPort(r.address)
	require.NoError(t, err)
	return int(to.Port())
}

// fullBacklog returns the address of a listening socket with a full backlog: the kernel drops further connections.
func fullBacklog(t *testing.T) string {
	t.Helper()
	host := [4]byte{127, 0, 0, 1}
	return net.JoinHostPort(net.IP(host[:]).String(), strconv.Itoa(occupy(t, host, 0)))
}

// fullBacklogOn is fullBacklog on the given port; it returns only the host.
func fullBacklogOn(t *testing.T, host [4]byte, port int) string {
	t.Helper()
	occupy(t, host, port)
	return net.IP(host[:]).String()
}

func occupy(t *testing.T, host [4]byte, port int) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: host, Port: port}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	port = name.(*syscall.SockaddrInet4).Port
	dialer := net.Dialer{Timeout: 100 * time.Millisecond}
	for range 3 {
		conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(net.IP(host[:]).String(), strconv.Itoa(port)))
		if err != nil {
			break
		}
		t.Cleanup(func() { conn.Close() })
	}
	return port
}
