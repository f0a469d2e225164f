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

// writeGrace is how long the end of an answer that is no success waits for the end of the request, before the connection
// is given up: such a receiver need not be sent the rest (RFC 9112 section 9.5).
const writeGrace = 50 * time.Millisecond

// errUntouched is of a connection that had been idle and of which not one byte was written.
var errUntouched = errors.New("the idle connection was closed")

// httpConn is a connection that speaks HTTP/1.1. One request at a time owns it, in whose goroutine everything is done but
// writing what is long.
type httpConn struct {
	net.Conn // tcp, or TLS over it

	tcp    *net.TCPConn
	socket syscall.RawConn // of tcp
	key    connKey
	reused bool
	limit  int64 // bytes that may still be read
	failed error // what the last Read ended with
	asked  int32 // by the receiver, in the handshake

	// Of the pool.
	epoch     int
	idleSince time.Time
	idleUntil time.Time // later its receiver may be about to close it, or it has come of age
	age       time.Time // when it comes of age
	element   *list.Element
}

// newHTTPConn returns an httpConn over a new connection, which is tcp or TLS over it, with what the receiver asked in the handshake.
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

// interrupt ends what is being read and written, and all that comes after.
func (w *httpConn) interrupt() { _ = w.SetDeadline(time.Unix(1, 0)) }

// drop closes a connection, whatever is on its way: TLS would wait until its goodbye can be written.
func (w *httpConn) drop() { _ = w.tcp.Close() }

// retire closes a connection on which nothing is on its way.
func (w *httpConn) retire() { _ = w.Close() }

// ask writes a request, of which the codec has the beginning, and reads the head of the answer. An error is errUntouched
// only if the receiver cannot have seen anything. The rest is to be settled in any case.
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
	// One who does not want to read on may have said why.
	resp, err := w.readHead(d.in)
	return resp, r, err
}

// readHead reads the head of the answer, and of interim ones before it; all together they are at most maxResponseHeaders.
func (w *httpConn) readHead(in *bufio.Reader) (*http.Response, error) {
	w.limit = maxResponseHeaders
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil && w.failed != nil && !errors.Is(w.failed, io.EOF) {
			return nil, w.failed // which may have been taken for the end of a line
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

// drained reports whether nothing came after the answer. What is in the hands of the kernel is quiet's to see.
func (w *httpConn) drained(in *bufio.Reader) bool {
	if in.Buffered() > 0 {
		return false
	}
	if w.Conn == net.Conn(w.tcp) {
		return true
	}
	w.interrupt() // so that only what TLS has read already is looked at
	_, err := in.Peek(1)
	return isTimeout(err)
}

// rest is what of a request is written while the answer is read. The zero rest is none.
type rest struct {
	broken  bool
	written chan error // nil for nothing
}

// settle waits until nothing is written any more and reports whether the request was written as a whole. A success has
// until the deadline of the connection for that. Its receiver may read on only when it is rid of its answer: what of that
// has not come to its end is read and dropped meanwhile.
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
