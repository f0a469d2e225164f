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
	// maxRest and restTime bound how much of an unread body the server still reads, so that the connection can be
	// reused.
	maxRest  = 64 << 10
	restTime = 100 * time.Millisecond
	// maxDrain and drainTime bound how much of it is discarded after the response, before the connection is closed.
	// Otherwise clients that send everything before they read would see a broken connection.
	maxDrain  = 32 << 20
	drainTime = 3 * time.Second
	// maxHeld bounds the bytes held back of a response that is written before the body has arrived.
	maxHeld = 64 << 10
)

// ErrSlowBody says that a request's body arrived more slowly than the minimum rate.
var ErrSlowBody = errors.New("body arrives too slowly")

// guard protects a handler from clients that send or read slowly.
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

// slowBody is a body that must arrive at the minimum rate.
type slowBody struct {
	io.ReadCloser

	control *http.ResponseController
	conn    *conn
	began   time.Time
	read    int
	// limit is a fixed deadline that replaces the one of the minimum rate.
	limit time.Time
	// over says that the body has arrived completely, or never will.
	over bool
	err  error
}

// Read returns ErrSlowBody if the client is too slow.
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
	_ = b.control.SetReadDeadline(deadline) // if the connection is closed, reading reports that
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

// rest reads the rest of the body, within the given size and time, and reports whether it reached the end.
func (b *slowBody) rest(most int64, limit time.Duration) bool {
	b.limit = time.Now().Add(limit)
	_, err := io.CopyN(io.Discard, b, most)
	return errors.Is(err, io.EOF)
}

// earlyAnswer is a response that may be written before the body has arrived. net/http would first wait for the rest
// of the body, and would reset the connection of a client that continues to send afterwards.
type earlyAnswer struct {
	http.ResponseWriter

	body    *slowBody
	length  int64
	expects bool // the client waits for 100 Continue before it sends the body
	begun   bool
	// status and held are what the handler has written while early is true. They are sent when the handler returns.
	early  bool
	status int
	held   bytes.Buffer
}

// WriteHeader starts the response.
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
	_ = a.body.control.EnableFullDuplex() // supported by HTTP/1
	a.early, a.status = true, status
}

// small reports whether the rest of the body may be small enough to wait for.
func (a *earlyAnswer) small() bool {
	return !a.expects && a.length-int64(a.body.read) < maxRest && !a.body.over
}

// Write writes a part of the response.
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

// release sends what was held back; from then on the handler writes directly.
func (a *earlyAnswer) release() error {
	if !a.early {
		return nil
	}
	a.early = false
	a.ResponseWriter.WriteHeader(a.status)
	_, err := a.ResponseWriter.Write(a.held.Bytes())
	return err
}

// FlushError sends what was written so far.
func (a *earlyAnswer) FlushError() error {
	a.WriteHeader(http.StatusOK)
	if err := a.release(); err != nil {
		return err
	}
	return a.body.control.Flush()
}

// Unwrap gives http.ResponseController access to the deadlines.
func (a *earlyAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// finish sends the complete early response and then discards what the client still sends, for a limited time.
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
