package egress_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// narrow listens with small buffers for unread data, like a slow or busy receiver.
func narrow(t *testing.T, handle func(r *receiver, conn net.Conn)) *receiver {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
		})
	}}
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &receiver{address: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close() })
	go func() {
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
	return r
}

// early answers as soon as it has read the head of the request.
func early(conn net.Conn, answer string) (*http.Request, *bufio.Reader) {
	br := bufio.NewReaderSize(conn, 512)
	req, err := http.ReadRequest(br)
	if err == nil {
		_, err = io.WriteString(conn, answer)
	}
	if err != nil {
		return nil, br
	}
	return req, br
}

func TestAnEarlySuccessWaitsForTheRestOfTheRequest(t *testing.T) {
	t.Parallel()
	const ok, size = "HTTP/1.1 200 OK\r\n", 1_000_000
	pause := func() { <-time.After(300 * time.Millisecond) }
	for name, c := range map[string]struct {
		answer string
		goOn   func(req *http.Request, conn net.Conn) (got int64)
		class  webhook.ErrorClass
		got    int64 // bytes of the body; -1 for any number
	}{
		"reads on after a while": {ok + "Content-Length: 0\r\n\r\n", func(req *http.Request, _ net.Conn) int64 {
			pause()
			n, _ := io.Copy(io.Discard, req.Body)
			return n
		}, webhook.ClassNone, size},
		"reads on, then closes": {ok + "Connection: close\r\n\r\n", func(req *http.Request, conn net.Conn) int64 {
			pause()
			n, _ := io.Copy(io.Discard, req.Body)
			conn.Close()
			return n
		}, webhook.ClassNone, size},
		"reads on while it answers much": {ok + "Content-Length: 4000000\r\n\r\n", func(req *http.Request, conn net.Conn) int64 {
			_, _ = conn.Write(make([]byte, 4_000_000))
			n, _ := io.Copy(io.Discard, req.Body)
			return n
		}, webhook.ClassNone, size},
		"answers 204 and reads on": {"HTTP/1.1 204 No Content\r\n\r\n", func(req *http.Request, _ net.Conn) int64 {
			pause()
			n, _ := io.Copy(io.Discard, req.Body)
			return n
		}, webhook.ClassNone, size},
		"answers 205 and reads on": {"HTTP/1.1 205 Reset Content\r\n\r\n", func(req *http.Request, _ net.Conn) int64 {
			pause()
			n, _ := io.Copy(io.Discard, req.Body)
			return n
		}, webhook.ClassNone, size},
		"never reads on": {ok + "Content-Length: 0\r\n\r\n", func(*http.Request, net.Conn) int64 {
			<-t.Context().Done()
			return 0
		}, webhook.ClassIncomplete, -1},
		"reads half": {ok + "Content-Length: 0\r\n\r\n", func(req *http.Request, _ net.Conn) int64 {
			n, _ := io.CopyN(io.Discard, req.Body, size/2)
			<-t.Context().Done()
			return n
		}, webhook.ClassIncomplete, -1},
		"closes": {ok + "Content-Length: 0\r\n\r\n", func(_ *http.Request, conn net.Conn) int64 {
			conn.Close()
			return 0
		}, webhook.ClassIncomplete, 0},
		"says that it closes, and does": {ok + "Connection: close\r\nContent-Length: 0\r\n\r\n", func(_ *http.Request, conn net.Conn) int64 {
			pause()
			conn.Close()
			return 0
		}, webhook.ClassIncomplete, 0},
		"refuses": {"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", func(*http.Request, net.Conn) int64 {
			<-t.Context().Done()
			return 0
		}, webhook.ClassStatus, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan int64, 1)
			server := narrow(t, func(_ *receiver, conn net.Conn) {
				if req, _ := early(conn, c.answer); req != nil {
					got <- c.goOn(req, conn)
					hang(conn)
				}
			})
			timeout := 20 * time.Second
			if c.got == -1 {
				timeout = 3 * time.Second
			}
			answer := do(t, newClient(t, egress.Options{}), server.url(), egress.Request{Body: large[:size], Timeout: timeout})
			require.Equal(t, c.class, answer.Class, "%v", answer.Err)
			require.NotZero(t, answer.Status)
			if c.class == webhook.ClassNone {
				require.Equal(t, c.got, <-got)
			}
			if c.class == webhook.ClassIncomplete {
				require.ErrorContains(t, answer.Err, "before it had all of the request")
			}
		})
	}
}

func TestWhatTheKernelHasTakenIsNotSentYet(t *testing.T) {
	t.Parallel()
	// The client writes the whole body before the answer comes, but the receiver's buffers hold only part of it. The
	// rest is lost if we close first, which we do because the answer is longer than what we read.
	const size = 30_000
	got := make(chan int64, 1)
	server := narrow(t, func(_ *receiver, conn net.Conn) {
		req, _ := early(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 100_000))
		<-time.After(300 * time.Millisecond)
		n, _ := io.Copy(io.Discard, req.Body)
		got <- n
	})
	answer := do(t, newClient(t, egress.Options{}), server.url(), egress.Request{Body: large[:size], Timeout: 20 * time.Second})
	require.True(t, answer.Success(), "%v", answer.Err)
	require.Equal(t, int64(size), <-got)
}

func TestASmallerRequestThatIsDroppedAfterTheAnswerIsNotWhole(t *testing.T) {
	t.Parallel()
	server := narrow(t, func(_ *receiver, conn net.Conn) {
		if req, _ := early(conn, empty200); req != nil {
			<-time.After(300 * time.Millisecond)
		}
	})
	got := do(t, newClient(t, egress.Options{}), server.url(), egress.Request{Body: large[:30_000], Timeout: 20 * time.Second})
	require.Equal(t, webhook.ClassIncomplete, got.Class, "%v", got.Err)
}

func TestAnEarlySuccessByHTTP2WaitsForTheRestOfTheRequest(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	const size = 200_000
	for name, c := range map[string]struct {
		status string
		rest   func(f *http2.Framer, stream uint32) bool // false: hang
		class  webhook.ErrorClass
	}{
		"takes the rest":  {"200", func(f *http2.Framer, stream uint32) bool { return window(f, stream, 1<<20) }, webhook.ClassNone},
		"204, takes it":   {"204", func(f *http2.Framer, stream uint32) bool { return window(f, stream, 1<<20) }, webhook.ClassNone},
		"gives no window": {"200", func(*http2.Framer, uint32) bool { return true }, webhook.ClassIncomplete},
		"wants no more":   {"200", func(f *http2.Framer, stream uint32) bool { return f.WriteRSTStream(stream, http2.ErrCodeNo) == nil }, webhook.ClassIncomplete},
		"ends":            {"200", func(*http2.Framer, uint32) bool { return false }, webhook.ClassIncomplete},
		"refuses":         {"413", func(*http2.Framer, uint32) bool { return true }, webhook.ClassStatus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := make(chan int, 1)
			server := h2Frames(t, ca, func(f *http2.Framer, frame http2.Frame, body int) bool {
				switch frame := frame.(type) {
				case *http2.HeadersFrame:
					answerH2(f, frame.StreamID, ":status", c.status)
					return c.rest(f, frame.StreamID)
				case *http2.DataFrame:
					if frame.StreamEnded() {
						whole <- body
					}
				}
				return true
			})
			client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
			timeout := 20 * time.Second
			if name == "gives no window" {
				timeout = 3 * time.Second
			}
			got := do(t, client, "https://"+tlsName+":"+portOf(server), egress.Request{Body: large[:size], Timeout: timeout})
			if name == "ends" && got.Class == webhook.ClassReset {
				return // sent before the answer
			}
			require.Equal(t, c.class, got.Class, "%v", got.Err)
			if c.class == webhook.ClassNone {
				require.Equal(t, size, <-whole)
			}
		})
	}
}

func window(f *http2.Framer, stream, n uint32) bool {
	return f.WriteWindowUpdate(0, n) == nil && f.WriteWindowUpdate(stream, n) == nil
}

func TestStatusesWithoutContent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		class  webhook.ErrorClass
		kept   bool
	}{
		"204":                       {"HTTP/1.1 204 No Content\r\n\r\n", webhook.ClassNone, true},
		"204 in chunks":             {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", webhook.ClassNone, false},
		"204, and another answer":   {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Evil\r\n\r\n", webhook.ClassNone, false},
		"205 that says nothing":     {"HTTP/1.1 205 Reset Content\r\n\r\n", webhook.ClassNone, false},
		"205 with a length of none": {"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", webhook.ClassNone, true},
		"205 with a length":         {"HTTP/1.1 205 Reset Content\r\nContent-Length: 10\r\n\r\n", webhook.ClassNone, false},
		"205 in chunks":             {"HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n", webhook.ClassNone, false},
		"304":                       {"HTTP/1.1 304 Not Modified\r\n\r\n", webhook.ClassRedirect, true},
		"304 with a length":         {"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", webhook.ClassRedirect, true},
		"100, then 204":             {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", webhook.ClassNone, true},
		"102 and 103, then 205":     {"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 205 Reset Content\r\n\r\n", webhook.ClassNone, false},
		"101":                       {"HTTP/1.1 101 Switching Protocols\r\n\r\n", webhook.ClassProtocol, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, answering(c.answer)) // which keeps the connection open
			client := newClient(t, egress.Options{})
			for range 2 {
				got := do(t, client, server.url(), egress.Request{Body: []byte("{}"), Timeout: 20 * time.Second})
				require.Equal(t, c.class, got.Class, "%v", got.Err)
				require.Less(t, got.Duration, 10*time.Second, "nothing more is waited for")
				require.Empty(t, got.Body)
				require.False(t, got.Truncated)
			}
			require.Equal(t, c.kept, server.connections.Load() == 1)
		})
	}
	t.Run("100 alone", func(t *testing.T) {
		t.Parallel()
		server := listen(t, answering("HTTP/1.1 100 Continue\r\n\r\n"))
		got := do(t, newClient(t, egress.Options{}), server.url(), egress.Request{Body: []byte("{}"), Timeout: time.Second})
		require.Equal(t, webhook.ClassTimeout, got.Class)
	})
}
