package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
)

type deliveryCommand struct {
	List   deliveryList   `cmd:"" help:"List deliveries, newest first."`
	Get    deliveryGet    `cmd:"" help:"Show one delivery with its attempts."`
	Retry  deliveryRetry  `cmd:"" help:"Retry a delivery now, or many."`
	Replay deliveryReplay `cmd:"" help:"Send a delivery to another URL now, as a test, and print the answer."`
	Export deliveryExport `cmd:"" help:"Write all matching deliveries, or their attempts, as CSV or JSON lines (--ndjson)."`
	Tail   deliveryTail   `cmd:"" help:"Print deliveries as they change, until interrupted."`
}

// deliveryFlags narrow a list of deliveries.
type deliveryFlags struct {
	Hook string `help:"Only those to this hook: its id, the start of its id, or its name." placeholder:"HOOK"`
	api.DeliveryFilter
}

func (c *deliveryFlags) filter(ctx context.Context, server *client.Client) (client.DeliveryFilter, error) {
	f := c.DeliveryFilter
	var err error
	if c.Hook != "" {
		f.Hook, err = findHook(ctx, server, c.Hook)
	}
	return f, err
}

type deliveryList struct {
	deliverySearch
	listFlags
}

// deliverySearch are deliveryFlags together with the time range and the search in the events' data.
type deliverySearch struct {
	deliveryFlags
	rangeFlags
	dataFlags
}

// find returns a client, and the filter from the flags.
func (c *deliverySearch) find(ctx context.Context, a *app) (*client.Client, client.DeliveryFilter, error) {
	server, err := a.client()
	if err != nil {
		return nil, client.DeliveryFilter{}, err
	}
	f, err := c.filter(ctx, server)
	if err != nil {
		return nil, f, err
	}
	f.DataFilter = client.DataFilter(c.dataFlags)
	f.From, f.To, err = c.times()
	return server, f, err
}

// Run prints the list.
func (c *deliveryList) Run(ctx context.Context, a *app) error {
	server, filter, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	list, err := take(server.Deliveries.List(ctx, filter), c.Limit)
	if err != nil {
		return err
	}
	return a.print(list, func(t *table) {
		t.head("ID", "+EVENT", "EVENT TYPE", "ENTITY", "STATE", "ATTEMPTS", "STATUS", "PUBLISHED", "+HOOK")
		for i := range list {
			d := &list[i]
			t.row(d.ID.String(), d.Event, d.EventType, firstText(d.Entity, "-"), withReason(string(d.State), string(d.Reason)),
				fmt.Sprint(d.AttemptCount), httpStatus(d.Status), date(d.CreatedDate), d.Hook.String())
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

// deliveryArg is the delivery that a command is about.
type deliveryArg struct {
	Delivery string `arg:"" help:"The delivery: its id, or the start of it."`
}

// find returns a client and looks up the delivery.
func (c *deliveryArg) find(ctx context.Context, a *app) (*client.Client, uuid.UUID, error) {
	server, err := a.client()
	if err != nil {
		return nil, uuid.Nil, err
	}
	id, err := findDelivery(ctx, server, c.Delivery)
	return server, id, err
}

type deliveryReplay struct {
	deliveryArg

	To         string `help:"Where to send it." required:"" placeholder:"URL"`
	Secret     string `help:"Sign the request with this secret (default: not signed)." env:"WHISPERER_SECRET" xor:"sign" placeholder:"TEXT"`
	SignAsHook bool   `help:"Sign it as the hook's requests." xor:"sign"`
}

// Run sends the delivery to the URL and prints the response.
func (c *deliveryReplay) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	result, err := server.Deliveries.Replay(ctx, id, client.Elsewhere{TargetURL: c.To, SecretKey: c.Secret, SignAsHook: c.SignAsHook})
	if err != nil {
		return err
	}
	return a.reportTest(&result)
}

type deliveryGet struct{ deliveryArg }

// Run prints the delivery with its attempts.
func (c *deliveryGet) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	d, err := server.Deliveries.Get(ctx, id)
	if err != nil {
		return err
	}
	return a.printDelivery(d)
}

func (a *app) printDelivery(d api.DeliveryDetail) error {
	return a.print(d, func(t *table) {
		t.row("id", d.ID.String())
		t.row("hook", d.Hook.String())
		t.row("event", d.Event+" "+d.EventType+" "+d.Entity)
		t.row("state", withReason(string(d.State), string(d.Reason)))
		if d.SupersededBy != nil {
			t.row("superseded by", d.SupersededBy.String())
		}
		t.row("published", date(d.CreatedDate))
		if d.Erased != nil {
			t.row("payload erased", erasedText(d.Erased))
		}
		if d.NextAttemptDate != nil {
			t.row("next attempt", date(*d.NextAttemptDate))
		}
		for _, at := range d.Attempts {
			took := time.Duration(at.Duration * float64(time.Second)).Round(time.Millisecond)
			t.row(fmt.Sprintf("attempt %d", at.Number), fmt.Sprintf("%s %s %s %s %s", date(at.StartedAt), at.Outcome, httpStatus(at.Status), took, at.Error))
		}
	})
}
