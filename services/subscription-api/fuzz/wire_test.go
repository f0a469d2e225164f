package fuzz_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// patience is how long a response may take.
	patience = time.Minute
	// longest is the maximum size of a response in bytes.
	longest = 32 << 20
)

// wire is a connection on which requests are written byte by byte, even those that no HTTP client would send.
type wire struct {
	addr   string
	conn   net.Conn
	reader *bufio.Reader
}

// response is a received response.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

func (w *wire) open() error {
	if w.conn != nil {
		return nil
	}
	dialing, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(dialing, "tcp", w.addr)
	if err != nil {
		return err
	}
	w.conn, w.reader = conn, bufio.NewReader(conn)
	return nil
}

// exchange sends a request and reads its response. It reopens a kept connection that the server has closed.
func (w *wire) exchange(r *request) (*response, error) {
	kept := w.conn != nil
	a, err := w.try(r)
	if kept && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)) {
		w.close()
		a, err = w.try(r)
	}
	if err != nil {
		w.close()
	}
	return a, err
}

func isReset(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

func (w *wire) try(r *request) (*response, error) {
	if err := w.open(); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	written := make(chan error, 1)
	go func(conn net.Conn) { // the response may come before the request is written completely
		_, err := conn.Write(r.bytes(w.addr))
		written <- err
	}(w.conn)
	a, last, err := w.read(r.method)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if last {
		w.close()
	}
	if writing := <-written; writing != nil {
		w.close()
	}
	return a, nil
}

// read reads a response; last says that the connection cannot be reused.
func (w *wire) read(method string) (a *response, last bool, err error) {
	for {
		res, err := http.ReadResponse(w.reader, &http.Request{Method: method})
		if err != nil {
			return nil, true, err
		}
		var body bytes.Buffer
		n, err := io.Copy(&body, io.LimitReader(res.Body, longest))
		_ = res.Body.Close()
		switch {
		case err != nil:
			return nil, true, err
		case n == longest:
			return nil, true, errors.New("the answer does not end")
		case res.StatusCode == http.StatusContinue:
			continue
		}
		return &response{status: res.StatusCode, header: res.Header, body: body.Bytes()}, res.Close, nil
	}
}
