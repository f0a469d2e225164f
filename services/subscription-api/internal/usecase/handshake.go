package usecase

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

const (
	// HandshakeTimeout bounds what asking receivers adds to saving a hook.
	HandshakeTimeout = 2*attempt.HandshakeTimeout + 4*storeTimeout

	// A tenant may ask so many receivers at once, and another so often.
	handshakeBurst = 100
	handshakeEvery = time.Second
)

// proofs are the origins that a hook may get: those that receivers have agreed for, or that need not be asked.
type proofs struct {
	all     bool // nobody is to be asked
	origins []string
}

// cover reports whether a change from before, nil for a new hook, to after sends nowhere else.
func (p proofs) cover(before, after *webhook.Hook) error {
	if p.all {
		return nil
	}
	for _, d := range unproven(before, after) {
		if !slices.Contains(p.origins, webhook.OriginOf(d.URL)) {
			return webhook.ErrVersion // somebody else changed it meanwhile
		}
	}
	return nil
}

// unproven are the destinations with another origin than the hook had before; all of a new one.
func unproven(before, after *webhook.Hook) []webhook.Destination {
	var had []string
	if before != nil {
		for _, d := range before.Destinations() {
			had = append(had, webhook.OriginOf(d.URL))
		}
	}
	return slices.DeleteFunc(after.Destinations(), func(d webhook.Destination) bool { return slices.Contains(had, webhook.OriginOf(d.URL)) })
}

// handshake asks the receivers at the destinations that are new with the change, as the tenant's policy says, whether they want to be sent to. What they
// answer instead is an error of the field. It is no part of a transaction, since a receiver may take its time.
func (s *core) handshake(ctx context.Context, c *Caller, before, after *webhook.Hook) (p proofs, err error) {
	asked := unproven(before, after)
	if len(asked) == 0 {
		return p, nil
	}
	policy, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (webhook.Handshake, error) { return s.access.HandshakePolicy(ctx, c.Tenant) })
	if err != nil {
		return p, err
	}
	if policy == webhook.HandshakeOff {
		return proofs{all: true}, nil
	}
	invalid := &webhook.ValidationError{}
	for _, d := range asked {
		origin := webhook.OriginOf(d.URL)
		if slices.Contains(p.origins, origin) {
			continue
		}
		known := false
		if policy == webhook.HandshakeNewHosts {
			known, err = daemon.Within(ctx, storeTimeout, func(ctx context.Context) (bool, error) { return s.hooks.HasOrigin(ctx, c.Tenant, origin) })
			if err != nil {
				return p, err
			}
		}
		if !known {
			if err := s.ask(ctx, c, after, d, invalid); err != nil {
				return p, err
			}
		}
		p.origins = append(p.origins, origin)
	}
	return p, invalid.OrNil()
}

// ask makes one handshake, and writes it to the audit log. A receiver that does not agree is one of invalid's errors.
func (s *core) ask(ctx context.Context, c *Caller, h *webhook.Hook, d webhook.Destination, invalid *webhook.ValidationError) error {
	origin := ""
	if public, err := url.Parse(s.PublicURL); err == nil {
		origin = public.Hostname()
	}
	if origin == "" {
		invalid.Add(d.Pointer, "cannot be asked whether it wants webhooks: an operator has to set WHISPERER_PUBLIC_URL, or the tenant's handshake policy to off")
		return nil
	}
	if wait := s.handshakes.Wait(c.Tenant); wait > 0 {
		return &LimitError{Wait: wait, Detail: "Too many receivers were asked whether they want webhooks. Wait before you add another."}
	}
	refusal := s.Sender.Handshake(ctx, h, d.URL, origin)
	if ctx.Err() != nil || errors.Is(refusal, context.Canceled) {
		return context.Cause(ctx)
	}
	if _, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.access.NoteHandshake(ctx, c.Actor(), c.Tenant, hostOf(d.URL), refusal)
	}); err != nil {
		return err
	}
	if refusal != nil {
		invalid.Add(d.Pointer, "is not known to want webhooks: it has to answer OPTIONS with %s: %s, 2xx and %s: %s or *, and %s",
			webhook.HeaderRequestOrigin, origin, webhook.HeaderAllowedOrigin, origin, refusal)
	}
	return nil
}
