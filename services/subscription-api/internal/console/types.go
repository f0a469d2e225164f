package console

import (
	"context"
	"fmt"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type typeBody struct {
	Name, Description string
	// Origin says where the type comes from.
	Origin          usecase.Origin
	Schema, Example string
	// Command publishes the example.
	Command string
}

func newTypeBody(t *usecase.EventType) typeBody {
	return typeBody{Name: t.Name, Description: t.Description, Origin: t.Origin, Schema: textOf(t.Schema), Example: textOf(t.Example)}
}

func (c *console) listTypes(ctx context.Context, v *visit) (reply, error) {
	types, err := c.Cases.Types.List(ctx, &v.Caller)
	if err != nil {
		return reply{}, err
	}
	list := make([]typeBody, len(types))
	for i := range types {
		list[i] = newTypeBody(&types[i])
	}
	return page("types", "Event types", list), nil
}

func (c *console) typePage(ctx context.Context, v *visit) (reply, error) {
	t, err := c.Cases.Types.Get(ctx, &v.Caller, v.r.PathValue("name"))
	if err != nil {
		return reply{}, err
	}
	body := newTypeBody(&t)
	if body.Example != "" {
		body.Command = fmt.Sprintf("whisperer event publish --event-type %s --example", t.Name)
	}
	return page("type", t.Name, body), nil
}
