package client

import (
	"context"
	"iter"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const auditPath = "/whisperer/audit/"

// AuditFilter narrows a list of changes; empty fields let everything pass. Without From the list goes back seven days.
type AuditFilter = api.AuditFilter

// Audit lists who changed what, newest first, fetching page after page. It ends after the first error.
func (c *Client) Audit(ctx context.Context, f AuditFilter) iter.Seq2[api.AuditEntry, error] {
	return pages[api.AuditEntry](ctx, c, auditPath, queryOf(f))
}
