package client

import (
	"context"
	"iter"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const auditPath = "/whisperer/audit/"

// AuditFilter narrows a list of changes; empty fields let everything pass. Without From the list goes back seven days.
type AuditFilter struct {
	// Subject is the id or name of a thing; Kind one of hook, delivery, job, token, event_type, tenant, ledger_entry, signing_key,
	// erasure, retention, view.
	Subject string `query:"subject"`
	Kind    string `query:"kind"`
	// Actor is the name or id of a token, or a program.
	Actor string    `query:"actor"`
	From  time.Time `query:"from"`
	To    time.Time `query:"to"`
}

// Audit lists who changed what, newest first, fetching page after page. It ends after the first error.
func (c *Client) Audit(ctx context.Context, f AuditFilter) iter.Seq2[api.AuditEntry, error] {
	return pages[api.AuditEntry](ctx, c, auditPath, queryOf(f))
}
