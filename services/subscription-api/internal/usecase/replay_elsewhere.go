package usecase

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Elsewhere says where to send a delivery other than to its hook's target, and how to sign that request: with a
// secret of its own, as the hook's requests are, or not at all.
type Elsewhere struct {
	TargetURL  Optional[string]
	SecretKey  Optional[string]
	SignAsHook bool
}

// ReplayElsewhere sends the request for a delivery to another URL, once, as a test. It does not count as an attempt
// of the delivery. The hook's secrets are not sent: headers, API key, credentials and client certificate. The request
// has the delivery's id; if it is signed as the hook signs and somebody forwards it to the hook's receiver, that
// receiver recognizes it as a duplicate.
//
// The errors are *webhook.ValidationError, *store.ReplayError if there is nothing to send, *store.UnreadableError,
// *LimitError, webhook.ErrNotFound and those of LookUp.
func (s *Deliveries) ReplayElsewhere(ctx context.Context, c *Caller, id uuid.UUID, to Elsewhere) (Tested, error) {
	type prepared struct {
		event        webhook.Event
		stored, sent webhook.Hook
	}
	release, err := s.LookUp(ctx, c)
	if err != nil {
		return Tested{}, err
	}
	p, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (p prepared, err error) {
		d, _, err := s.History.GetDelivery(ctx, c.Tenant, id)
		if err != nil {
			return p, err
		}
		if p.stored, err = s.hooks.Get(ctx, c.Tenant, d.HookID); err != nil {
			return p, refusedWithout(err, "The hook was deleted.")
		}
		if p.event, err = s.FindEvent(ctx, c, d.EventID); err != nil {
			return p, refusedWithout(err, "The event's payload is not kept any more.")
		}
		if d.Erased != nil {
			return p, &store.ReplayError{Reason: "The event's payload was erased."}
		}
		if p.sent, err = to.hook(s.core, &p.stored); err != nil {
			return p, err
		}
		return p, s.needSigningKeys(ctx, c, &p.sent)
	})
	release() // before the receiver takes its time
	if err != nil {
		return Tested{}, err
	}
	if wait := s.tests.Wait(c.Tenant); wait > 0 {
		return Tested{}, &LimitError{Wait: wait, Detail: "Tests are limited to one in a second."}
	}
	if _, err := s.handshake(ctx, c, &p.stored, &p.sent); err != nil {
		return Tested{}, err
	}
	if _, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.access.NoteReplayElsewhere(ctx, c.Actor(), c.Tenant, id, hostOf(p.sent.TargetURL), to.signer())
	}); err != nil {
		return Tested{}, err
	}
	result, err := s.Sender.TestAs(ctx, id, &p.sent, &p.event)
	return Tested{TestResult: result, Event: p.event}, err
}

// refusedWithout converts the error for something that no longer exists into one that says why nothing can be sent.
func refusedWithout(err error, reason string) error {
	if errors.Is(err, webhook.ErrNotFound) {
		return &store.ReplayError{Reason: reason}
	}
	return err
}

// hook returns the hook that makes the request: the stored one without what is meant for its receiver alone.
func (e *Elsewhere) hook(s *core, stored *webhook.Hook) (h webhook.Hook, err error) {
	invalid := &webhook.ValidationError{}
	h = *stored
	h.Headers, h.APIKey, h.Callback, h.Config.Auth, h.Config.TLS = nil, "", nil, nil, nil
	if h.TargetURL = ""; e.TargetURL.Given() {
		h.TargetURL, err = s.URLs.CheckURL(e.TargetURL.Value)
		invalid.Collect("/target_url", err)
	} else {
		invalid.Add("/target_url", "is required")
	}
	own := e.SecretKey.Given() && e.SecretKey.Value != ""
	switch {
	case own && e.SignAsHook:
		invalid.Add("/sign_as_hook", "does not go with secret_key: give one of them")
	case own:
		invalid.Collect("", checkKey(e.SecretKey.Value))
		if h.Secrets = []webhook.Secret{{Value: e.SecretKey.Value}}; len(e.SecretKey.Value) > webhook.MaxSecretLength {
			invalid.Add("/secret_key", "must have at most %d bytes", webhook.MaxSecretLength)
		}
	case e.SignAsHook && len(h.Secrets) == 0 && h.Config.Signature == nil:
		invalid.Add("/sign_as_hook", "cannot be done: the hook has no secret")
	case !e.SignAsHook:
		h.Secrets = nil
	}
	if scheme := h.Config.Signature; scheme != nil && !e.SignAsHook && (!own || scheme.Message()) {
		h.Config.Signature = nil
	}
	return h, invalid.OrNil()
}

// signer returns what the audit log says about the signature.
func (e *Elsewhere) signer() string {
	switch {
	case e.SignAsHook:
		return "hook"
	case e.SecretKey.Given() && e.SecretKey.Value != "":
		return "own secret"
	default:
		return "none"
	}
}
