package cli

import (
	"context"
	"fmt"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

type rejectedCommand struct {
	List rejectedList `cmd:"" help:"List rejected events, newest first."`
}

type rejectedList struct {
	listFlags
	rangeFlags

	Reason  string `help:"Only those with this reason, such as unreadable."`
	Subject string `help:"Only those published to a subject with this part, such as package.created."`
}

// Run prints the list.
func (c *rejectedList) Run(ctx context.Context, a *app) error {
	from, to, err := c.times()
	if err != nil {
		return err
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	list, err := take(server.RejectedEvents(ctx, client.RejectedFilter{Reason: c.Reason, Subject: c.Subject, From: from, To: to}), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t *table) {
		t.head("PUBLISHED", "SUBJECT", "SIZE", "REASON", "DETAIL")
		for i := range list {
			e := &list[i]
			t.row(date(e.CreatedDate), e.Subject, fmt.Sprint(e.Size), e.Reason, e.Detail)
		}
	})
}
