package daemon_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// soon is long enough for everything in these tests, except on a machine that hangs.
const soon = time.Minute

// serveHTTP runs a server until the test ends; stop ends it earlier.
func serveHTTP(t *testing.T, o daemon.ServerOptions) (addr string, stop func() error) {
	t.Helper()
	o.Name, o.Addr, o.Metrics = "test", "127.0.0.1:0", prometheus.NewRegistry()
	if o.StopTimeout == 0 {
		o.StopTimeout = soon
	}
	s, err := daemon.NewServer(t.Context(), o)
	require.NoError(t, err)
	stop, err = daemon.Start(t.Context(), zap.NewNop(), daemon.Component{Name: "http", Run: s.Serve, StopTimeout: 2 * soon})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	return s.Addr(), stop
}

// dial opens a connection and sends the text.
func dial(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: soon}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return conn
}

// answerOn reads a response from the connection.
func answerOn(t *testing.T, conn net.Conn) (status int, body string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(content)
}

func TestAClientThatSendsNoBodyIsAnsweredAndLetGo(t *testing.T) {
	t.Parallel()
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) })
	addr, _ := serveHTTP(t, daemon.ServerOptions{Handler: refuse})
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		for _, head := range []string{"Content-Length: 100000", "Content-Length: 100", "Transfer-Encoding: chunked"} {
			conn := dial(t, addr, method+" / HTTP/1.1\r\nHost: x\r\n"+head+"\r\n\r\n1")
			status, body := answerOn(t, conn)
			require.Equal(t, http.StatusUnauthorized, status, method+head)
			require.Equal(t, "no\n", body)
			_, err := io.Copy(io.Discard, conn)
			require.NoError(t, err, "the connection is closed")
		}
	}
}

func TestABodyThatArrivesTooSlowlyIsGivenUp(t *testing.T) {
	t.Parallel()
	told := make(chan error, 1)
	read := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		told <- err
	})
	addr, _ := serveHTTP(t, daemon.ServerOptions{Handler: read})
	dial(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n1")
	require.ErrorIs(t, <-told, daemon.ErrSlowBody)
}

func TestASmallBodyThatNobodyReadsKeepsTheConnection(t *testing.T) {
	t.Parallel()
	addr, _ := serveHTTP(t, daemon.ServerOptions{Handler: http.NotFoundHandler()})
	const request = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	conn := dial(t, addr, request+request)
	in := bufio.NewReader(conn)
	for range 2 {
		answer, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.False(t, answer.Close)
	}
}

func TestAClientThatSendsAllBeforeItReadsSeesTheRefusal(t *testing.T) {
	t.Parallel()
	refuse := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}
	})
	addr, _ := serveHTTP(t, daemon.ServerOptions{Handler: refuse})
	const size = 24 << 20
	for _, early := range []string{"Content-Length: %d\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n%x\r\n"} {
		conn := dial(t, addr, "POST / HTTP/1.1\r\nHost: x\r\n"+fmt.Sprintf(early, size))
		_, err := io.WriteString(conn, strings.Repeat("x", size))
		require.NoError(t, err, "all of it is taken")
		status, body := answerOn(t, conn)
		require.Equal(t, http.StatusRequestEntityTooLarge, status)
		require.Equal(t, "too large\n", body)
	}
}

func TestTheConnectionThatKeepsTheServerWaitingLongestMakesRoom(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			begun <- struct{}{}
			<-end
		}
		_, _ = io.WriteString(w, "fine")
	})
	for name, bound := range map[string]daemon.ServerOptions{
		"in all": {MaxConns: 4}, "of one address": {MaxConns: 100, MaxConnsPerAddr: 4},
	} {
		bound.Handler = handler
		addr, _ := serveHTTP(t, bound)
		long := dial(t, addr, "GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
		<-begun
		var held []net.Conn
		for _, text := range []string{"", "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1", "", "", "GET", ""} {
			held = append(held, dial(t, addr, text))
		}
		for range 20 { // each replaces a held connection, and later the previous one of these
			status, _ := answerOn(t, dial(t, addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			require.Equal(t, http.StatusOK, status, name)
		}
		for _, conn := range held[:4] {
			_, err := io.Copy(io.Discard, conn)
			if err != nil {
				require.ErrorContains(t, err, "reset", name)
			}
		}
		end <- struct{}{}
		status, body := answerOn(t, long)
		require.Equal(t, http.StatusOK, status, "%s: what is being worked on is not given up", name)
		require.Equal(t, "fine", body)
	}
}

func TestAStopDoesNotWaitForThoseWhoNeverFinish(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		switch r.URL.Path {
		case "/tail":
			<-daemon.Stopping(r.Context())
		case "/big":
			_, _ = io.Copy(w, io.LimitReader(zeros{}, 1<<30))
		default:
			_, _ = io.ReadAll(r.Body)
		}
	})
	addr, stop := serveHTTP(t, daemon.ServerOptions{Handler: handler, StopTimeout: 10 * time.Minute})
	for _, text := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n1", "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", "GET /tail HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		dial(t, addr, text)
		<-begun
	}
	dial(t, addr, "GET / HT")
	dial(t, addr, "")
	require.NoError(t, stop())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTheClientsAddressIsThatBeforeTheLastTrustedProxy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ proxies, forwarded, want string }{
		"no proxy":                     {"", "", "127.0.0.1"},
		"a client's own claim":         {"", "192.0.2.7", "127.0.0.1"},
		"one proxy":                    {"127.0.0.0/8", "192.0.2.7", "192.0.2.7"},
		"a claim before the proxy":     {"127.0.0.1", "10.9.9.9, 192.0.2.7", "192.0.2.7"},
		"two proxies":                  {"127.0.0.1,10.0.0.0/8", "192.0.2.7, 10.1.2.3", "192.0.2.7"},
		"with a port":                  {"127.0.0.1", "192.0.2.7:4711", "192.0.2.7"},
		"IPv6, of which only the half": {"127.0.0.1", "[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::"},
		"nonsense":                     {"127.0.0.1", "unknown", "127.0.0.1"},
		"a proxy that says nothing":    {"127.0.0.1", "", "127.0.0.1"},
	}
	for name, test := range tests {
		proxies, err := daemon.ParseProxies(test.proxies)
		require.NoError(t, err)
		addr, _ := serveHTTP(t, daemon.ServerOptions{Proxies: proxies, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, daemon.ClientAddr(r).String())
		})})
		_, body := answerOn(t, dial(t, addr, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: "+test.forwarded+"\r\n\r\n"))
		require.Equal(t, test.want, body, name)
	}
	_, err := daemon.ParseProxies("10.0.0.0/8, proxy.example")
	require.ErrorContains(t, err, `"proxy.example"`)
	require.Equal(t, "192.0.2.1", daemon.ClientAddr(httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/", nil)).String())
}
