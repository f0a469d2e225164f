package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

type retentionCommand struct {
	List   retentionList   `cmd:"" help:"List how long payloads of event types are kept."`
	Set    retentionSet    `cmd:"" help:"Keep an event type's payloads for this many days; older ones are erased."`
	Remove retentionRemove `cmd:"" help:"Keep an event type's payloads as long as all others."`
}

type retentionList struct{}

// Run prints the list.
func (c *retentionList) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	list, err := server.Retention.List(ctx)
	return a.printRetention(list, err)
}

func (a *app) printRetention(list []api.RetentionPolicy, err error) error {
	if err != nil {
		return err
	}
	return a.print(list, func(t *table) {
		t.head("EVENT TYPE", "DAYS", "CREATED")
		for _, p := range list {
			t.row(p.EventType, fmt.Sprint(p.Days), date(p.CreatedDate))
		}
	})
}

type retentionSet struct {
	EventType string `arg:"" help:"The event type, or a pattern such as 'order.>'."`
	Days      int    `arg:"" help:"Days after publication."`
	Yes       bool   `help:"Don't ask." short:"y"`
}

// Run asks for confirmation and sets the policy.
func (c *retentionSet) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	if err := a.confirm(c.Yes, fmt.Sprintf("Erase the payloads of %s permanently once they are older than %d days?", c.EventType, c.Days)); err != nil {
		return err
	}
	list, err := server.Retention.Set(ctx, c.EventType, &c.Days)
	return a.printRetention(list, err)
}

type retentionRemove struct {
	EventType string `arg:"" help:"The event type or pattern."`
}

// Run removes the policy.
func (c *retentionRemove) Run(ctx context.Context, a *app) error {
	server, err := a.client()
	if err != nil {
		return err
	}
	there, err := server.Retention.List(ctx)
	if err != nil {
		return err
	}
	name := webhook.NormalizeEventType(c.EventType)
	if !slices.ContainsFunc(there, func(p api.RetentionPolicy) bool { return p.EventType == name }) {
		return fmt.Errorf("no retention policy for %s: %w", name, webhook.ErrNotFound)
	}
	list, err := server.Retention.Set(ctx, c.EventType, nil)
	return a.printRetention(list, err)
}
