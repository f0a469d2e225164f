package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"
)

// querier is a transaction, possibly with prepared statements.
type querier interface {
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// statements are prepared once on each connection, and then take one round trip. Other statements with parameters take two, and
// are parsed and planned each time.
type statements struct {
	texts []string

	mu    sync.Mutex
	ready map[string]*sqlx.Stmt
}

// in prepares the statements, and returns a function that makes a transaction use them. Call it before the transaction begins,
// because it may need another connection.
func (s *statements) in(ctx context.Context, db *sqlx.DB) (func(tx *sqlx.Tx) querier, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.texts[len(s.ready):] {
		stmt, err := db.PreparexContext(ctx, text) //nolint:sqlclosecheck // it is kept
		if err != nil {
			return nil, translate(fmt.Errorf("prepare statement: %w", err))
		}
		if s.ready == nil {
			s.ready = map[string]*sqlx.Stmt{}
		}
		s.ready[text] = stmt
	}
	return func(tx *sqlx.Tx) querier { return preparedTx{tx, s.ready} }, nil
}

// preparedTx is a transaction that uses a prepared statement if there is one with the same text.
type preparedTx struct {
	*sqlx.Tx

	ready map[string]*sqlx.Stmt
}

func (p preparedTx) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	if stmt := p.ready[query]; stmt != nil {
		return p.StmtxContext(ctx, stmt).GetContext(ctx, dest, args...) //nolint:sqlclosecheck // the transaction closes it
	}
	return p.Tx.GetContext(ctx, dest, query, args...)
}

func (p preparedTx) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	if stmt := p.ready[query]; stmt != nil {
		return p.StmtxContext(ctx, stmt).SelectContext(ctx, dest, args...) //nolint:sqlclosecheck // as above
	}
	return p.Tx.SelectContext(ctx, dest, query, args...)
}

func (p preparedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := p.ready[query]; stmt != nil {
		return p.StmtxContext(ctx, stmt).ExecContext(ctx, args...)
	}
	return p.Tx.ExecContext(ctx, query, args...)
}
