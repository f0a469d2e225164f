package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

type deliveryCommand struct {
	List  deliveryList  `cmd:"" help:"List deliveries, the newest first."`
	Get   deliveryGet   `cmd:"" help:"Show one delivery with its attempts."`
	Retry deliveryRetry `cmd:"" help:"Have a delivery tried again at once."`
	Tail  deliveryTail  `cmd:"" help:"Print deliveries as they change, until interrupted."`
}

// deliveryFlags narrow a list of deliveries.
type deliveryFlags struct {
	Hook      uuid.UUID `help:"Only those to this hook." placeholder:"ID"`
	Event     string    `help:"Only those of the event of this id." placeholder:"ID"`
	EventType string    `help:"Only those of events of this type or pattern." short:"e" placeholder:"TYPE"`
	Entity    string    `help:"Only those of events about this, such as package:61." placeholder:"TEXT"`
	State     string    `help:"Only those that are waiting, parked, delivered, dead, cancelled; several separated by commas." placeholder:"STATE"`
	Status    int       `help:"Only those whose last attempt was answered with this HTTP status." placeholder:"N"`

	StatusClass string `help:"Only those whose last attempt was answered with such a status, or, with none, not answered." enum:"2xx,3xx,4xx,5xx,none," default:"" placeholder:"2xx|3xx|4xx|5xx|none"`
}

func (c *deliveryFlags) filter() client.DeliveryFilter {
	return client.DeliveryFilter{
		Hook: c.Hook, Event: c.Event, EventType: c.EventType, Entity: c.Entity, State: c.State, Status: c.Status, StatusClass: c.StatusClass,
	}
}

type deliveryList struct {
	deliveryFlags
	listFlags
	rangeFlags
	dataFlags
}

// Run lists.
func (c *deliveryList) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	filter := c.filter()
	filter.DataFilter = client.DataFilter(c.dataFlags)
	if filter.From, filter.To, err = c.times(time.Now()); err != nil {
		return err
	}
	list, err := take(api.Deliveries(ctx, filter), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t table) {
		t.row("ID", "EVENT", "EVENT TYPE", "STATE", "ATTEMPTS", "STATUS", "PUBLISHED")
		for i := range list {
			d := &list[i]
			t.row(d.ID.String(), d.Event, d.EventType, withReason(string(d.State), string(d.Reason)), fmt.Sprint(d.AttemptCount),
				httpStatus(d.Status), date(d.CreatedDate))
		}
	})
}

func withReason(state, reason string) string {
	if reason == "" {
		return state
	}
	return state + " (" + reason + ")"
}

func httpStatus(status *int) string {
	if status == nil {
		return "-"
	}
	return fmt.Sprint(*status)
}

type deliveryGet struct {
	ID uuid.UUID `arg:"" help:"The delivery's id."`
}

// Run shows.
func (c *deliveryGet) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	d, err := api.Delivery(ctx, c.ID)
	if err != nil {
		return err
	}
	return a.printDelivery(d)
}

type deliveryRetry struct {
	ID    uuid.UUID `arg:"" help:"The delivery's id."`
	Force bool      `help:"Send it again although it was delivered."`
}

// Run retries.
func (c *deliveryRetry) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	d, err := api.RetryDelivery(ctx, c.ID, c.Force)
	if err != nil {
		return err
	}
	return a.printDelivery(d)
}

func (a *app) printDelivery(d client.Delivery) error {
	return a.print(d, func(t table) {
		t.row("id", d.ID.String())
		t.row("hook", d.Hook.String())
		t.row("event", d.Event+" "+d.EventType+" "+d.Entity)
		t.row("state", withReason(string(d.State), string(d.Reason)))
		t.row("published", date(d.CreatedDate))
		if d.NextAttemptDate != nil {
			t.row("next attempt", date(*d.NextAttemptDate))
		}
		for _, at := range d.Attempts {
			took := time.Duration(at.Duration * float64(time.Second)).Round(time.Millisecond)
			t.row(fmt.Sprintf("attempt %d", at.Number), fmt.Sprintf("%s %s %s %s %s", date(at.StartedAt), at.Outcome, httpStatus(at.Status), took, at.Error))
		}
	})
}
