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

// ErrUnavailable reports that the database could not be reached, did not answer in time, or cannot do its work at present: it
// is read-only after a failover, its disk fails, or other transactions are in the way. Trying again later helps.
var ErrUnavailable = errors.New("database is unavailable")

// ErrSlow reports that a search was given up because it reached its time limit.
var ErrSlow = errors.New("search takes too long")

// ErrNoTLS reports that the URL asks for TLS and the server does not support it.
var ErrNoTLS = errors.New("PostgreSQL has no TLS, which connections require by default: add ?sslmode=disable to its URL, or enable TLS (ssl = on)")

// translate marks errors that concern the connection or the server's state, rather than the statement or its data, as
// ErrUnavailable.
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
			"25", "40", "55": // the transaction is read-only, was rolled back because of others, or has to wait for one
			away = true
		}
	}
	if away {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// Refused reports whether the database refuses the data that it was given, and would accept other data. Errors about the user's
// privileges, a missing or read-only table, or lack of space do not count.
func Refused(err error) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	if !ok {
		return false
	}
	switch pqErr.Code.Class() {
	case "22", "23", "44", "54", "P0", "XX": // data, integrity, a view's check, a limit, a trigger's exception, internal error
		return true
	}
	return false
}

func isCode(err error, code string) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	return ok && string(pqErr.Code) == code
}

// violates reports whether the error is a violation of the named constraint or unique index.
func violates(err error, constraint string) bool {
	var pqErr *pq.Error
	return errors.As(err, &pqErr) && pqErr.Constraint == constraint
}

// isThere reports whether a row exists already, or another transaction is writing it and waits for this one.
func isThere(err error) bool {
	pqErr, ok := errors.AsType[*pq.Error](err)
	return ok && (pqErr.Code == "23505" || pqErr.Code == "40P01") // unique_violation, deadlock_detected
}
