package daemon

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	// maxRest and restTime bound how much of a body that nobody reads is waited for, so that the connection can be used on.
	maxRest  = 64 << 10
	restTime = 100 * time.Millisecond
	// maxDrain and drainTime bound how much of it is thrown away after the answer, before the connection is closed: clients
	// that send all before they read see a broken connection otherwise.
	maxDrain  = 32 << 20
	drainTime = 3 * time.Second
	// maxHeld bounds what is kept of an answer that is given before the body has arrived.
	maxHeld = 64 << 10
)

// ErrSlowBody says that a request's body did not arrive at the least rate.
var ErrSlowBody = errors.New("body arrives too slowly")

// guard lets a handler read and answer without being held up by the client.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, ok := r.Context().Value(serverKey{}).(served)
		if !ok || from.conn == nil {
			next.ServeHTTP(w, r)
			return
		}
		defer from.conn.set(true)
		if r.Body == nil || r.Body == http.NoBody {
			from.conn.set(false)
			next.ServeHTTP(w, r)
			return
		}
		body := &slowBody{ReadCloser: r.Body, control: http.NewResponseController(w), conn: from.conn}
		answer := &earlyAnswer{ResponseWriter: w, body: body, length: r.ContentLength, expects: r.Header.Get("Expect") != ""}
		r.Body = body
		next.ServeHTTP(answer, r)
		answer.finish()
	})
}

// slowBody is a body that has to arrive at the least rate.
type slowBody struct {
	io.ReadCloser

	control *http.ResponseController
	conn    *conn
	began   time.Time
	read    int
	// limit is the deadline where it is not the least rate's.
	limit time.Time
	// over says that the body has arrived, or never will.
	over bool
	err  error
}

// Read returns ErrSlowBody where the client is too slow.
func (b *slowBody) Read(p []byte) (int, error) {
	if b.over {
		return 0, b.err
	}
	if b.began.IsZero() {
		b.began = time.Now()
	}
	deadline := b.began.Add(allowed(b.read))
	if !b.limit.IsZero() && b.limit.Before(deadline) {
		deadline = b.limit
	}
	_ = b.control.SetReadDeadline(deadline) // a connection that is closed says so when it is read
	n, err := b.ReadCloser.Read(p)
	b.read += n
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		_ = b.control.SetReadDeadline(time.Time{})
		b.conn.set(false)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrSlowBody
	}
	b.over, b.err = true, err
	return n, err
}

// rest reads what is left of the body, so much of it in so much time at most, and reports whether that was all.
func (b *slowBody) rest(most int64, limit time.Duration) bool {
	b.limit = time.Now().Add(limit)
	_, err := io.CopyN(io.Discard, b, most)
	return errors.Is(err, io.EOF)
}

// earlyAnswer is an answer that may be given before the body has arrived. net/http would wait for the rest of the body
// first, and reset the connection of a client that goes on sending afterwards.
type earlyAnswer struct {
	http.ResponseWriter

	body    *slowBody
	length  int64
	expects bool // the client waits for 100 Continue before it sends the body
	begun   bool
	// status and held are what is told when the handler is through, while early is true.
	early  bool
	status int
	held   bytes.Buffer
}

// WriteHeader begins the answer.
func (a *earlyAnswer) WriteHeader(status int) {
	if a.begun {
		return
	}
	if status < http.StatusOK {
		a.ResponseWriter.WriteHeader(status)
		return
	}
	a.begun = true
	if a.body.over && errors.Is(a.body.err, io.EOF) || a.small() && a.body.rest(maxRest, restTime) {
		a.ResponseWriter.WriteHeader(status)
		return
	}
	a.Header().Set("Connection", "close")
	_ = a.body.control.EnableFullDuplex() // HTTP/1 has it
	a.early, a.status = true, status
}

// small reports whether the rest of the body may be worth waiting for.
func (a *earlyAnswer) small() bool {
	return !a.expects && a.length-int64(a.body.read) < maxRest && !a.body.over
}

// Write writes a part of the answer.
func (a *earlyAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.early && a.held.Len()+len(p) <= maxHeld {
		return a.held.Write(p)
	}
	if err := a.release(); err != nil {
		return 0, err
	}
	return a.ResponseWriter.Write(p)
}

// release sends what was held, so that the handler can go on by itself.
func (a *earlyAnswer) release() error {
	if !a.early {
		return nil
	}
	a.early = false
	a.ResponseWriter.WriteHeader(a.status)
	_, err := a.ResponseWriter.Write(a.held.Bytes())
	return err
}

// FlushError sends what was written.
func (a *earlyAnswer) FlushError() error {
	a.WriteHeader(http.StatusOK)
	if err := a.release(); err != nil {
		return err
	}
	return a.body.control.Flush()
}

// Unwrap lets deadlines be set.
func (a *earlyAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// finish sends an early answer as a whole and then takes what the client still sends, for a while.
func (a *earlyAnswer) finish() {
	a.WriteHeader(http.StatusOK)
	if !a.early {
		return
	}
	if a.Header().Get("Content-Length") == "" && a.held.Len() > 0 {
		a.Header().Set("Content-Length", strconv.Itoa(a.held.Len()))
	}
	if a.release() != nil || a.body.control.Flush() != nil || a.expects && a.body.read == 0 {
		return
	}
	a.body.conn.set(true)
	a.body.rest(maxDrain, drainTime)
}
