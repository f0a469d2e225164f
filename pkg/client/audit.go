package client

import (
	"context"
	"iter"
	"net/url"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const auditPath = "/whisperer/audit/"

// AuditFilter narrows a list of changes; empty fields let everything pass. Without From the list goes back seven days.
type AuditFilter struct {
	// Subject is the id or name of a thing; Kind one of hook, delivery, job, token, event_type, tenant, ledger_entry, signing_key,
	// erasure, retention, view.
	Subject string
	Kind    string
	// Actor is the name or id of a token, or a program.
	Actor    string
	From, To time.Time
}

func (f *AuditFilter) query() url.Values {
	return queryOf(map[string]string{"subject": f.Subject, "kind": f.Kind, "actor": f.Actor, "from": timeParameter(f.From), "to": timeParameter(f.To)})
}

// Audit lists who changed what, newest first, fetching page after page. It ends after the first error.
func (c *Client) Audit(ctx context.Context, f AuditFilter) iter.Seq2[api.AuditEntry, error] {
	return pages[api.AuditEntry](ctx, c, auditPath, f.query())
}
