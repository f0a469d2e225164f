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

// KeySetAge is how long a key set may be kept by whoever has read it.
const KeySetAge = httpsig.CacheAge

// KeySetPath is where a tenant's public keys are published, below the API's URL.
func KeySetPath(tenant string) string { return "/.well-known/whisperer/" + tenant + "/jwks.json" }

// PublicKeys are a tenant's public keys, for anybody who asks. The errors are webhook.ErrNotFound for a tenant that has none, and
// ErrUnavailable before they are known.
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

// KeyRotation says which of a tenant's signing keys are to be replaced.
type KeyRotation struct {
	// Algorithm is one of webhook.MessageAlgorithms; all where it is not given.
	Algorithm Optional[string]
	// Revoke has the keys before published no more, at once.
	Revoke Optional[bool]
}

// Rotate has the tenant's next keys sign from now on, and returns what there is then. A tenant that has no keys gets some.
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

// ensureSigningKeys makes the tenant's signing keys where it has none.
func (s *core) ensureSigningKeys(ctx context.Context, c *Caller) (created bool, err error) {
	return s.access.EnsureSigningKeys(ctx, c.Actor(), c.Tenant)
}

// needSigningKeys makes the tenant's signing keys where a hook needs them. They are there before the hook is, for all workers.
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
