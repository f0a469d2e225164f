package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/lib/pq"
)

// ErrUnavailable says that the database could not be reached, did not answer in time, or cannot do its work at this time:
// it only reads after a failover, its disk fails, or others were in the way. Trying again later helps.
var ErrUnavailable = errors.New("database is unavailable")

// ErrSlow says that a search was given up because it took longer than it may.
var ErrSlow = errors.New("search takes too long")

// ErrNoTLS says that the URL asks for TLS and the server has none.
var ErrNoTLS = errors.New("PostgreSQL has no TLS, which connections require by default: add ?sslmode=disable to its URL, or enable TLS (ssl = on)")

// translate marks an error of the driver that is about the connection or the server's state, not about the statement or its
// data, as ErrUnavailable.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var netErr *net.OpError
	away := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &netErr)
	if pqErr, ok := errors.AsType[*pq.Error](err); ok {
		switch pqErr.Code.Class() {
		case "08", "53", "57", "58", // connection exception, insufficient resources, operator intervention, system error
			"25", "40", "55": // a transaction that may only read, was rolled back for another's sake, or has to wait for one
			away = true
		}
	}
	if away {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// Refused reports whether the database says no to what it was given, and nothing says that it would say no to anything: not
// to who asks, to a table that is not there or that may not be written, nor for lack of room.
func Refused(err error) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	if !ok {
		return false
	}
	switch pqErr.Code.Class() {
	case "22", "23", "44", "54", "P0", "XX": // data, integrity, a view's check, a limit, a trigger's word, internal error
		return true
	}
	return false
}

func isCode(err error, code string) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	return ok && string(pqErr.Code) == code
}

// violates reports whether the error is the violation of the named constraint or unique index.
func violates(err error, constraint string) bool {
	var pqErr *pq.Error
	return errors.As(err, &pqErr) && pqErr.Constraint == constraint
}

// isThere reports whether a row is there already, or is just being written by somebody who waits for us in turn.
func isThere(err error) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	return ok && (pqErr.Code == "23505" || pqErr.Code == "40P01") // unique_violation, deadlock_detected
}
