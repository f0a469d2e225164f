package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// hookArg is the hook that a command is about.
type hookArg struct {
	Hook string `arg:"" help:"The hook: its id, the start of its id, or its name."`
}

// find returns a client and looks up the hook.
func (c *hookArg) find(ctx context.Context, a *app) (*client.Client, uuid.UUID, error) {
	server, err := a.client()
	if err != nil {
		return nil, uuid.Nil, err
	}
	id, err := findHook(ctx, server, c.Hook)
	return server, id, err
}

func findHook(ctx context.Context, server *client.Client, ref string) (uuid.UUID, error) {
	return find("hook", ref, server.Hooks.List(ctx, client.HookFilter{Search: ref}), func(h *client.Hook) (uuid.UUID, string) { return h.ID, h.Name })
}

// find returns the id of the object in the list that ref identifies by its id, a prefix of its id, or its name. A
// name takes precedence over an id. It returns a usage error if ref is ambiguous, and webhook.ErrNotFound if nothing
// matches.
func find[T any](what, ref string, list iter.Seq2[T, error], of func(*T) (uuid.UUID, string)) (uuid.UUID, error) {
	if id, err := uuid.Parse(ref); err == nil {
		return id, nil
	}
	type match struct {
		id   uuid.UUID
		name string
	}
	var named, begun []match
	for item, err := range list {
		if err != nil {
			return uuid.Nil, err
		}
		switch id, name := of(&item); {
		case name == ref:
			named = append(named, match{id, name})
		case strings.HasPrefix(id.String(), strings.ToLower(ref)):
			begun = append(begun, match{id, name})
		}
	}
	if len(named) == 0 {
		named = begun
	}
	switch len(named) {
	case 0:
		if what != "hook" && what != "token" { // other objects have no name
			return uuid.Nil, fmt.Errorf("no %s has an id that begins with %q: %w", what, ref, webhook.ErrNotFound)
		}
		return uuid.Nil, fmt.Errorf("no %s has the name %q or an id that begins with it: %w", what, ref, webhook.ErrNotFound)
	case 1:
		return named[0].id, nil
	}
	var b strings.Builder
	for i, m := range named {
		if i == 10 {
			fmt.Fprintf(&b, "\nand %d more", len(named)-i)
			break
		}
		b.WriteString(strings.TrimRight("\n"+m.id.String()+"  "+oneLine(m.name), " "))
	}
	return uuid.Nil, usage("%q can be any of %d:%s", ref, len(named), b.String())
}

// minPrefix is the minimum length of an id's prefix where there can be millions of objects.
const minPrefix = 4

// findDelivery looks up a delivery by its id or a prefix of it.
func findDelivery(ctx context.Context, server *client.Client, ref string) (uuid.UUID, error) {
	if id, err := uuid.Parse(ref); err == nil {
		return id, nil
	}
	id, err := find("delivery", ref, server.Deliveries.List(ctx, client.DeliveryFilter{IDPrefix: ref}), func(d *api.Delivery) (uuid.UUID, string) { return d.ID, "" })
	var problem *client.ProblemError
	if errors.As(err, &problem) && problem.Status == 400 {
		return id, usage("<delivery>: must be an id, or at least %d characters of its beginning, not %q", minPrefix, ref)
	}
	return id, err
}
