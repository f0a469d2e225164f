package egress_test

import (
	"bufio"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// FuzzAnswer has a receiver answer one request with arbitrary bytes, and the next one properly. Whatever the client
// made of the first answer, the second answer must belong to the second request.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		next200, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 205 Reset Content\r\n\r\n0\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + next200,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nnext\r\n0\r\nTrailer: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok?",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nbody to the end",
		"HTTP/1.1 503 later\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 429 \r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nKeep-Alive: timeout=-1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-\xff: \x00\r\n folded\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01\x00\x02\x02\x28", "",
	} {
		f.Add([]byte(answer), true)
		f.Add([]byte(answer), false)
	}
	type script struct {
		answer []byte
		ends   bool
	}
	var now atomic.Pointer[script]
	r := listen(f, func(r *receiver, conn net.Conn) {
		br := bufio.NewReader(conn)
		for r.readRequest(br) {
			s := now.Swap(nil)
			answer := []byte(next200)
			if s != nil {
				answer = s.answer
			}
			if _, err := conn.Write(answer); err != nil || s != nil && s.ends {
				return
			}
		}
	})
	c := newClient(f, egress.Options{})
	f.Fuzz(func(t *testing.T, answer []byte, ends bool) {
		if len(answer) > 32<<10 { // part of a longer answer may arrive too late
			return
		}
		now.Store(&script{answer: answer, ends: ends})
		timeout := 10 * time.Second
		if !ends {
			timeout = 30 * time.Millisecond // the answer may never end
		}
		got := do(t, c, r.url(), egress.Request{Timeout: timeout, Body: []byte(`{"a":1}`)})
		now.Store(nil) // in case the timeout came before the request was read
		require.False(t, got.Cancelled)
		require.Equal(t, got.Class == webhook.ClassNone, got.Err == nil)
		require.LessOrEqual(t, len(got.Body), egress.MaxBody)
		require.LessOrEqual(t, got.RetryAfter, webhook.MaxRetryAfter)
		require.GreaterOrEqual(t, got.RetryAfter, time.Duration(0))
		size := 0
		for name, values := range got.Header {
			for _, value := range values {
				require.True(t, utf8.ValidString(name+value) && !strings.ContainsRune(name+value, 0))
				size += len(name) + len(value)
			}
		}
		require.LessOrEqual(t, size, egress.MaxHeader)
		if got.Err != nil {
			require.Less(t, len(got.Err.Error()), 200, "it is our own sentence")
		}
		second := do(t, c, r.url(), egress.Request{Timeout: 10 * time.Second, Body: []byte(`{"a":2}`)})
		if ends && second.Class == webhook.ClassReset {
			return // the receiver was just closing this connection, without having announced it
		}
		require.Equal(t, "next", string(second.Body), "%d %v", second.Status, second.Err)
	})
}
