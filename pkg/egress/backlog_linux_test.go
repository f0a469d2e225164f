package egress_test

import (
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/egress"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
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

// fullBacklog returns the address of a socket that takes no more connections: the kernel drops what comes.
func fullBacklog(t *testing.T) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	address := "127.0.0.1:" + strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
	dialer := net.Dialer{Timeout: 100 * time.Millisecond}
	for range 3 {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
	return address
}
