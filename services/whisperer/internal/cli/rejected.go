package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

type rejectedCommand struct {
	List rejectedList `cmd:"" help:"List what was published and is no event, the newest first."`
}

type rejectedList struct {
	listFlags
	rangeFlags

	Reason  string `help:"Only those with this reason, such as unreadable."`
	Subject string `help:"Only those published to a subject with this part, such as package.created."`
}

// Run lists.
func (c *rejectedList) Run(ctx context.Context, a *app) error {
	from, to, err := c.times(time.Now())
	if err != nil {
		return err
	}
	api, err := a.client()
	if err != nil {
		return err
	}
	list, err := take(api.RejectedEvents(ctx, client.RejectedFilter{Reason: c.Reason, Subject: c.Subject, From: from, To: to}), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t table) {
		t.row("PUBLISHED", "SUBJECT", "SIZE", "REASON", "DETAIL")
		for i := range list {
			e := &list[i]
			t.row(date(e.CreatedDate), e.Subject, fmt.Sprint(e.Size), e.Reason, e.Detail)
		}
	})
}
