package client

import (
	"context"
	"io"
	"iter"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const auditPath = "/whisperer/audit/"

// Audit reads who changed what.
type Audit struct{ *core }

// AuditFilter narrows a list of changes; empty fields let everything pass. Without From the list goes back seven days.
type AuditFilter = api.AuditFilter

// List lists who changed what, newest first, fetching page after page. It ends after the first error.
func (c Audit) List(ctx context.Context, f AuditFilter) iter.Seq2[api.AuditEntry, error] {
	return pages[api.AuditEntry](ctx, c.core, auditPath, queryOf(f))
}

// Export writes all entries of a list as Deliveries.Export does.
func (c Audit) Export(ctx context.Context, filter AuditFilter, format ExportFormat, out io.Writer) error {
	return c.export(ctx, auditPath+"export/", queryOf(filter), format, out)
}
