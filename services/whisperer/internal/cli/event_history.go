package cli

import (
	"context"
	"fmt"
	"math"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
)

type eventList struct {
	listFlags
	rangeFlags
	dataFlags
	api.EventFilter
}

// Run prints the list.
func (c *eventList) Run(ctx context.Context, a *app) error {
	filter := c.EventFilter
	filter.DataFilter = client.DataFilter(c.dataFlags)
	var err error
	if filter.From, filter.To, err = c.times(); err != nil {
		return err
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	list, err := take(server.Events.List(ctx, filter), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t *table) {
		t.head("EVENT", "EVENT TYPE", "ENTITY", "SIZE", "PUBLISHED")
		for i := range list {
			e := &list[i]
			size := fmt.Sprint(e.Size)
			if e.Erased != nil {
				size = "erased"
			}
			t.row(e.ID, e.Type, e.Entity, size, date(e.CreatedDate))
		}
	})
}

// erasedText says when and by whom a payload was erased.
func erasedText(e *api.Erased) string { return "on " + date(e.At) + " by " + actorText(e.By, e.ByName) }

type eventGet struct {
	ID string `arg:"" help:"The event's id."`
}

// Run prints the event with its payload.
func (c *eventGet) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	e, err := server.Events.Get(ctx, c.ID)
	if err != nil {
		return err
	}
	return a.print(e, func(t *table) {
		t.row("id", e.ID)
		t.row("type", e.Type)
		t.row("entity", e.Entity)
		t.row("happened", date(e.Time))
		t.row("published", date(e.CreatedDate))
		t.row("deliveries", outcomes(e.Deliveries))
		if e.Erased != nil {
			t.row("erased", erasedText(e.Erased))
		}
		t.row("context", compact(e.Context.RawMessage, "none"))
		t.row("config filter", compact(e.ConfigFilter.RawMessage, "none"))
		t.row("data", compact(e.Data, "null"))
	})
}

type eventExplain struct {
	ID string `arg:"" help:"The event's id."`
}

// Run says for each hook why it did or did not get the event.
func (c *eventExplain) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	list, err := take(server.Events.Explain(ctx, c.ID), math.MaxInt)
	if err != nil {
		return err
	}
	return a.print(list, func(t *table) {
		t.head("HOOK", "NAME", "OUTCOME", "ATTEMPTS", "STATUS", "WHY")
		for _, x := range list {
			t.row(x.Hook.String(), x.Name, withReason(x.Outcome, x.Reason), fmt.Sprint(x.AttemptCount), httpStatus(x.Status), x.Detail)
		}
	})
}
