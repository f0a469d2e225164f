package cli

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

type eventList struct {
	listFlags
	rangeFlags
	dataFlags

	EventType string `help:"Only events of this type or pattern." short:"e" placeholder:"TYPE"`
	Entity    string `help:"Only events about this, such as package:61." placeholder:"TEXT"`
	OffSchema bool   `help:"Only events that the schema of their type has something against."`
}

// Run lists.
func (c *eventList) Run(ctx context.Context, a *app) error {
	from, to, err := c.times(time.Now())
	if err != nil {
		return err
	}
	api, err := a.client()
	if err != nil {
		return err
	}
	filter := client.EventFilter{
		EventType: c.EventType, Entity: c.Entity, OffSchema: c.OffSchema, From: from, To: to, DataFilter: client.DataFilter(c.dataFlags),
	}
	list, err := take(api.Events(ctx, filter), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t table) {
		t.row("ID", "EVENT TYPE", "ENTITY", "SIZE", "PUBLISHED")
		for i := range list {
			e := &list[i]
			t.row(e.ID, e.Type, e.Entity, fmt.Sprint(e.Size), date(e.CreatedDate))
		}
	})
}

type eventGet struct {
	ID string `arg:"" help:"The event's id."`
}

// Run shows.
func (c *eventGet) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	e, err := api.Event(ctx, c.ID)
	if err != nil {
		return err
	}
	return a.print(e, func(t table) {
		t.row("id", e.ID)
		t.row("type", e.Type)
		t.row("entity", e.Entity)
		t.row("happened", date(e.Time))
		t.row("published", date(e.CreatedDate))
		t.row("deliveries", outcomes(e.Deliveries))
		t.row("context", compact(e.Context, "none"))
		t.row("config filter", compact(e.ConfigFilter, "none"))
		t.row("data", compact(e.Data, "null"))
	})
}

type eventExplain struct {
	ID string `arg:"" help:"The event's id."`
}

// Run explains.
func (c *eventExplain) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	list, err := take(api.Explain(ctx, c.ID), math.MaxInt)
	if err != nil {
		return err
	}
	return a.print(list, func(t table) {
		t.row("HOOK", "NAME", "OUTCOME", "ATTEMPTS", "WHY")
		for _, x := range list {
			t.row(x.Hook.String(), x.Name, withReason(x.Outcome, x.Reason), fmt.Sprint(x.AttemptCount), x.Detail)
		}
	})
}
