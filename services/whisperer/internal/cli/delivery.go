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
}

type deliveryList struct {
	Hook      uuid.UUID     `help:"Only those to this hook." placeholder:"ID"`
	Event     string        `help:"Only those of the event of this id." placeholder:"ID"`
	EventType string        `help:"Only those of events of this type or pattern." placeholder:"TYPE"`
	Entity    string        `help:"Only those of events about this, such as package:61." placeholder:"TEXT"`
	State     string        `help:"Only those that are waiting, parked, delivered, dead, cancelled; several separated by commas." placeholder:"STATE"`
	Status    int           `help:"Only those whose last attempt was answered with this HTTP status." placeholder:"N"`
	Since     time.Duration `help:"How far back to go (default: seven days)." placeholder:"DURATION"`
	Limit     int           `help:"How many to print at the most." default:"100" placeholder:"N"`
}

// Run lists.
func (c *deliveryList) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	filter := client.DeliveryFilter{
		Hook: c.Hook, Event: c.Event, EventType: c.EventType, Entity: c.Entity, State: c.State, Status: c.Status,
	}
	if c.Since > 0 {
		filter.From = time.Now().Add(-c.Since)
	}
	list := []client.Delivery{}
	for d, err := range api.Deliveries(ctx, filter) {
		if err != nil {
			return err
		}
		if len(list) == c.Limit {
			break
		}
		list = append(list, d)
	}
	return a.print(list, func(t table) {
		t.row("ID", "EVENT", "EVENT TYPE", "STATE", "ATTEMPTS", "STATUS", "PUBLISHED")
		for _, d := range list {
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

type eventExplain struct {
	ID string `arg:"" help:"The event's id."`
}

// Run explains.
func (c *eventExplain) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	list := []client.Explained{}
	for x, err := range api.Explain(ctx, c.ID) {
		if err != nil {
			return err
		}
		list = append(list, x)
	}
	return a.print(list, func(t table) {
		t.row("HOOK", "NAME", "OUTCOME", "ATTEMPTS", "WHY")
		for _, x := range list {
			t.row(x.Hook.String(), x.Name, withReason(x.Outcome, x.Reason), fmt.Sprint(x.AttemptCount), x.Detail)
		}
	})
}

type hookRotate struct {
	ID uuid.UUID `arg:"" help:"The hook's id."`
}

// Run rotates.
func (c *hookRotate) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	r, err := api.RotateSecret(ctx, c.ID)
	if err != nil {
		return err
	}
	return a.print(r, func(t table) {
		t.row("secret, shown only now", r.SecretKey)
		if r.OldUntil != nil {
			t.row("the old one signs until", date(*r.OldUntil))
		}
	})
}
