package drainer

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
)

// exclude takes a hook's lease alone; nil where another worker has it.
func (d *Drainer) exclude(ctx context.Context, hook uuid.UUID) (*lease.Held, error) {
	return lease.Take(ctx, d.Leases, leaseName(hook), d.Worker, d.Log)
}

// shared is a hook's lease that others may have as well, and the claims that this worker has under it. A claim expires
// later than what lease.Held knows.
type shared struct {
	*lease.Held

	claims claims
	hook   uuid.UUID
	holder uuid.UUID // of this worker, while it has the lease

	mu   sync.Mutex
	mine int // claims
}

// join takes a hook's lease together with others; nil where another worker has it alone.
func (d *Drainer) join(ctx context.Context, hook uuid.UUID) (*shared, error) {
	begin, name := time.Now(), leaseName(hook)
	ok, err := d.Leases.ShareLease(ctx, name, lease.Time)
	if err != nil || !ok {
		return nil, err
	}
	s := &shared{claims: d.Claims, hook: hook, holder: uuid.New()}
	s.Held = lease.Hold(ctx, begin, lease.Terms{
		Name: name, Renew: s.renew, Log: d.Log,
		Release: func(ctx context.Context) error { return d.Leases.UnshareLease(ctx, name, hook) },
	})
	return s, nil
}

func (s *shared) renew(ctx context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.claims.RenewClaims(ctx, leaseName(s.hook), s.hook, s.holder, lease.Time)
	return n >= s.mine, err
}

// claim takes the next range; nil where there is none, and why.
func (s *shared) claim(limit int) (*postgres.Claim, postgres.Unclaimed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, why, err := s.claims.ClaimParked(s.Context(), leaseName(s.hook), s.hook, s.holder, lease.Time, limit)
	if c != nil {
		s.mine++
	}
	return c, why, err
}

// end gives a claim back; with again, to whoever comes next.
func (s *shared) end(ctx context.Context, c postgres.Claim, again bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mine--
	return s.claims.EndClaim(ctx, c, s.holder, again)
}
