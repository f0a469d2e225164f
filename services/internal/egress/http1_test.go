package egress_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

const next200 = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"

// firstOddly answers the first request as the case says, and all others with next200, whichever connection they come
// on.
func firstOddly(answer func(conn net.Conn)) func(*receiver, net.Conn) {
	return func(r *receiver, conn net.Conn) {
		br := bufio.NewReader(conn)
		for r.readRequest(br) {
			if r.requests.Load() == 1 {
				answer(conn)
				continue
			}
			if _, err := io.WriteString(conn, next200); err != nil {
				return
			}
		}
	}
}

// oddAnswer is a receiver's answer to a request, and what it means for the connection.
type oddAnswer struct {
	answer string
	again  string // repeated until the other side closes
	class  webhook.ErrorClass
	status int
	body   string // expected beginning
	cut    bool   // whether the body is truncated
	kept   bool   // whether the connection is kept
}

func TestOddAnswersDoNotReachTheNextRequest(t *testing.T) {
	t.Parallel()
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	protocol := func(answer string) oddAnswer { return oddAnswer{answer: answer, class: webhook.ClassProtocol} }
	for name, c := range map[string]oddAnswer{
		"chunks and a length":          {answer: ok + "Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", status: 200, body: "ok", kept: true},
		"the same length twice":        {answer: ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", kept: true},
		"two lengths":                  protocol(ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok?"),
		"a list of lengths":            protocol(ok + "Content-Length: 2, 2\r\n\r\nok"),
		"a negative length":            protocol(ok + "Content-Length: -2\r\n\r\nok"),
		"a length with a sign":         protocol(ok + "Content-Length: +2\r\n\r\nok"),
		"a length past all integers":   protocol(ok + "Content-Length: 99999999999999999999\r\n\r\nok"),
		"a length in hexadecimal":      protocol(ok + "Content-Length: 0x2\r\n\r\nok"),
		"an empty length":              protocol(ok + "Content-Length:\r\n\r\nok"),
		"a coding that is not known":   protocol(ok + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
		"chunks in chunks":             protocol(ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
		"a trailer that frames":        protocol(ok + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
		"a size that is no number":     {answer: chunked + "2\r\nok\r\nzz\r\n", status: 200, body: "ok", cut: true},
		"a negative size":              {answer: chunked + "2\r\nok\r\n-1\r\n", status: 200, body: "ok", cut: true},
		"a size past all integers":     {answer: chunked + "2\r\nok\r\n11111111111111111\r\nx", status: 200, body: "ok", cut: true},
		"a chunk longer than its size": {answer: chunked + "2\r\nokay\r\n0\r\n\r\n", status: 200, body: "ok", cut: true},
		"a chunk with an extension":    {answer: chunked + "2;a=b\r\nok\r\n0\r\n\r\n", status: 200, body: "ok", kept: true},
		"one extension without end":    {answer: chunked + "2\r\nok\r\n1;", again: strings.Repeat("x", 1<<10), status: 200, body: "ok", cut: true},
		"extensions without end":       {answer: chunked + "2\r\nok\r\n", again: "1;" + strings.Repeat("x", 1<<10) + "\r\nx\r\n", status: 200, body: "ok", cut: true},
		"a trailer":                    {answer: chunked + "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", status: 200, body: "ok", kept: true},
		"a broken trailer":             {answer: chunked + "2\r\nok\r\n0\r\nnonsense\r\n\r\n", status: 200, body: "ok", cut: true},
		"trailers without end":         {answer: chunked + "2\r\nok\r\n0\r\n", again: "X-Sum: " + strings.Repeat("x", 1<<10) + "\r\n", status: 200, body: "ok", cut: true},
		"another answer after the end": {answer: ok + "Content-Length: 2\r\n\r\nokHTTP/1.1 500 Evil\r\nContent-Length: 0\r\n\r\n", status: 200, body: "ok"},
		"one byte after the end":       {answer: ok + "Content-Length: 2\r\n\r\nok\n", status: 200, body: "ok"},
		"bytes after the last chunk":   {answer: chunked + "2\r\nok\r\n0\r\n\r\n\r\n", status: 200, body: "ok"},
		"101":                          {answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", status: 101, class: webhook.ClassProtocol},
		"interim answers before it":    {answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok", status: 200, body: "ok", kept: true},
		"an interim answer with body":  protocol("HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nok" + ok + "\r\n"),
		"interim answers without end":  {again: "HTTP/1.1 100 Continue\r\n\r\n", class: webhook.ClassHeaders},
		"204 with a body":              {answer: "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", status: 204},
		"204 with a length and none":   {answer: "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", status: 204, kept: true},
		"304 with a body":              {answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", status: 304, class: webhook.ClassRedirect},
		"HTTP/1.0":                     {answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		"HTTP/1.0, to be kept":         {answer: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", kept: true},
		"a connection to be closed":    {answer: ok + "Connection: Close\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		"a header without a colon":     protocol(ok + "Content-Length 2\r\n\r\nok"),
		"a CR in a header":             protocol(ok + "X: a\rContent-Length: 0\r\n\r\n"),
		"a NUL in a header":            protocol(ok + "X: a\x00\r\nContent-Length: 0\r\n\r\n"),
		"a first header that is bent":  protocol(ok + " X: a\r\nContent-Length: 2\r\n\r\nok"),
		"a status of two digits":       protocol("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
		"a status of four digits":      protocol("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
		"a status with a sign":         protocol("HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n"),
		"a status below all":           {answer: "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", status: 99, class: webhook.ClassProtocol},
		"a status in other digits":     protocol("HTTP/1.1 ２ OK\r\nContent-Length: 0\r\n\r\n"),
		"no status":                    protocol("HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
		"a version without a number":   protocol("HTTP/x 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"an empty line before it":      protocol("\r\n" + ok + "Content-Length: 0\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, firstOddly(func(conn net.Conn) {
				_, err := io.WriteString(conn, c.answer)
				for c.again != "" && err == nil {
					_, err = io.WriteString(conn, c.again)
				}
			}))
			client := newClient(t, egress.Options{})
			got := post(t, client, server.url())
			require.Equal(t, c.class, got.Class, "%v", got.Err)
			require.Equal(t, c.status, got.Status)
			require.True(t, strings.HasPrefix(string(got.Body), c.body), "%q", got.Body)
			require.Equal(t, c.cut, got.Truncated)
			require.Less(t, got.Duration, 5*time.Second)
			second := post(t, client, server.url())
			require.True(t, second.Success(), "%v", second.Err)
			require.Equal(t, "next", string(second.Body))
			require.Equal(t, c.kept, server.connections.Load() == 1, "whether the connection is kept")
			require.Equal(t, int64(2), server.requests.Load())
		})
	}
}

func TestOddHeadersAreOneHeaderEach(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ line, want string }{
		"folded":           {"X-Odd: a\r\n b\r\n", "a b"},
		"ending in LF":     {"X-Odd: a\n", "a"},
		"with blanks":      {"X-Odd: \t a \t\r\n", "a"},
		"not in UTF-8":     {"X-Odd: a\xffb\r\n", "a\uFFFDb"},
		"in another case":  {"x-oDD: a\r\n", "a"},
		"with empty value": {"X-Odd:\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := post(t, newClient(t, egress.Options{}), listen(t, answering("HTTP/1.1 200 OK\r\n"+c.line+"Content-Length: 0\r\n\r\n")).url())
			require.True(t, got.Success(), "%v", got.Err)
			require.Equal(t, []string{c.want}, got.Header["X-Odd"])
			require.Len(t, got.Header, 2)
		})
	}
}

func TestWhatComesOnAnIdleConnectionIsNotTheNextAnswer(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]func(net.Conn){
		"an answer": func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 500 Evil\r\nContent-Length: 0\r\n\r\n") },
		"a byte":    func(conn net.Conn) { _, _ = io.WriteString(conn, "H") },
		"the end":   func(conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite() },
		"a reset":   reset,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answered, sent := make(chan struct{}), make(chan struct{})
			server := listen(t, firstOddly(func(conn net.Conn) {
				_, _ = io.WriteString(conn, empty200)
				<-answered
				late(conn)
				close(sent)
			}))
			client := newClient(t, egress.Options{})
			require.True(t, post(t, client, server.url()).Success())
			close(answered)
			<-sent
			for range 2 {
				got := post(t, client, server.url())
				require.True(t, got.Success(), "%v", got.Err)
				require.Equal(t, "next", string(got.Body))
			}
			require.Equal(t, int64(2), server.connections.Load())
			require.Equal(t, int64(3), server.requests.Load())
		})
	}
}

// large is more than both kernels buffer while the receiver reads nothing.
var large = make([]byte, 16<<20)

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	server := listen(t, answering(next200))
	client := newClient(t, egress.Options{})
	for _, size := range []int{32<<10 - 1, 32 << 10, 32<<10 + 1, 1 << 20, len(large)} {
		got := do(t, client, server.url(), egress.Request{Body: large[:size]})
		require.True(t, got.Success(), "%v", got.Err)
	}
	require.Equal(t, int64(5), server.requests.Load())
	require.Equal(t, int64(1), server.connections.Load())
}

func TestAnswersBeforeTheRequestIsWritten(t *testing.T) {
	t.Parallel()
	const refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"
	head := func(conn net.Conn) { _, _ = bufio.NewReaderSize(conn, 16).ReadSlice('\n') }
	for name, c := range map[string]struct {
		handle func(*receiver, net.Conn)
		class  webhook.ErrorClass
		status int
	}{
		"an answer, and nothing is read": {func(_ *receiver, conn net.Conn) {
			head(conn)
			_, _ = io.WriteString(conn, refusal)
			<-t.Context().Done()
		}, webhook.ClassStatus, 413},
		"an answer, and closed": {func(_ *receiver, conn net.Conn) {
			head(conn)
			_, _ = io.WriteString(conn, strings.Replace(refusal, "\r\n", "\r\nConnection: close\r\n", 1))
		}, webhook.ClassStatus, 413},
		"reset amid the body":  {func(_ *receiver, conn net.Conn) { head(conn); reset(conn) }, webhook.ClassReset, 0},
		"closed amid the body": {func(_ *receiver, conn net.Conn) { head(conn) }, webhook.ClassReset, 0},
		"only its end":         {func(_ *receiver, conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite(); hang(conn) }, webhook.ClassReset, 0},
		"nothing, and nothing is read": {func(_ *receiver, conn net.Conn) {
			head(conn)
			<-t.Context().Done()
		}, webhook.ClassTimeout, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := listen(t, c.handle), newClient(t, egress.Options{})
			timeout := 10 * time.Second
			if c.class == webhook.ClassTimeout {
				timeout = time.Second
			}
			got := do(t, client, server.url(), egress.Request{Body: large, Timeout: timeout})
			require.Equal(t, c.class, got.Class, "%v", got.Err)
			require.Equal(t, c.status, got.Status)
			require.Less(t, got.Duration, 5*time.Second)
			require.Equal(t, int64(1), server.connections.Load())
			if c.status != 0 {
				require.Equal(t, "big", string(got.Body))
				_ = do(t, client, server.url(), egress.Request{Timeout: time.Second})
				require.Eventually(t, func() bool { return server.connections.Load() == 2 }, time.Minute, time.Millisecond, "half a request is no beginning of another")
			}
		})
	}
}

func TestACallerMayGiveUpAtAnyTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer    string
		body      []byte
		cancelled bool
	}{
		"while the request is written":               {"", large, true},
		"amid the headers":                           {"HTTP/1.1 200 OK\r\nX-Part: ", large, true},
		"amid the body":                              {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", large[:1000], false},
		"amid a body without length":                 {"HTTP/1.1 200 OK\r\n\r\npart", large[:1000], false},
		"while the rest of the request is written":   {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", large, true},
		"while the rest is written, amid the answer": {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", large, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server := listen(t, func(_ *receiver, conn net.Conn) {
				_, _ = io.ReadFull(conn, make([]byte, 100))
				_, _ = io.WriteString(conn, c.answer)
				time.AfterFunc(time.Second, cancel) // by then the client has read it
				<-ctx.Done()
				hang(conn)
			})
			client := newClient(t, egress.Options{})
			target, err := client.Prepare(server.url())
			require.NoError(t, err)
			got := client.Do(ctx, egress.Request{Target: target, Body: c.body})
			require.Less(t, got.Duration, 5*time.Second)
			require.Equal(t, c.cancelled, got.Cancelled)
			if !c.cancelled {
				require.True(t, got.Success(), "the status had come: %v", got.Err)
				require.True(t, got.Truncated)
				require.Equal(t, "part", string(got.Body))
			}
		})
	}
}

func TestACallerThatGivesUpDoesNotWait(t *testing.T) {
	t.Parallel()
	server := listen(t, func(_ *receiver, conn net.Conn) {
		br := bufio.NewReader(conn)
		for { // the request of a caller that gives up is a GET, which gets no answer
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if req.Method == http.MethodPost {
				_, _ = io.WriteString(conn, empty200)
			}
		}
	})
	client := newClient(t, egress.Options{})
	target, err := client.Prepare(server.url())
	require.NoError(t, err)
	started := time.Now()
	for range 200 {
		require.True(t, post(t, client, server.url()).Success())
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		got := client.Do(ctx, egress.Request{Method: http.MethodGet, Target: target, Timeout: webhook.MaxTimeout})
		require.True(t, got.Cancelled, "%v", got.Err)
	}
	require.Less(t, time.Since(started), 2*webhook.MaxTimeout)
}

func TestAConnectionOfOneCallerIsNotEndedByAnother(t *testing.T) {
	t.Parallel()
	server := listen(t, answering(next200))
	client := newClient(t, egress.Options{})
	target, err := client.Prepare(server.url())
	require.NoError(t, err)
	var failed atomic.Int64
	for i := range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel() // cancels before, during or after the request
		if got := client.Do(ctx, egress.Request{Target: target, Body: []byte("{}")}); !got.Success() && !got.Cancelled {
			failed.Add(1)
		}
		got := client.Do(t.Context(), egress.Request{Target: target, Body: fmt.Append(nil, i)})
		require.True(t, got.Success(), "%v", got.Err)
		cancel()
	}
	require.Zero(t, failed.Load())
}
