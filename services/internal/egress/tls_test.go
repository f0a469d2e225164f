package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
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
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

const tlsName = "hooks.example.com"

// serveTLS passes a connection to handle once its handshake is done.
func serveTLS(config *tls.Config, handle func(*receiver, net.Conn)) func(*receiver, net.Conn) {
	return func(r *receiver, conn net.Conn) {
		secured := tls.Server(conn, config)
		if secured.HandshakeContext(context.Background()) == nil {
			handle(r, secured)
		}
	}
}

func TestTLSFailuresAreClassified(t *testing.T) {
	t.Parallel()
	ours, theirs := testenv.NewAuthority(t), testenv.NewAuthority(t)
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-time.Hour)
	with := func(cert tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }
	old := with(ours.Issue(t, tlsName, tomorrow))
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	for name, c := range map[string]struct {
		handle func(*receiver, net.Conn)
		class  webhook.ErrorClass
	}{
		"good":                {serveTLS(with(ours.Issue(t, tlsName, tomorrow)), answering(empty200)), webhook.ClassNone},
		"unknown authority":   {serveTLS(with(theirs.Issue(t, tlsName, tomorrow)), answering(empty200)), webhook.ClassTLSUntrusted},
		"expired":             {serveTLS(with(ours.Issue(t, tlsName, yesterday)), answering(empty200)), webhook.ClassTLSExpired},
		"another host's":      {serveTLS(with(ours.Issue(t, "other.example.com", tomorrow)), answering(empty200)), webhook.ClassTLSHostname},
		"TLS 1.0 only":        {serveTLS(old, answering(empty200)), webhook.ClassTLSVersion},
		"plain HTTP":          {answering(empty200), webhook.ClassTLS},
		"speaks SSH":          {once("SSH-2.0-OpenSSH_9.2p1\r\n"), webhook.ClassTLS},
		"hangs":               {func(_ *receiver, conn net.Conn) { hang(conn) }, webhook.ClassTLS},
		"closes":              {func(*receiver, net.Conn) {}, webhook.ClassTLS},
		"resets":              {func(_ *receiver, conn net.Conn) { _, _ = conn.Read(make([]byte, 10)); reset(conn) }, webhook.ClassTLS},
		"closes once secured": {serveTLS(with(ours.Issue(t, tlsName, tomorrow)), func(*receiver, net.Conn) {}), webhook.ClassReset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, c.handle)
			options := egress.Options{RootCAs: ours.Pool, Resolver: answers("127.0.0.1")}
			if name == "hangs" {
				options.TLSHandshakeTimeout = 300 * time.Millisecond
			}
			client := newClient(t, options)
			got := post(t, client, "https://"+tlsName+":"+portOf(server))
			require.Equal(t, c.class, got.Class, "%v", got.Err)
			require.Less(t, got.Duration, 5*time.Second)
			if c.class != webhook.ClassNone {
				require.NotContains(t, got.Err.Error(), "example.com")
				require.Zero(t, server.requests.Load(), "nothing was sent")
				return
			}
			require.Positive(t, got.Timings.TLS)
		})
	}
}

func TestTheDeadlineHoldsDuringTheHandshake(t *testing.T) {
	t.Parallel()
	server := listen(t, func(_ *receiver, conn net.Conn) { hang(conn) })
	got := do(t, newClient(t, egress.Options{}), "https://"+server.address, egress.Request{Timeout: time.Second})
	require.Equal(t, webhook.ClassTLS, got.Class, "%v", got.Err)
	require.Less(t, got.Duration, 5*time.Second)
}

func TestHTTP2IsSpokenWithThoseWhoDo(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	var proto atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}}
	server.StartTLS()
	defer server.Close()
	client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
	url := "https://" + tlsName + server.URL[strings.LastIndexByte(server.URL, ':'):]
	for range 3 {
		got := do(t, client, url, egress.Request{Body: bytes.Repeat([]byte("x"), egress.MaxBody)})
		require.True(t, got.Success(), "%v", got.Err)
		require.Len(t, got.Body, egress.MaxBody)
		require.False(t, got.Truncated)
	}
	require.Equal(t, "HTTP/2.0", proto.Load())
	client.Close()
}

// h2 serves HTTP/2 frame by frame: handle gets every complete request.
func h2(t *testing.T, ca *testenv.Authority, handle func(f *http2.Framer, stream uint32) (goOn bool)) *receiver {
	var server *receiver
	server = h2Frames(t, ca, func(f *http2.Framer, frame http2.Frame, _ int) bool {
		if end, ok := frame.(*http2.DataFrame); ok && end.StreamEnded() {
			server.requests.Add(1)
			if !handle(f, end.StreamID) {
				for err := error(nil); err == nil; _, err = f.ReadFrame() { // until the other side closes
				}
				return false
			}
		}
		return true
	})
	return server
}

// h2Frames serves HTTP/2 frame by frame: handle gets each frame and the number of body bytes so far, until it returns
// false.
func h2Frames(t *testing.T, ca *testenv.Authority, handle func(f *http2.Framer, frame http2.Frame, body int) (goOn bool)) *receiver {
	config := &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}, NextProtos: []string{"h2"},
	}
	return listen(t, serveTLS(config, func(_ *receiver, conn net.Conn) {
		br := bufio.NewReader(conn)
		if _, err := io.CopyN(io.Discard, br, int64(len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(conn, br)
		if f.WriteSettings() != nil {
			return
		}
		body := 0
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if data, ok := frame.(*http2.DataFrame); ok {
				body += len(data.Data())
			}
			if !handle(f, frame, body) {
				return
			}
			if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
				_ = f.WriteSettingsAck()
			}
		}
	}))
}

func answerH2(f *http2.Framer, stream uint32, fields ...string) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	rest := block.Bytes()
	first := rest[:min(len(rest), 16<<10)]
	rest = rest[len(first):]
	_ = f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: first, EndStream: true, EndHeaders: len(rest) == 0,
	})
	for len(rest) > 0 {
		next := rest[:min(len(rest), 16<<10)]
		rest = rest[len(next):]
		_ = f.WriteContinuation(stream, len(rest) == 0, next)
	}
}

// A receiver sends GOAWAY and closes the connection while several requests are open. net/http reports each of them
// with a different text, depending on the moment.
func TestAnHTTP2ReceiverThatGoesAwayAmongManyRequestsResetsThemAll(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	server := h2Frames(t, ca, func(f *http2.Framer, frame http2.Frame, _ int) bool {
		if end, ok := frame.(*http2.DataFrame); !ok || !end.StreamEnded() {
			return true
		}
		_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
		return false
	})
	client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
	all := make([][16]egress.Response, 8)
	var hands sync.WaitGroup
	for hand := range all {
		hands.Go(func() {
			for i := range all[hand] {
				all[hand][i] = post(t, client, "https://"+tlsName+":"+portOf(server))
			}
		})
	}
	hands.Wait()
	for _, list := range all {
		for _, got := range list {
			require.Equal(t, webhook.ClassReset, got.Class, "%v", errors.Unwrap(got.Err))
		}
	}
}

func TestHTTP2ReceiversThatMisbehave(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	flood := []string{":status", "200"}
	for range 200 {
		flood = append(flood, "x-flood", strings.Repeat("x", 1000))
	}
	for name, c := range map[string]struct {
		handle   func(f *http2.Framer, stream uint32) bool
		class    webhook.ErrorClass
		requests int64
	}{
		"refuses the first stream, which was not processed then": {func(f *http2.Framer, stream uint32) bool {
			if stream == 1 {
				return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) == nil
			}
			answerH2(f, stream, ":status", "200")
			return true
		}, webhook.ClassNone, 2},
		"refuses every stream": {func(f *http2.Framer, stream uint32) bool {
			return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) == nil
		}, webhook.ClassReset, 3},
		"resets the stream": {func(f *http2.Framer, stream uint32) bool {
			return f.WriteRSTStream(stream, http2.ErrCodeInternal) == nil
		}, webhook.ClassReset, 1},
		"goes away before it takes any stream": {func(f *http2.Framer, _ uint32) bool {
			_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
			return false
		}, webhook.ClassReset, 0},
		"goes away after it took the stream": {func(f *http2.Framer, stream uint32) bool {
			_ = f.WriteGoAway(stream, http2.ErrCodeNo, nil)
			answerH2(f, stream, ":status", "200")
			return true
		}, webhook.ClassNone, 1},
		"floods headers in continuations": {func(f *http2.Framer, stream uint32) bool {
			answerH2(f, stream, flood...)
			return false
		}, webhook.ClassHeaders, 1},
		"never answers": {func(*http2.Framer, uint32) bool { return false }, webhook.ClassTimeout, 1},
		"sends a frame that is none": {func(f *http2.Framer, stream uint32) bool {
			return f.WriteRawFrame(http2.FrameHeaders, 0, stream, []byte("\xff\xff\xff junk")) == nil
		}, webhook.ClassProtocol, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := h2(t, ca, c.handle)
			client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
			got := post(t, client, "https://"+tlsName+":"+portOf(server))
			require.Equal(t, c.class, got.Class, "%v", got.Err)
			if c.requests > 0 { // otherwise the number depends on net/http
				require.Equal(t, c.requests, server.requests.Load())
			}
		})
	}
}
