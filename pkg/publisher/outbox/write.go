package outbox

import (
	"context"
	"database/sql"
	_ "embed" // for the schema
	"encoding/json"
	"fmt"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Schema creates the outbox's tables in the current schema; run it in the program's own migrations. It needs
// PostgreSQL 12 or newer.
//
//go:embed schema.sql
var Schema string

// Execer is the program's transaction: a *sql.Tx, or a *sql.Conn or *sql.DB with an open transaction.
type Execer interface {
	// ExecContext is database/sql's.
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Write publishes the event when the transaction commits. If the event is invalid, it returns a
// *webhook.ValidationError and has executed nothing. After any other error the transaction must be rolled back.
func Write(ctx context.Context, tx Execer, e publisher.Event) error {
	query, args, err := Statement(e)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("write event to outbox: %w", err)
	}
	return nil
}

// Statement returns what Write executes, for drivers without database/sql.
func Statement(e publisher.Event) (query string, args []any, err error) {
	message, err := e.Encode(webhook.DefaultTenant) // any tenant will do here: the relay sets the actual one
	if err != nil {
		return "", nil, err
	}
	headers, err := json.Marshal(message.Header())
	if err != nil {
		return "", nil, fmt.Errorf("encode headers: %w", err)
	}
	return `INSERT INTO whisperer_outbox (id, tenant, type, body, headers) VALUES ($1, $2, $3, $4, $5::jsonb)`,
		[]any{message.ID(), e.Tenant, message.Type(), message.Body(), string(headers)}, nil
}
