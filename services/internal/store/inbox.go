package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/lib/pq"
)

// Inbox is a table of a receiver's, in a database of its own, that has what came.
type Inbox struct {
	// Table may have a schema before a dot.
	Table string
	// ID is the column of webhook-id. Digest is that of the body's SHA-256, as bytea or in hexadecimal digits, and Body that of the
	// body itself, as text or bytea; at most one of them is given.
	ID, Digest, Body string
}

// ReadInbox reads a receiver's inbox in a transaction that is read-only, row by row, and hands each to take: the id, and the digest
// in hexadecimal digits, empty where there is none.
func ReadInbox(ctx context.Context, url string, inbox Inbox, take func(id, digest string) error) error {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return fmt.Errorf("open inbox: %w", err)
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("open inbox: %w", err)
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, inbox.query())
	if err != nil {
		return fmt.Errorf("read inbox: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, digest string
		if err := rows.Scan(&id, &digest); err != nil {
			return fmt.Errorf("read inbox: %w", err)
		}
		if err := take(id, digest); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read inbox: %w", err)
	}
	return nil
}

// query hashes bodies where they are: they need not travel. What jsonb has made of one is not what came, and has no digest.
func (i *Inbox) query() string {
	digest := `''`
	switch {
	case i.Digest != "":
		column := "i." + pq.QuoteIdentifier(i.Digest)
		digest = `CASE pg_typeof(` + column + `)::text WHEN 'bytea' THEN substr(` + column + `::text, 3) ELSE ` + column + `::text END`
	case i.Body != "":
		column := "i." + pq.QuoteIdentifier(i.Body)
		digest = `encode(sha256(CASE pg_typeof(` + column + `)::text WHEN 'bytea' THEN decode(substr(` + column + `::text, 3), 'hex')
			WHEN 'jsonb' THEN NULL ELSE convert_to(` + column + `::text, 'UTF8') END), 'hex')`
	}
	parts := strings.SplitN(i.Table, ".", 2)
	for n := range parts {
		parts[n] = pq.QuoteIdentifier(parts[n])
	}
	id := "i." + pq.QuoteIdentifier(i.ID)
	return `SELECT ` + id + `::text, coalesce(` + digest + `, '') FROM ` + strings.Join(parts, ".") + ` i WHERE ` + id + ` IS NOT NULL`
}
