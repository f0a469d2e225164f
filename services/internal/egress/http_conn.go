package egress

import (
	"bufio"
	"container/list"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// writeGrace is how long we still wait for the request to be written after an answer that is no success. Then the
// connection is closed: such a receiver need not be sent the rest (RFC 9112 section 9.5).
const writeGrace = 50 * time.Millisecond

// errUntouched says that not a single byte was written to a connection that had been idle.
var errUntouched = errors.New("the idle connection was closed")

// httpConn is an HTTP/1.1 connection. One request at a time owns it. The request's goroutine does everything except
// writing the rest of a long body.
type httpConn struct {
	net.Conn // tcp itself, or TLS over it

	tcp    *net.TCPConn
	socket syscall.RawConn // of tcp
	key    connKey
	reused bool
	limit  int64 // bytes that may still be read
	failed error // error of the last Read
	asked  int32 // what the receiver requested in the handshake

	// Used by the pool.
	epoch     int
	idleSince time.Time
	idleUntil time.Time // after that the receiver may close it, or it is too old
	age       time.Time // when it is too old
	element   *list.Element
}

// newHTTPConn returns an httpConn over a new connection, plain TCP or TLS. asked is what the receiver requested in
// the handshake.
func newHTTPConn(conn net.Conn, to connKey, asked int32) (*httpConn, error) {
	under := conn
	if secured, ok := conn.(*tls.Conn); ok {
		under = secured.NetConn()
	}
	tcp, ok := under.(*net.TCPConn)
	if !ok {
		return nil, errors.New("the connection is not one of TCP")
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("get socket: %w", err)
	}
	return &httpConn{Conn: conn, tcp: tcp, socket: socket, key: to, asked: asked}, nil
}

// Read reads what the receiver sends, up to the limit.
func (w *httpConn) Read(p []byte) (n int, err error) {
	if w.limit > 0 {
		n, err = w.Conn.Read(p[:min(int64(len(p)), w.limit)])
		w.limit -= int64(n)
	} else {
		err = &failure{class: webhook.ClassHeaders, text: "the receiver's response headers are too large"}
	}
	w.failed = err
	return n, err
}

// interrupt aborts current and later reads and writes.
func (w *httpConn) interrupt() { _ = w.SetDeadline(time.Unix(1, 0)) }

// drop closes the connection at once. TLS would first wait to write its closing message.
func (w *httpConn) drop() { _ = w.tcp.Close() }

// retire closes a connection that is idle.
func (w *httpConn) retire() { _ = w.Close() }

// ask writes the request, starting with what the codec holds, and reads the head of the answer. Only errUntouched
// means that the receiver cannot have seen anything. The caller must settle the rest in any case.
func (w *httpConn) ask(d *codec, body []byte) (*http.Response, rest, error) {
	d.in.Reset(w)
	w.failed = nil
	n, err := w.Write(d.out)
	if err != nil && n == 0 && w.reused && !isTimeout(err) {
		return nil, rest{}, errUntouched
	}
	r := rest{broken: err != nil}
	if err == nil && len(body) > 0 {
		r.written = make(chan error, 1)
		go func() {
			_, err := w.Write(body)
			r.written <- err
		}()
	}
	// A receiver that stops reading may have answered why.
	resp, err := w.readHead(d.in)
	return resp, r, err
}

// readHead reads the head of the answer, skipping interim responses. All of them together may have at most
// maxResponseHeaders bytes.
func (w *httpConn) readHead(in *bufio.Reader) (*http.Response, error) {
	w.limit = maxResponseHeaders
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil && w.failed != nil && !errors.Is(w.failed, io.EOF) {
			return nil, w.failed // the parser may have taken it for the end of a line
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // classified by the caller
		}
		if s := resp.StatusCode; s < 100 || s > 199 || s == http.StatusSwitchingProtocols {
			w.limit = math.MaxInt64
			return resp, nil
		}
	}
}

// drained reports whether nothing came after the answer. It does not look into the kernel's buffer; quiet does.
func (w *httpConn) drained(in *bufio.Reader) bool {
	if in.Buffered() > 0 {
		return false
	}
	if w.Conn == net.Conn(w.tcp) {
		return true
	}
	w.interrupt() // so that Peek only sees what TLS has already read
	_, err := in.Peek(1)
	return isTimeout(err)
}

// rest is the part of a request that is written while the answer is read. The zero rest is empty.
type rest struct {
	broken  bool
	written chan error // nil if nothing is left to write
}

// settle waits until writing has ended and reports whether the request was written completely. After a success,
// writing may continue until the connection's deadline. Meanwhile settle discards the rest of the answer, because the
// receiver may only read on when it can send its answer.
func (r rest) settle(w *httpConn, resp *http.Response, ended, success bool) bool {
	switch {
	case r.written == nil:
		return !r.broken
	case !success:
		_ = w.SetWriteDeadline(time.Now().Add(writeGrace))
		return <-r.written == nil
	case ended:
		return <-r.written == nil
	}
	dropped := make(chan struct{})
	go func() {
		defer close(dropped)
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
	err := <-r.written
	_ = w.SetReadDeadline(time.Unix(1, 0))
	<-dropped
	return err == nil
}
