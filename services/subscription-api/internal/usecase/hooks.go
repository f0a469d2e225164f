package usecase

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Changed is a hook after a change.
type Changed struct {
	webhook.Hook

	// WasDisabled says that it was disabled before, so that there may be something to recover.
	WasDisabled bool
}

// CreateHook stores a new hook. With a key that was used before for the same request it returns that request's hook. The errors
// beyond *webhook.ValidationError are *webhook.ConflictError, store.ErrQuota and store.ErrKeyReused.
func (s *Service) CreateHook(ctx context.Context, c *Caller, change *HookChange, key store.IdempotencyKey) (webhook.Hook, error) {
	e, err := s.newEdit(ctx, c.Tenant, change, true)
	if err != nil {
		return webhook.Hook{}, err
	}
	h, err := e.create(c.Tenant)
	if err != nil {
		return webhook.Hook{}, err
	}
	return s.Hooks.CreateHook(ctx, c.Actor(), h, s.HookQuota, key)
}

// ChangeHook changes a stored hook, if it has the version. The errors beyond *webhook.ValidationError are webhook.ErrNotFound,
// webhook.ErrVersion, *webhook.ConflictError and *store.UnreadableError.
func (s *Service) ChangeHook(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion, change *HookChange) (Changed, error) {
	e, err := s.newEdit(ctx, c.Tenant, change, true)
	if err != nil {
		return Changed{}, err
	}
	return s.updateHook(ctx, c, id, version, e.apply)
}

// CheckHook reports what CreateHook would find wrong with a hook, but for what depends on the tenant's other hooks.
func (s *Service) CheckHook(ctx context.Context, c *Caller, change *HookChange) error {
	e, err := s.newEdit(ctx, c.Tenant, change, false)
	if err != nil {
		return err
	}
	_, err = e.create(c.Tenant)
	return err
}

// SetStatus pauses a hook, or makes a paused or disabled one active again, if it has the version.
func (s *Service) SetStatus(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion, status webhook.HookStatus) (Changed, error) {
	return s.updateHook(ctx, c, id, version, func(h *webhook.Hook) error {
		h.Status, h.DisabledReason = status, ""
		return nil
	})
}

func (s *Service) updateHook(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion, edit func(*webhook.Hook) error) (out Changed, err error) {
	out.Hook, err = s.Hooks.UpdateHook(ctx, c.Actor(), c.Tenant, id, version, func(h *webhook.Hook) error {
		out.WasDisabled = h.Status == webhook.Disabled
		return edit(h)
	})
	return out, err
}

// Algorithms of secrets that RotateSecret makes.
const (
	AlgorithmHMAC    = "hmac-sha256" // signs v1
	AlgorithmEd25519 = "ed25519"     // signs v1a
)

// Rotation says which secret a hook is to have.
type Rotation struct {
	// Secret is the new one; a secret of the algorithm is made where it is not given.
	Secret Optional[string]
	// Algorithm is AlgorithmHMAC where it is not given.
	Algorithm Optional[string]
}

// Rotated is a hook with a new secret.
type Rotated struct {
	webhook.Hook

	// Secret is the new one, which is shown this once.
	Secret string
	// OldUntil is until when the one before signs, too; zero where there was none.
	OldUntil time.Time
}

// RotateSecret gives a hook a new secret, if it has the version. The one before signs for some time beside it.
func (s *Service) RotateSecret(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion, r Rotation) (out Rotated, err error) {
	if out.Secret, err = r.secret(); err != nil {
		return out, err
	}
	out.Hook, err = s.Hooks.UpdateHook(ctx, c.Actor(), c.Tenant, id, version, func(h *webhook.Hook) error {
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

// checkKey complains about a secret that nothing can be signed with.
func checkKey(secret string) error {
	invalid := &webhook.ValidationError{}
	if _, err := signature.ParseKey(secret); err != nil {
		invalid.Collect("/secret_key", err)
	}
	return invalid.OrNil()
}

// PublicKey is the public half of an ed25519 secret, and nil for other secrets.
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

// DeleteHook deletes a hook, if it has the version; its deliveries end. The errors are webhook.ErrNotFound and webhook.ErrVersion.
func (s *Service) DeleteHook(ctx context.Context, c *Caller, id uuid.UUID, version store.IfVersion) error {
	return s.Hooks.DeleteHook(ctx, c.Actor(), c.Tenant, id, version)
}

// CountStatuses says how many hooks SetStatuses would change.
func (s *Service) CountStatuses(ctx context.Context, c *Caller, change store.StatusChange) (int, error) {
	return s.Hooks.CountStatusChange(ctx, c.Tenant, change)
}

// SetStatuses pauses or resumes many hooks at once, and says how many.
func (s *Service) SetStatuses(ctx context.Context, c *Caller, change store.StatusChange) (int, error) {
	return s.Hooks.SetStatuses(ctx, c.Actor(), c.Tenant, change)
}
