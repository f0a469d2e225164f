package cli

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/edits"
)

// natsTimeout bounds publishing to NATS, including the connection.
const natsTimeout = 5 * time.Second

type eventCommand struct {
	Publish eventPublish `cmd:"" help:"Publish an event; return when it is stored."`
	List    eventList    `cmd:"" help:"List events, newest first."`
	Get     eventGet     `cmd:"" help:"Show an event with its payload and its deliveries."`
	Explain eventExplain `cmd:"" help:"Explain why each hook did or did not get an event."`
}

type eventPublish struct {
	EventType    string `help:"Event type, such as package.created." short:"e" aliases:"type" required:"" placeholder:"TYPE"`
	Data         string `help:"The event's data: JSON, @FILE or - for standard input." short:"d" xor:"data" placeholder:"JSON"`
	Example      bool   `help:"Publish the catalogue's example of the type." xor:"data"`
	Entity       string `help:"What the event is about, such as package:61." placeholder:"TEXT"`
	ID           string `help:"Event id; publishing it again within 24 h has no effect (default: a new one)." placeholder:"ID"`
	Context      string `help:"The event's context, an object: JSON, @FILE or -." placeholder:"JSON"`
	ConfigFilter string `help:"Only for hooks whose config contains this: JSON, @FILE or -." placeholder:"JSON"`
	NATS         string `help:"Publish to this NATS server instead of the API." name:"nats" placeholder:"URL"`
	namespaceFlag
}

// Run publishes the event over HTTP, or over NATS.
func (c *eventPublish) Run(ctx context.Context, a *app) error {
	e, err := c.event(a)
	if err != nil {
		return err
	}
	if c.NATS != "" {
		return c.toNATS(ctx, a, e)
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	published, err := server.Events.Publish(ctx, e)
	if err != nil {
		return err
	}
	a.warnUnknown(ctx, server, e.Type)
	return a.printPublished(e.Type, published)
}

// warnUnknown warns of an event type that is neither built in nor declared, and suggests one. It is not an error,
// because hooks may match it nevertheless.
func (a *app) warnUnknown(ctx context.Context, server *client.Client, name string) {
	types, err := server.EventTypes.List(ctx)
	if err != nil || len(types) == 0 || slices.ContainsFunc(types, func(t api.EventType) bool { return t.Name == name }) {
		return
	}
	nearest := slices.MinFunc(types, func(a, b api.EventType) int {
		return edits.Characters(name, a.Name) - edits.Characters(name, b.Name)
	}).Name
	meant := ""
	if edits.Characters(name, nearest) <= max(2, len(name)/4) {
		meant = "; is " + nearest + " meant?"
	}
	a.complain("", "warning: %s is neither a built-in nor a declared event type%s", name, meant)
}

// event returns the event to publish. It always has an id, so that the command can be repeated if the response was
// lost.
func (c *eventPublish) event(a *app) (client.Event, error) {
	e := client.Event{ID: c.ID, Type: webhook.NormalizeEventType(c.EventType), Entity: c.Entity}
	if err := webhook.ValidateEventType(e.Type); err != nil {
		return e, usage("--event-type: %s", err)
	}
	if e.ID == "" {
		e.ID = uuid.NewString()
	}
	switch {
	case c.Example:
		known, ok := catalogue.Find(e.Type)
		if !ok {
			return e, usage("--example: there is none for %s; `whisperer event-type list` lists the types that have one", e.Type)
		}
		e.Data, e.Context = known.Example, known.Context
		e.Entity = firstText(e.Entity, known.Entity)
	case c.Data == "":
		return e, usage("give --data or --example")
	}
	for _, flag := range []struct {
		name, value string
		into        *json.RawMessage
	}{{"data", c.Data, &e.Data}, {"context", c.Context, &e.Context}, {"config-filter", c.ConfigFilter, &e.ConfigFilter}} {
		if flag.value == "" {
			continue
		}
		raw, err := a.readJSON(flag.name, flag.value)
		if err != nil {
			return e, err
		}
		*flag.into = raw
	}
	return e, nil
}

func (c *eventPublish) toNATS(ctx context.Context, a *app, e client.Event) error {
	nats, err := a.connectNATS(ctx, c.NATS, c.Namespace)
	if err != nil {
		return err
	}
	defer nats.Close()
	if err := natsPublisher(nats, firstText(a.Tenant, webhook.DefaultTenant))(ctx, []client.Event{e}); err != nil {
		return errors.Join(client.ErrUnavailable, err)
	}
	return a.printPublished(e.Type, api.Published{EventID: e.ID, Results: []api.PublishedEvent{{EventID: e.ID}}})
}

func (a *app) printPublished(eventType string, p api.Published) error {
	return a.print(p, func(t *table) {
		t.row("published " + eventType + " " + p.EventID)
	})
}
