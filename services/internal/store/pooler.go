package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"
)

// ErrPooler reports that a pooler in transaction or statement mode is between this program and the database.
var ErrPooler = errors.New("a pooler gives each transaction another session of the database, and statements that are prepared, " +
	"temporary tables and settings would get mixed up with those of others: set pool_mode = session for this database, or connect to " +
	"PostgreSQL directly")

// ownSessions returns ErrPooler if a connection does not have a session of its own: a second connection then gets the same
// session as the first, or the first gets another session in its next statement. The statements have no parameters, so that
// each is sent as one message.
func ownSessions(ctx context.Context, url string) error {
	connector, err := pq.NewConnector(url)
	if err != nil {
		return fmt.Errorf("read database URL: %w", withoutURL(err))
	}
	db := sql.OpenDB(deadlineConnector{connector, pollDeadline, endsAlone})
	defer db.Close()
	first, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer first.Close()
	second, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer second.Close()
	var mine, others, again int
	const ask = `SELECT pg_backend_pid()`
	if err := first.QueryRowContext(ctx, ask).Scan(&mine); err != nil {
		return fmt.Errorf("ask for the session: %w", err)
	}
	tx, err := second.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("ask for the session: %w", err)
	}
	defer tx.Rollback()
	if err := tx.QueryRowContext(ctx, ask).Scan(&others); err != nil {
		return fmt.Errorf("ask for the session: %w", err)
	}
	if mine == others {
		return ErrPooler
	}
	if err := first.QueryRowContext(ctx, ask).Scan(&again); err != nil {
		return fmt.Errorf("ask for the session: %w", err)
	}
	if again != mine {
		return ErrPooler
	}
	return nil
}
