package drainer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

// held is a lease that is renewed until it is released or lost; ctx ends with it.
type held struct {
	ctx     context.Context //nolint:containedctx // it is the lease's life
	until   atomic.Int64    // nanoseconds since begin: after that nobody may act on the lease
	begin   time.Time
	release func()
}

// hold keeps a lease that was taken after begin.
func (d *Drainer) hold(ctx context.Context, begin time.Time, name string, renew func(context.Context) (bool, error), release func(context.Context) error) *held {
	h := &held{begin: begin}
	h.until.Store(int64(leaseTime - margin))
	var cancel context.CancelFunc
	h.ctx, cancel = context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { d.renew(h, cancel, name, renew) })
	h.release = func() {
		cancel()
		renewing.Wait()
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), margin)
		defer stop()
		if err := release(ctx); err != nil {
			d.Log.Warn("lease could not be released", zap.String("lease", name), zap.Error(err))
		}
	}
	return h
}

func (d *Drainer) renew(h *held, cancel context.CancelFunc, name string, renew func(context.Context) (bool, error)) {
	tick := time.NewTicker(leaseTime / 3)
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Since(h.begin)
		ok, err := renew(h.ctx)
		switch {
		case err == nil && ok:
			h.until.Store(int64(asked + leaseTime - margin))
		case err == nil, !h.valid():
			if h.ctx.Err() == nil {
				d.Log.Warn("lease was lost", zap.String("lease", name))
			}
			cancel()
			return
		}
	}
}

// valid reports whether the lease can still be acted on. It is asked right before each act, so that a worker which was
// asleep does not act on a lease that another has by now: the monotonic clock went on.
func (h *held) valid() bool {
	return h.ctx.Err() == nil && time.Since(h.begin) < time.Duration(h.until.Load())
}

// exclude takes a hook's lease alone; nil where another worker has it.
func (d *Drainer) exclude(ctx context.Context, hook uuid.UUID) (*held, error) {
	begin, name := time.Now(), leaseName(hook)
	lease, ok, err := d.Leases.AcquireLease(ctx, name, d.Worker, leaseTime)
	if err != nil || !ok {
		return nil, err
	}
	return d.hold(ctx, begin, name, func(ctx context.Context) (bool, error) {
		return d.Leases.RenewLease(ctx, lease, leaseTime)
	}, func(ctx context.Context) error { return d.Leases.ReleaseLease(ctx, lease) }), nil
}

// shared is a hook's lease that others may have as well, and the claims that this worker has under it. A claim expires
// later than what held knows.
type shared struct {
	*held
	claims claims
	hook   uuid.UUID
	holder uuid.UUID // of this worker, while it has the lease

	mu   sync.Mutex
	mine int // claims
}

// join takes a hook's lease together with others; nil where another worker has it alone.
func (d *Drainer) join(ctx context.Context, hook uuid.UUID) (*shared, error) {
	begin, name := time.Now(), leaseName(hook)
	ok, err := d.Leases.ShareLease(ctx, name, leaseTime)
	if err != nil || !ok {
		return nil, err
	}
	s := &shared{claims: d.Claims, hook: hook, holder: uuid.New()}
	s.held = d.hold(ctx, begin, name, s.renew, func(ctx context.Context) error { return d.Leases.UnshareLease(ctx, name, hook) })
	return s, nil
}

func (s *shared) renew(ctx context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.claims.RenewClaims(ctx, leaseName(s.hook), s.hook, s.holder, leaseTime)
	return n >= s.mine, err
}

// claim takes the next range; nil where there is none, and why.
func (s *shared) claim(limit int) (*postgres.Claim, postgres.Unclaimed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, why, err := s.claims.ClaimParked(s.ctx, leaseName(s.hook), s.hook, s.holder, leaseTime, limit)
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
