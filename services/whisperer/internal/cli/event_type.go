package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

type eventTypeCommand struct {
	List    eventTypeList    `cmd:"" help:"List the known event types."`
	Get     eventTypeGet     `cmd:"" help:"Show an event type with its schema and example."`
	Declare eventTypeDeclare `cmd:"" help:"Declare an event type for the tenant, or change it."`
	Set     eventTypeSet     `cmd:"" help:"Set how a type's schema is checked, or deprecate the type."`
	Remove  eventTypeRemove  `cmd:"" help:"Remove a declared event type; hooks that name it keep it."`
}

type eventTypeList struct{}

// Run prints the list.
func (c *eventTypeList) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	types, err := server.EventTypes.List(ctx)
	if err != nil {
		return err
	}
	return a.print(types, func(t *table) {
		t.head("TYPE", "CHECK", "MEANS")
		for _, et := range types {
			t.row(et.Name, et.SchemaCheck, et.Description)
		}
	})
}

type eventTypeGet struct {
	Name string `arg:"" help:"The event type."`
}

// Run prints the event type.
func (c *eventTypeGet) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	types, err := server.EventTypes.List(ctx)
	if err != nil {
		return err
	}
	name := webhook.NormalizeEventType(c.Name)
	i := slices.IndexFunc(types, func(t api.EventType) bool { return t.Name == name })
	if i < 0 {
		return fmt.Errorf("event type %s: %w", name, webhook.ErrNotFound)
	}
	return a.printEventType(&types[i])
}

func (a *app) printEventType(et *api.EventType) error {
	return a.print(et, func(t *table) {
		t.row("name", et.Name)
		t.row("means", et.Description)
		t.row("built in", yesNo(et.BuiltIn))
		t.row("schema check", et.SchemaCheck)
		t.row("deprecated", yesNo(et.Deprecated))
		t.row("schema", compact(et.Schema, "none"))
		t.row("example", compact(et.Example, "none"))
	})
}

type eventTypeDeclare struct {
	Name        string `arg:"" help:"The event type: words of a-z, 0-9 and _ joined by dots."`
	Description string `help:"What such an event means." placeholder:"TEXT"`
	Schema      string `help:"JSON Schema of the events' data: JSON, @FILE or -." placeholder:"JSON"`
	Example     string `help:"An event's data: JSON, @FILE or -." placeholder:"JSON"`
}

// Run declares the event type.
func (c *eventTypeDeclare) Run(ctx context.Context, a *app) error {
	fields := client.EventTypeFields{Name: c.Name, Description: c.Description}
	var err error
	if c.Schema != "" {
		if fields.Schema, err = a.readJSON("schema", c.Schema); err != nil {
			return err
		}
	}
	if c.Example != "" {
		if fields.Example, err = a.readJSON("example", c.Example); err != nil {
			return err
		}
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	et, err := server.EventTypes.Declare(ctx, fields)
	if err != nil {
		return err
	}
	return a.printEventType(&et)
}

type eventTypeSet struct {
	Name       string `arg:"" help:"The event type, built in or declared."`
	Check      string `help:"What to do with data that does not fit the schema: off (nothing), warn (mark the event) or reject." enum:",off,warn,reject" default:"" placeholder:"WHAT"`
	Deprecated *bool  `help:"Mark the type as deprecated, or with --no-deprecated as not." negatable:""`
}

// Run changes the settings of the event type.
func (c *eventTypeSet) Run(ctx context.Context, a *app) error {
	if c.Check == "" && c.Deprecated == nil {
		return usage("give --check, --deprecated or --no-deprecated")
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	et, err := server.EventTypes.Update(ctx, webhook.NormalizeEventType(c.Name), client.EventTypeSettings{
		SchemaCheck: c.Check, Deprecated: c.Deprecated,
	})
	if err != nil {
		return err
	}
	return a.printEventType(&et)
}

type eventTypeRemove struct {
	Name string `arg:"" help:"The event type."`
}

// Run removes the event type.
func (c *eventTypeRemove) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	name := webhook.NormalizeEventType(c.Name)
	if err := server.EventTypes.Delete(ctx, name); err != nil {
		return err
	}
	a.done("removed event type %s", name)
	return nil
}
