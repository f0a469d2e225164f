package cli

import (
	"context"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
)

type auditCommand struct {
	List   auditList   `cmd:"" help:"List the audit log, newest first."`
	Export auditExport `cmd:"" help:"Write all matching changes as CSV or JSON lines (--ndjson)."`
}

// auditFlags narrow a list of audit entries.
type auditFlags struct {
	rangeFlags
	api.AuditFilter
}

// Help describes whose changes are listed.
func (c *auditFlags) Help() string {
	return "With an operator's token, --tenant selects the tenant whose changes are meant; without it, they are those that belong to no tenant."
}

// find returns a client, and the filter from the flags.
func (c *auditFlags) find(a *app) (server *client.Client, f client.AuditFilter, err error) {
	f = c.AuditFilter
	if f.From, f.To, err = c.times(); err != nil {
		return nil, f, err
	}
	server, err = a.client()
	return server, f, err
}

type auditList struct {
	listFlags
	auditFlags
}

// Run prints the list.
func (c *auditList) Run(ctx context.Context, a *app) error {
	server, filter, err := c.find(a)
	if err != nil {
		return err
	}
	list, err := take(server.Audit.List(ctx, filter), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t *table) {
		t.head("TIME", "ACTOR", "ACTION", "SUBJECT", "DETAIL")
		for i := range list {
			e := &list[i]
			t.row(date(e.CreatedDate), actorText(e.Actor, e.ActorName), e.Action, e.Subject, compact(e.Detail.RawMessage, "{}"))
		}
	})
}

// actorText names an actor: a token by its name, if it has one.
func actorText(actor, name string) string {
	if name != "" {
		return "token " + name
	}
	return actor
}
