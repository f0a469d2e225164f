package egress_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestHTTP1ByTLSIsLearnt(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}}
	server := listen(t, serveTLS(config, answering(next200)))
	client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
	url := "https://" + tlsName + ":" + portOf(server)
	for i := range 6 {
		got := do(t, client, url, egress.Request{Body: large[:i<<18]})
		require.True(t, got.Success(), "%v", got.Err)
		require.Equal(t, i == 0, got.Timings.TLS > 0, "the connection of the first handshake is kept")
	}
	require.Equal(t, int64(1), server.connections.Load())
	require.Equal(t, int64(6), server.requests.Load())
}

func TestAReceiverMayComeToPreferHTTP2(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	certificates := []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}
	var newer atomic.Bool
	protocols := make(chan string, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a success before the whole body is read would count as incomplete
		protocols <- r.Proto
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: certificates, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if newer.Load() {
			return nil, nil //nolint:nilnil // the config that it is asked of
		}
		return &tls.Config{Certificates: certificates, NextProtos: []string{"http/1.1"}}, nil
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
	for _, want := range []string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/2.0", "HTTP/2.0"} {
		newer.Store(want == "HTTP/2.0")
		got := post(t, client, "https://"+tlsName+server.URL[strings.LastIndexByte(server.URL, ':'):])
		require.True(t, got.Success(), "%v", got.Err)
		require.Equal(t, want, <-protocols)
	}
	require.Empty(t, protocols, "each came once")
}

func TestWhatComesByTLSAfterTheEndIsNotTheNextAnswer(t *testing.T) {
	t.Parallel()
	const evil = "HTTP/1.1 500 Evil\r\nContent-Length: 0\r\n\r\n"
	ca := testenv.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}}
	for name, answer := range map[string]func(conn *tls.Conn, answered <-chan struct{}){
		"in the same record": func(conn *tls.Conn, answered <-chan struct{}) {
			_, _ = io.WriteString(conn, empty200+evil)
			<-answered
		},
		"in another record": func(conn *tls.Conn, answered <-chan struct{}) {
			_, _ = io.WriteString(conn, empty200)
			_, _ = io.WriteString(conn, evil)
			<-answered
		},
		"later": func(conn *tls.Conn, answered <-chan struct{}) {
			_, _ = io.WriteString(conn, empty200)
			<-answered
			_, _ = io.WriteString(conn, evil)
		},
		"a goodbye": func(conn *tls.Conn, answered <-chan struct{}) {
			_, _ = io.WriteString(conn, empty200)
			<-answered
			_ = conn.CloseWrite()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answered, sent := make(chan struct{}), make(chan struct{})
			server := listen(t, serveTLS(config, func(r *receiver, conn net.Conn) {
				br := bufio.NewReader(conn)
				for r.readRequest(br) {
					if r.requests.Load() == 2 {
						answer(conn.(*tls.Conn), answered)
						close(sent)
						continue
					}
					_, _ = io.WriteString(conn, next200)
				}
			}))
			client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
			url := "https://" + tlsName + ":" + portOf(server)
			require.True(t, post(t, client, url).Success())
			require.True(t, post(t, client, url).Success())
			close(answered)
			<-sent
			for range 2 {
				got := post(t, client, url)
				require.True(t, got.Success(), "%v", got.Err)
				require.Equal(t, "next", string(got.Body))
			}
			require.Equal(t, int64(2), server.connections.Load())
			require.Equal(t, int64(4), server.requests.Load())
		})
	}
}

func TestTLSFailuresOfAKnownReceiverAreClassified(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}}
	for name, c := range map[string]struct {
		handle func(*receiver, net.Conn)
		class  webhook.ErrorClass
	}{
		"expired": {serveTLS(&tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(-time.Hour))}}, answering(empty200)), webhook.ClassTLSExpired},
		"asks for a certificate": {
			serveTLS(&tls.Config{Certificates: config.Certificates, ClientAuth: tls.RequireAnyClientCert}, answering(empty200)), webhook.ClassTLS,
		},
		"hangs":               {func(_ *receiver, conn net.Conn) { hang(conn) }, webhook.ClassTLS},
		"closes once secured": {serveTLS(config, func(*receiver, net.Conn) {}), webhook.ClassReset},
		"hangs once secured":  {serveTLS(config, func(_ *receiver, conn net.Conn) { hang(conn) }), webhook.ClassTimeout},
		"breaks off":          {serveTLS(config, once("HTTP/1.1 200 OK\r\nContent")), webhook.ClassProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, func(r *receiver, conn net.Conn) {
				if r.connections.Load() > 1 {
					c.handle(r, conn)
					return
				}
				serveTLS(config, once(strings.Replace(empty200, "\r\n", "\r\nConnection: close\r\n", 1)))(r, conn)
			})
			client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
			url := "https://" + tlsName + ":" + portOf(server)
			require.True(t, post(t, client, url).Success())
			timeout := 10 * time.Second
			if strings.HasPrefix(name, "hangs") {
				timeout = 3 * time.Second
			}
			got := do(t, client, url, egress.Request{Body: []byte("{}"), Timeout: timeout})
			require.Equal(t, c.class, got.Class, "%v", got.Err)
			require.Equal(t, int64(2), server.connections.Load())
		})
	}
}
