package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/lib/pq"
)

// Inbox describes a table in a receiver's own database that stores the received webhooks.
type Inbox struct {
	// Table may be qualified with a schema.
	Table string
	// ID is the column with webhook-id. Digest is the column with the body's SHA-256, as bytea or hexadecimal text, and Body
	// the column with the body itself, as text or bytea. At most one of the two is set.
	ID, Digest, Body string
}

// ReadInbox reads a receiver's inbox row by row, in a read-only transaction, and passes each row to take: the id, and the
// digest in hexadecimal, which is empty if there is none.
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

// query returns the query. The server computes the digests, so that bodies are not transferred. A body stored as jsonb differs
// from the received one and has no digest.
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
