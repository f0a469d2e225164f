package cli

import (
	"context"
	"fmt"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

type rejectedCommand struct {
	List rejectedList `cmd:"" help:"List rejected events, newest first."`
}

type rejectedList struct {
	listFlags
	rangeFlags
	api.RejectedFilter
}

// Run prints the list.
func (c *rejectedList) Run(ctx context.Context, a *app) error {
	filter := c.RejectedFilter
	var err error
	if filter.From, filter.To, err = c.times(); err != nil {
		return err
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	list, err := take(server.Events.ListRejected(ctx, filter), c.Limit)
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
