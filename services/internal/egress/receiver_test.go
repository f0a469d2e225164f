package egress_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback returns a policy that allows the addresses of the tests' receivers.
func loopback(tb testing.TB) egress.Policy {
	tb.Helper()
	p, err := egress.ParsePolicy("127.0.0.0/8", "")
	require.NoError(tb, err)
	return p
}

// newClient returns a client that may call loopback addresses.
func newClient(tb testing.TB, o egress.Options) *egress.Client {
	tb.Helper()
	o.Policy = loopback(tb)
	c := egress.NewClient(o)
	tb.Cleanup(c.Close)
	return c
}

// post sends a small body with a deadline that no test should reach.
func post(tb testing.TB, c *egress.Client, url string) egress.Response {
	tb.Helper()
	return do(tb, c, url, egress.Request{Timeout: 10 * time.Second, Body: []byte(`{"a":1}`)})
}

func do(tb testing.TB, c *egress.Client, url string, r egress.Request) egress.Response {
	tb.Helper()
	target, err := c.Prepare(url)
	require.NoError(tb, err)
	r.Target = target
	return c.Do(tb.Context(), r)
}

// receiver is a TCP server that sends whatever its handler writes.
type receiver struct {
	address     string
	connections atomic.Int64
	requests    atomic.Int64
}

func (r *receiver) url() string { return "http://" + r.address + "/hook" }

// listen passes every connection to handle, on a port of its own. It closes the connection when handle returns.
func listen(tb testing.TB, handle func(r *receiver, conn net.Conn)) *receiver {
	tb.Helper()
	return listenOn(tb, "127.0.0.1:0", handle)
}

func listenOn(tb testing.TB, address string, handle func(r *receiver, conn net.Conn)) *receiver {
	tb.Helper()
	var config net.ListenConfig
	l, err := config.Listen(tb.Context(), "tcp", address)
	require.NoError(tb, err)
	r := &receiver{address: l.Addr().String()}
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.connections.Add(1)
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			go func() {
				defer stop()
				defer conn.Close()
				handle(r, conn)
			}()
		}
	}()
	tb.Cleanup(func() {
		cancel()
		l.Close()
		<-done
	})
	return r
}

// closedPort returns an address without a listener.
func closedPort(t *testing.T) string {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// readRequest reads one request with its body. It returns false at the end of the connection.
func (r *receiver) readRequest(br *bufio.Reader) bool {
	req, err := http.ReadRequest(br)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	r.requests.Add(1)
	return err == nil
}

// answering answers every request with the same text.
func answering(answer string) func(*receiver, net.Conn) {
	return func(r *receiver, conn net.Conn) {
		br := bufio.NewReader(conn)
		for r.readRequest(br) {
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

// hang waits until the other side closes.
func hang(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// drip writes one byte at a time until the other side closes.
func drip(conn net.Conn, every time.Duration, text string) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; ; i++ {
		<-tick.C
		if _, err := conn.Write([]byte{text[i%len(text)]}); err != nil {
			return
		}
	}
}

// reset ends a connection with RST.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// names is a resolver that gives its answers one after the other and repeats the last one.
type names struct {
	answers [][]netip.Addr
	asked   atomic.Int64
	err     error
	block   bool
}

func answers(list ...string) *names {
	n := &names{}
	for _, answer := range list {
		var addrs []netip.Addr
		for text := range strings.FieldsSeq(answer) {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		n.answers = append(n.answers, addrs)
	}
	return n
}

func (n *names) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	i := int(n.asked.Add(1)) - 1
	if n.block {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if n.err != nil {
		return nil, n.err
	}
	return n.answers[min(i, len(n.answers)-1)], nil
}
