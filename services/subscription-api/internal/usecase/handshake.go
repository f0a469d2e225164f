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
	// HandshakeTimeout bounds how much longer saving a hook takes because of handshakes.
	HandshakeTimeout = 2*attempt.HandshakeTimeout + 4*storeTimeout

	// A tenant may make this many handshakes at once, and one more per interval.
	handshakeBurst = 100
	handshakeEvery = time.Second
)

// proofs are the origins that a hook may send to: the receivers have agreed, or need not be asked.
type proofs struct {
	all     bool // no receiver has to be asked
	origins []string
}

// cover checks that a change sends to no other origins than those; before is nil for a new hook.
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

// unproven returns the destinations whose origin the hook did not have before; for a new hook, all of them.
func unproven(before, after *webhook.Hook) []webhook.Destination {
	var had []string
	if before != nil {
		for _, d := range before.Destinations() {
			had = append(had, webhook.OriginOf(d.URL))
		}
	}
	return slices.DeleteFunc(after.Destinations(), func(d webhook.Destination) bool { return slices.Contains(had, webhook.OriginOf(d.URL)) })
}

// handshake makes the handshakes that the tenant's policy requires for new destinations. A receiver that does not
// agree is an error of the field. It must not be called in a transaction, because a receiver may take its time.
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

// ask makes one handshake, and records it in the audit log. If the receiver does not agree, it adds an error to
// invalid.
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
