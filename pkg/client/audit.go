package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/google/uuid"
)

// AuditEntry is one change: who did what to which thing.
type AuditEntry struct {
	ID uuid.UUID `json:"id"`
	// Actor is token and its id, or the name of a program.
	Actor string `json:"actor"`
	// Action is a kind and a verb, such as hook.created.
	Action string `json:"action"`
	// Subject is the id or name of the thing.
	Subject     string          `json:"subject"`
	Detail      json.RawMessage `json:"detail"`
	CreatedDate time.Time       `json:"created_date"`
}

// AuditFilter narrows a list of changes; empty fields let everything pass. Without From the list goes back seven days.
type AuditFilter struct {
	// Subject is the id or name of a thing; Kind one of hook, delivery, job, token, event_type, tenant, ledger_entry.
	Subject  string
	Kind     string
	From, To time.Time
}

// Audit lists who changed what, newest first, fetching page after page. It ends after the first error.
func (c *Client) Audit(ctx context.Context, f AuditFilter) iter.Seq2[AuditEntry, error] {
	q := queryOf(map[string]string{"subject": f.Subject, "kind": f.Kind, "from": timeParameter(f.From), "to": timeParameter(f.To)})
	return pages[AuditEntry](ctx, c, "/whisperer/audit/", q)
}
