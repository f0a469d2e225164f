package cli

import (
	"context"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

type auditCommand struct {
	List auditList `cmd:"" help:"List who changed what, the newest first."`
}

type auditList struct {
	listFlags
	rangeFlags

	Subject string `help:"Only changes of the thing of this id or name." placeholder:"ID"`
	Kind    string `help:"Only changes of hook, delivery, job, token, event_type, tenant or ledger_entry." enum:"hook,delivery,job,token,event_type,tenant,ledger_entry," default:"" placeholder:"KIND"`
}

// Run lists.
func (c *auditList) Run(ctx context.Context, a *app) error {
	from, to, err := c.times(time.Now())
	if err != nil {
		return err
	}
	api, err := a.client()
	if err != nil {
		return err
	}
	list, err := take(api.Audit(ctx, client.AuditFilter{Subject: c.Subject, Kind: c.Kind, From: from, To: to}), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t table) {
		t.row("TIME", "ACTOR", "ACTION", "SUBJECT", "DETAIL")
		for i := range list {
			e := &list[i]
			t.row(date(e.CreatedDate), e.Actor, e.Action, e.Subject, compact(e.Detail, "{}"))
		}
	})
}
