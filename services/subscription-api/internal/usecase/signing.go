package usecase

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// KeySetAge is how long readers may cache a key set.
const KeySetAge = httpsig.CacheAge

// KeySetPath returns the path below the API's URL where a tenant's public keys are published.
func KeySetPath(tenant string) string { return "/.well-known/whisperer/" + tenant + "/jwks.json" }

// PublicKeys returns a tenant's public keys, for anybody. It returns webhook.ErrNotFound for a tenant that has none,
// and ErrUnavailable before the keys are loaded.
func (s *Signing) PublicKeys(tenant string) ([]httpsig.JWK, error) {
	if !s.Keys.Loaded() {
		return nil, ErrUnavailable
	}
	keys := s.Keys.Published(tenant, time.Now())
	if len(keys) == 0 {
		return nil, webhook.ErrNotFound
	}
	return keys, nil
}

// List returns the keys that sign the tenant's HTTP Message Signatures, by algorithm, the newest first.
func (s *Signing) List(ctx context.Context, c *Caller) ([]SigningKey, error) {
	return s.access.SigningKeys(ctx, c.Tenant)
}

// KeyRotation says which of a tenant's signing keys to replace.
type KeyRotation struct {
	// Algorithm is one of webhook.MessageAlgorithms; if it is absent, all are replaced.
	Algorithm Optional[string]
	// Revoke removes the previous keys from the key set at once.
	Revoke Optional[bool]
}

// Rotate makes the tenant's next keys the current ones, and returns all keys. A tenant without keys gets some.
func (s *Signing) Rotate(ctx context.Context, c *Caller, r KeyRotation) ([]SigningKey, error) {
	invalid := &webhook.ValidationError{}
	algorithm := strings.ToLower(r.Algorithm.Value)
	if r.Algorithm.Given() && !slices.Contains(webhook.MessageAlgorithms(), algorithm) {
		invalid.Add("/algorithm", "must be %s, or absent for all of them", strings.Join(webhook.MessageAlgorithms(), " or "))
		return nil, invalid
	}
	created, err := s.ensureSigningKeys(ctx, c)
	if err != nil {
		return nil, err
	}
	if !created {
		err = s.access.RotateSigningKeys(ctx, c.Actor(), c.Tenant, store.Rotation{Algorithm: algorithm, Revoke: r.Revoke.Value})
		early := (*store.EarlyRotationError)(nil)
		if errors.As(err, &early) || errors.Is(err, store.ErrNextKey) {
			invalid.Add("/revoke", "is needed: %s. It drops the keys before at once", err)
			return nil, invalid
		}
		if err != nil {
			return nil, err
		}
	}
	keys, err := s.access.SigningKeys(ctx, c.Tenant)
	if err == nil {
		s.Keys.Put(c.Tenant, keys)
	}
	return keys, err
}

// ensureSigningKeys creates the tenant's signing keys if it has none.
func (s *core) ensureSigningKeys(ctx context.Context, c *Caller) (created bool, err error) {
	return s.access.EnsureSigningKeys(ctx, c.Actor(), c.Tenant)
}

// needSigningKeys creates the tenant's signing keys if a hook needs them. They must exist before the hook does, for
// all workers.
func (s *core) needSigningKeys(ctx context.Context, c *Caller, h *webhook.Hook) error {
	if !h.Config.Signature.Message() {
		return nil
	}
	if created, err := s.ensureSigningKeys(ctx, c); err != nil || !created {
		return err
	}
	keys, err := s.access.SigningKeys(ctx, c.Tenant)
	if err == nil {
		s.Keys.Put(c.Tenant, keys)
	}
	return err
}
