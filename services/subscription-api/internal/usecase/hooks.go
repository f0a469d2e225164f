package usecase

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Changed is a hook after a change.
type Changed struct {
	webhook.Hook

	// WasDisabled says that the hook was disabled before, so there may be something to recover.
	WasDisabled bool
}

// Create stores a new hook. If the same request was made with the key before, it returns that request's hook. In
// addition to *webhook.ValidationError, the errors are *webhook.ConflictError, store.ErrQuota and store.ErrKeyReused.
func (s *Hooks) Create(ctx context.Context, c *Caller, change *HookChange, key store.IdempotencyKey) (webhook.Hook, error) {
	h, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (h webhook.Hook, err error) {
		e, err := s.newEdit(ctx, c.Tenant, change, true)
		if err != nil {
			return h, err
		}
		return e.create(c.Tenant)
	})
	if err != nil {
		return webhook.Hook{}, err
	}
	if !h.Config.Signature.Message() { // otherwise keys would be created for a hook that its receiver does not agree to
		created, err := s.create(ctx, c, &h, key, s.hooks.CreateUnasked)
		if !errors.Is(err, store.ErrHandshake) {
			return created, err
		}
	}
	if _, err := s.handshake(ctx, c, nil, &h); err != nil {
		return webhook.Hook{}, err
	}
	return s.create(ctx, c, &h, key, s.hooks.Create)
}

// create stores a hook.
func (s *Hooks) create(ctx context.Context, c *Caller, h *webhook.Hook, key store.IdempotencyKey,
	create func(context.Context, store.Actor, webhook.Hook, int, store.IdempotencyKey) (webhook.Hook, error),
) (webhook.Hook, error) {
	// Concurrent creations wait for each other in a transaction.
	return daemon.Within(ctx, CreateTimeout, func(ctx context.Context) (webhook.Hook, error) {
		if err := s.needSigningKeys(ctx, c, h); err != nil {
			return webhook.Hook{}, err
		}
		return create(ctx, c.Actor(), *h, s.HookQuota, key)
	})
}

// Change changes a stored hook if it has the version. In addition to *webhook.ValidationError, the errors are
// webhook.ErrNotFound, webhook.ErrVersion, *webhook.ConflictError and *store.UnreadableError.
func (s *Hooks) Change(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion, change *HookChange) (Changed, error) {
	type prepared struct {
		edit          *hookEdit
		before, after *webhook.Hook // set if the change may add a destination
	}
	p, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (p prepared, err error) {
		if p.edit, err = s.newEdit(ctx, c.Tenant, change, true); err != nil || !change.TargetURL.Set && !change.sets("callback") {
			return p, err
		}
		before, err := s.hooks.Get(ctx, c.Tenant, id)
		if err != nil {
			return p, err
		}
		after := before
		if p.edit.apply(&after) == nil { // otherwise the update reports the errors, after it has checked the version
			p.before, p.after = &before, &after
		}
		return p, nil
	})
	if err != nil {
		return Changed{}, err
	}
	var proven proofs
	if p.after != nil {
		if proven, err = s.handshake(ctx, c, p.before, p.after); err != nil {
			return Changed{}, err
		}
	}
	return daemon.Within(ctx, storeTimeout, func(ctx context.Context) (Changed, error) {
		if config, err := webhook.ParseConfig(change.Config.Value); err == nil {
			if err := s.needSigningKeys(ctx, c, &webhook.Hook{Config: config}); err != nil {
				return Changed{}, err
			}
		}
		return s.update(ctx, c, id, version, func(h *webhook.Hook) error {
			before := *h
			if err := p.edit.apply(h); err != nil {
				return err
			}
			return proven.cover(&before, h)
		})
	})
}

// Check reports the errors that Create would find in a hook, except those that depend on the tenant's other hooks.
func (s *Hooks) Check(ctx context.Context, c *Caller, change *HookChange) error {
	e, err := s.newEdit(ctx, c.Tenant, change, false)
	if err != nil {
		return err
	}
	_, err = e.create(c.Tenant)
	return err
}

// maxPause bounds the length of a pause.
const maxPause = 366 * 24 * time.Hour

// Pause pauses a hook, if it has the version, until the given time. A zero time means until somebody resumes it.
func (s *Hooks) Pause(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion, until time.Time) (Changed, error) {
	if now := time.Now(); !until.IsZero() && (!until.After(now) || until.After(now.Add(maxPause))) {
		p := &webhook.ValidationError{}
		p.Add("/until", "must be in the future, and at most a year ahead")
		return Changed{}, p
	}
	return s.update(ctx, c, id, version, func(h *webhook.Hook) error {
		h.Status, h.DisabledReason, h.PausedUntil = webhook.Paused, "", until.UTC().Truncate(time.Microsecond)
		return nil
	})
}

// Resume makes a paused or disabled hook active again, if it has the version.
func (s *Hooks) Resume(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion) (Changed, error) {
	return s.update(ctx, c, id, version, func(h *webhook.Hook) error {
		h.Status, h.DisabledReason, h.PausedUntil = webhook.Active, "", time.Time{}
		return nil
	})
}

func (s *Hooks) update(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion, edit func(*webhook.Hook) error) (out Changed, err error) {
	out.Hook, err = s.hooks.Update(ctx, c.Actor(), c.Tenant, id, version, func(h *webhook.Hook) error {
		out.WasDisabled = h.Status == webhook.Disabled
		return edit(h)
	})
	return out, err
}

// Algorithms of secrets that RotateSecret generates.
const (
	AlgorithmHMAC    = "hmac-sha256" // signs v1
	AlgorithmEd25519 = "ed25519"     // signs v1a
)

// Rotation says which secret a hook gets.
type Rotation struct {
	// Secret is the new secret; if it is absent, one is generated.
	Secret Optional[string]
	// Algorithm is that of a generated secret; if it is absent, AlgorithmHMAC.
	Algorithm Optional[string]
}

// Rotated is a hook with a new secret.
type Rotated struct {
	webhook.Hook

	// Secret is the new secret, which is only shown this once.
	Secret string
	// OldUntil is until when the previous secret signs as well; zero if there was none.
	OldUntil time.Time
}

// RotateSecret gives a hook a new secret, if it has the version. The previous one also signs for some time.
func (s *Hooks) RotateSecret(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion, r Rotation) (out Rotated, err error) {
	if out.Secret, err = r.secret(); err != nil {
		return out, err
	}
	out.Hook, err = s.hooks.Update(ctx, c.Actor(), c.Tenant, id, version, func(h *webhook.Hook) error {
		out.OldUntil = h.RotateSecret(out.Secret, time.Now())
		if err := h.Validate(); err != nil {
			return err
		}
		return checkKey(out.Secret)
	})
	return out, err
}

func (r *Rotation) secret() (string, error) {
	invalid := &webhook.ValidationError{}
	switch algorithm := strings.ToLower(r.Algorithm.Value); {
	case r.Secret.Given() && r.Algorithm.Given():
		invalid.Add("/algorithm", "is for a secret that is made here: leave out secret_key, or this")
	case r.Secret.Given():
		return r.Secret.Value, nil
	case algorithm == "" || algorithm == AlgorithmHMAC:
		return signature.GenerateSecret(), nil
	case algorithm == AlgorithmEd25519:
		return signature.GeneratePrivate(), nil
	default:
		invalid.Add("/algorithm", "must be %s or %s", AlgorithmHMAC, AlgorithmEd25519)
	}
	return "", invalid
}

// checkKey reports a secret that cannot be used for signing.
func checkKey(secret string) error {
	invalid := &webhook.ValidationError{}
	if _, err := signature.ParseKey(secret); err != nil {
		invalid.Collect("/secret_key", err)
	}
	return invalid.OrNil()
}

// PublicKey returns the public half of an ed25519 secret, or nil for other secrets.
func PublicKey(secret string) *string {
	key, err := signature.ParseKey(secret)
	if err != nil || key.Public() == "" {
		return nil
	}
	public := key.Public()
	return &public
}

func addUnknownType(into *webhook.ValidationError, pointer, name string, types []catalogue.Type) {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	into.Add(pointer, "%q is not a known event type; the nearest are %s", webhook.Clip(name), strings.Join(catalogue.Nearest(name, names, 3), ", "))
}

// Delete deletes a hook, if it has the version, and ends its deliveries. The errors are webhook.ErrNotFound and
// webhook.ErrVersion.
func (s *Hooks) Delete(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion) error {
	return s.hooks.Delete(ctx, c.Actor(), c.Tenant, id, version)
}

// DeleteSoon deletes a hook in a way that can be undone for a short time. Its deliveries stop at once, and end when
// that time is over. It returns webhook.ErrNotFound if there is no such hook.
func (s *Hooks) DeleteSoon(ctx context.Context, c *Caller, id uuid.UUID) error {
	return s.hooks.DeleteSoon(ctx, c.Actor(), c.Tenant, id)
}

// Deleted returns a hook whose deletion can still be undone, or webhook.ErrNotFound.
func (s *Hooks) Deleted(ctx context.Context, c *Caller, id uuid.UUID) (store.DeletedHook, error) {
	return s.hooks.Deleted(ctx, c.Tenant, id)
}

// Undelete restores a hook that was just deleted. It returns webhook.ErrNotFound if it is too late, or a
// *webhook.ConflictError.
func (s *Hooks) Undelete(ctx context.Context, c *Caller, id uuid.UUID) error {
	return s.hooks.Undelete(ctx, c.Actor(), c.Tenant, id)
}

// CountStatuses returns how many hooks SetStatuses would change.
func (s *Hooks) CountStatuses(ctx context.Context, c *Caller, change store.StatusChange) (int, error) {
	return s.hooks.CountStatusChange(ctx, c.Tenant, change)
}

// SetStatuses pauses or resumes many hooks at once, and returns how many.
func (s *Hooks) SetStatuses(ctx context.Context, c *Caller, change store.StatusChange) (int, error) {
	return s.hooks.SetStatuses(ctx, c.Actor(), c.Tenant, change)
}
