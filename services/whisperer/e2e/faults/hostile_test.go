//go:build faults

package faults_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostile is a receiver that controls its connections byte by byte.
type hostile struct {
	url      string
	requests atomic.Int64
	// canary counts the requests to the target of redirects.
	canary atomic.Int64
}

// talk handles a connection, which is closed afterwards.
type talk func(h *hostile, conn net.Conn)

// misbehave answers a complete request. It returns true if another request may follow.
type misbehave func(h *hostile, conn net.Conn, n int64) bool

// listens runs a receiver until the end of the test.
func listens(t *testing.T, do talk) *hostile {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &hostile{url: "http://" + l.Addr().String()}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for conn := range open {
			_ = conn.Close()
		}
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			go func() {
				defer conn.Close()
				do(h, conn)
			}()
		}
	}()
	return h
}

// nobody returns a port on which nothing listens.
func nobody(t *testing.T) *hostile {
	t.Helper()
	return &hostile{url: fmt.Sprintf("http://127.0.0.1:%d", freePort(t))}
}

// hole returns a socket that accepts no more connections: the kernel drops them.
func hole(t *testing.T) *hostile {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, syscall.Listen(fd, 0))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 3 { // until its queue is full
		conn, err := (&net.Dialer{Timeout: 100 * time.Millisecond}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	return &hostile{url: "http://" + address}
}

// plain reads requests as HTTP/1.1.
func plain(do misbehave) func(*testing.T) *hostile {
	return func(t *testing.T) *hostile {
		t.Helper()
		return listens(t, requests(do))
	}
}

func requests(do misbehave) talk {
	return func(h *hostile, conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			q, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, q.Body)
			if strings.HasPrefix(q.URL.Path, "/canary") {
				h.canary.Add(1)
			}
			if !do(h, conn, h.requests.Add(1)) {
				return
			}
		}
	}
}

func say(text string, args ...any) misbehave {
	return func(_ *hostile, conn net.Conn, _ int64) bool {
		_, err := fmt.Fprintf(conn, text, args...)
		return err == nil
	}
}

// status answers like a working receiver.
func status(line string, headers ...string) misbehave {
	return say("HTTP/1.1 %s\r\nContent-Length: 0\r\n%s\r\n", line, strings.Join(append(headers, ""), "\r\n"))
}

func hang(_ *hostile, conn net.Conn, _ int64) bool {
	_, _ = conn.Read(make([]byte, 1)) // until the client closes the connection
	return false
}

func reset(_ *hostile, conn net.Conn, _ int64) bool {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return false
}

func then(all ...misbehave) misbehave {
	return func(h *hostile, conn net.Conn, n int64) bool {
		for _, do := range all {
			if !do(h, conn, n) {
				return false
			}
		}
		return true
	}
}

// drip writes the text, and then more at each interval, as long as the client reads.
func drip(text, more string, every time.Duration) misbehave {
	return func(_ *hostile, conn net.Conn, _ int64) bool {
		if _, err := io.WriteString(conn, text); err != nil {
			return false
		}
		for range 10_000_000 {
			if _, err := io.WriteString(conn, more); err != nil {
				return false
			}
			if every > 0 {
				<-time.After(every)
			}
		}
		return false
	}
}

func closing(*hostile, net.Conn, int64) bool { return false }

func redirect(h *hostile, conn net.Conn, _ int64) bool {
	_, err := fmt.Fprintf(conn, "HTTP/1.1 307 Temporary Redirect\r\nLocation: %s/canary\r\nContent-Length: 0\r\n\r\n", h.url)
	return err == nil
}

func flap(h *hostile, conn net.Conn, n int64) bool {
	if n%2 == 0 {
		return status("500 Internal Server Error")(h, conn, n)
	}
	return status("200 OK")(h, conn, n)
}

func slowly(d time.Duration) misbehave {
	return func(*hostile, net.Conn, int64) bool {
		<-time.After(d)
		return true
	}
}

// atOnce answers before it has received the request, and resets the connection.
func atOnce(h *hostile, conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1))
	h.requests.Add(1)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	<-time.After(100 * time.Millisecond) // otherwise the reset overtakes the response
	reset(h, conn, 0)
}

// bomb answers with 64 MiB of zeros, compressed by gzip.
func bomb() misbehave {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	for range 64 {
		_, _ = writer.Write(make([]byte, 1<<20))
	}
	_ = writer.Close()
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", packed.Len())
	return func(_ *hostile, conn net.Conn, _ int64) bool {
		_, err := conn.Write(append([]byte(head), packed.Bytes()...))
		return err == nil
	}
}
