package manifest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// LacksSecret reports whether the change creates a hook whose secret comes from a variable that is not set.
func (c *Change) LacksSecret(f *File) bool {
	i := slices.IndexFunc(f.Hooks, func(h Hook) bool { return h.Name == c.Name })
	if i < 0 || c.Kind != Create || c.Noun != OfHook {
		return false
	}
	text, _ := f.Hooks[i].fields["secret_key"].shown.(string)
	return slices.ContainsFunc(f.Missing, func(name string) bool { return strings.Contains(text, "${"+name+"}") })
}

// MissingBesideSecrets returns the variables that are not set and that do not stand for a hook's secret.
func (f *File) MissingBesideSecrets() []string {
	return slices.DeleteFunc(slices.Clone(f.Missing), func(name string) bool {
		for i := range f.Hooks {
			for field, v := range f.Hooks[i].fields {
				if field != "secret_key" && strings.Contains(shown("", v.shown), "${"+name+"}") {
					return false
				}
			}
		}
		return true
	})
}

// SetSecret sets the secret of the hook that the change creates.
func (c *Change) SetSecret(secret string) { c.fields.SecretKey = client.Set(secret) }

// Apply makes the change. It returns webhook.ErrVersion if somebody changed the hook since the plan.
func (c *Change) Apply(ctx context.Context, api *client.Client) error {
	var err error
	switch {
	case c.Kind == Leave:
	case c.Noun == OfTenant:
		err = api.Tenants.SetHandshake(ctx, c.Name, string(c.handshake))
	case c.Noun == OfRetention:
		_, err = api.Retention.Set(ctx, c.Name, c.days)
	case c.Noun == OfEventType && c.Kind == Delete:
		err = api.EventTypes.Delete(ctx, c.Name)
	case c.Noun == OfEventType:
		_, err = api.EventTypes.Declare(ctx, c.declare)
	case c.Kind == Create:
		_, err = api.Hooks.Create(ctx, c.fields)
	case c.Kind == Update:
		_, err = api.Hooks.Update(ctx, *c.Hook, c.version, c.fields)
	case c.Kind == Delete:
		if err = api.Hooks.Delete(ctx, *c.Hook); errors.Is(err, webhook.ErrNotFound) {
			err = nil // somebody else deleted it first
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s %q: %w", c.Kind, c.Noun, c.Name, err)
	}
	return nil
}
