package console

import (
	"context"
	"fmt"
	"slices"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
)

type typeBody struct {
	Name, Description string
	// Origin says who knows the type.
	Origin          string
	Schema, Example string
	// Command publishes the example.
	Command string
}

// allTypes are the types that are known from the start, those that the tenant declared, and those by which Whisperer tells of itself.
func (c *console) allTypes(ctx context.Context, tenant string) ([]typeBody, error) {
	types, err := c.Cases.KnownTypes(ctx, tenant)
	if err != nil {
		return nil, err
	}
	list := make([]typeBody, len(types))
	for i, t := range types {
		list[i] = typeBody{Name: t.Name, Description: t.Description, Origin: "declared", Schema: textOf(t.Schema), Example: textOf(t.Example)}
		if _, builtIn := catalogue.Find(t.Name); builtIn {
			list[i].Origin = "built in"
		}
		if slices.ContainsFunc(catalogue.Operational(), func(o catalogue.Type) bool { return o.Name == t.Name }) {
			list[i].Origin = "about webhooks"
		}
	}
	return list, nil
}

func (c *console) listTypes(ctx context.Context, v *visit) (reply, error) {
	list, err := c.allTypes(ctx, v.Tenant)
	if err != nil {
		return reply{}, err
	}
	return page("types", "Event types", list), nil
}

func (c *console) typePage(ctx context.Context, v *visit) (reply, error) {
	name := v.r.PathValue("name")
	list, err := c.allTypes(ctx, v.Tenant)
	if err != nil {
		return reply{}, err
	}
	for _, t := range list {
		if t.Name == name {
			if t.Example != "" {
				t.Command = fmt.Sprintf("whisperer event publish --type %s --example", t.Name)
			}
			return page("type", t.Name, t), nil
		}
	}
	return reply{}, fmt.Errorf("event type: %w", webhook.ErrNotFound)
}
