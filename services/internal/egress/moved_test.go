package egress_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// TestAReceiverThatMovesIsFollowed sends continuously, like a busy hook whose connections are never idle for long.
func TestAReceiverThatMovesIsFollowed(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	for _, protocol := range []string{"http", "http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var before, after atomic.Int64
			serve := func(address string, count *atomic.Int64) *httptest.Server {
				l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
				require.NoError(t, err)
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					count.Add(1)
				}))
				s.Listener.Close()
				s.Listener = l
				if protocol == "http" {
					s.Start()
				} else {
					s.EnableHTTP2 = protocol == "h2"
					s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}}
					s.StartTLS()
				}
				t.Cleanup(s.Close)
				return s
			}
			old := serve("127.0.0.2:0", &before)
			port := old.Listener.Addr().String()[len("127.0.0.2"):]
			serve("127.0.0.3"+port, &after)
			resolver := answers("127.0.0.2", "127.0.0.3")
			client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: resolver, ConnectionAge: time.Second})
			url := "https://" + tlsName + port
			if protocol == "http" {
				url = "http://" + tlsName + port
			}
			started := time.Now()
			for after.Load() == 0 {
				got := post(t, client, url)
				require.True(t, got.Success(), "%v", got.Err)
				require.Less(t, time.Since(started), 30*time.Second, "the old address is used for ever")
			}
			require.Positive(t, before.Load())
			require.Equal(t, int64(2), resolver.asked.Load(), "a young connection is used again")
		})
	}
}

func TestAllAddressesOfANameAreTried(t *testing.T) {
	t.Parallel()
	server := listenOn(t, "127.0.0.3:0", answering(empty200))
	for _, list := range []string{
		"127.0.0.4 127.0.0.5 127.0.0.7 127.0.0.3", "127.0.0.3 127.0.0.4", "127.0.0.4 127.0.0.5 127.0.0.7 127.0.0.8 127.0.0.9 127.0.0.10 127.0.0.11 127.0.0.3",
	} {
		client := newClient(t, egress.Options{Resolver: answers(list)})
		got := post(t, client, "http://hooks.example.com:"+portOf(server))
		require.True(t, got.Success(), "%s: %v", list, got.Err)
	}
}

func TestARememberedAddressThatTheNameHasNoMoreIsNotCalled(t *testing.T) {
	t.Parallel()
	old := listenOn(t, "127.0.0.3:0", once(closing200))
	now := listenOn(t, "127.0.0.4:"+portOf(old), once(closing200))
	client := newClient(t, egress.Options{Resolver: answers("127.0.0.3 127.0.0.9", "127.0.0.9 127.0.0.4")})
	url := "http://hooks.example.com:" + portOf(old)
	require.True(t, post(t, client, url).Success())
	require.True(t, post(t, client, url).Success())
	require.Equal(t, int64(1), old.connections.Load())
	require.Equal(t, int64(1), now.connections.Load())
}

func TestARememberedAddressIsStillJudged(t *testing.T) {
	t.Parallel()
	server := listenOn(t, "127.0.0.3:0", once(closing200))
	policy, err := egress.ParsePolicy("127.0.0.3,127.0.0.4", "")
	require.NoError(t, err)
	client := egress.NewClient(egress.Options{Policy: policy, Resolver: answers("127.0.0.3 127.0.0.4", "127.0.0.3 127.0.0.1")})
	t.Cleanup(client.Close)
	url := "http://hooks.example.com:" + portOf(server)
	require.True(t, post(t, client, url).Success())
	got := post(t, client, url)
	require.EqualError(t, got.Err, "the target is blocked: private addresses need WHISPERER_EGRESS_ALLOW")
	require.Equal(t, int64(1), server.connections.Load())
}

// TestPathsAndQueriesLeaveAsTheyWereWritten tests every protocol.
func TestPathsAndQueriesLeaveAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	for _, protocol := range []string{"http", "http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var came []string
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				defer mu.Unlock()
				came = append(came, r.RequestURI)
			}))
			url := "http://"
			if protocol == "http" {
				server.Start()
			} else {
				server.EnableHTTP2 = protocol == "h2"
				server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}}
				server.StartTLS()
				url = "https://"
			}
			defer server.Close()
			client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
			defer client.Close()
			url += tlsName + server.URL[strings.LastIndexByte(server.URL, ':'):]
			for _, path := range []string{
				"/t/a%2Fb/{prod}?q=a+b%20c&x=%2F", "/", "/a%2fb", "/%7Ea/~b", "/a//b/../c/./d", "//a//b", "//a%2Fb/{c}?{d}=//", "/a;b=c,d/e:f@g!$&'()*+,;=",
				`/a|b^c"d<e>f` + "`", "/hook?", "/hook??a=b?", "/?a=%zz", "/hook?a=b&a=b&=&", "/%C3%BC/%FF", "/a+b%2B",
			} {
				got := post(t, client, url+path)
				require.True(t, got.Success(), "%s: %v", path, got.Err)
				require.Equal(t, path, came[len(came)-1])
			}
			for path, want := range map[string]string{"": "/", "?a=b": "/?a=b", "/ü?é": "/%C3%BC?%C3%A9"} {
				require.True(t, post(t, client, url+path).Success())
				require.Equal(t, want, came[len(came)-1])
			}
		})
	}
}

func TestNamesOfHeadersAreSentAsTheyAreSpelt(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	heads := make(chan string, 10)
	handle := func(_ *receiver, conn net.Conn) {
		buf := make([]byte, 4<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			heads <- string(buf[:n])
			_, _ = io.WriteString(conn, empty200)
		}
	}
	plain := listen(t, handle)
	secured := listen(t, serveTLS(&tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}}, handle))
	client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
	for _, url := range []string{plain.url(), "https://" + tlsName + ":" + portOf(secured)} {
		for range 2 { // the first request by TLS learns the protocol
			header := egress.Header{{Name: "SOAPAction", Value: `"x"`}, {Name: "ETag", Value: " \tpadded "}, {Name: "x-lower", Value: "1"}, {Name: "user-agent", Value: "shop"}}
			header.Set("etag", "2")
			got := do(t, client, url, egress.Request{Header: header})
			require.True(t, got.Success(), "%v", got.Err)
			head := <-heads
			for _, line := range []string{"\r\nSOAPAction: \"x\"\r\n", "\r\nETag: 2\r\n", "\r\nx-lower: 1\r\n", "\r\nUser-Agent: shop\r\n"} {
				require.Contains(t, head, line)
			}
			require.NotContains(t, head, "Whisperer")
		}
	}
}
