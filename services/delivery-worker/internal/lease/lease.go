// Package lease keeps a worker's leases alive for as long as it acts under them.
package lease

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// Time is the duration of a lease, and so the time for which a dead worker blocks others. A lease is renewed after a third
	// of it.
	Time = 15 * time.Second
	// Margin is the time before the end of its lease at which a worker stops acting on it.
	Margin = 3 * time.Second
)

// Store is implemented by *store.LeaseStore.
type Store interface {
	// Acquire takes a lease. ok is false if another worker holds it.
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (l store.Lease, ok bool, err error)
	// Renew extends a lease. ok is false if another worker holds it by now.
	Renew(ctx context.Context, l store.Lease, ttl time.Duration) (ok bool, err error)
	// Release ends a lease, so that others can take it at once.
	Release(ctx context.Context, l store.Lease) error
}

// Terms are the functions that renew and release a lease that was taken.
type Terms struct {
	Name string
	// Renew extends the lease by Time. It returns false if another worker holds it.
	Renew func(context.Context) (bool, error)
	// Release ends the lease, so that others can take it at once.
	Release func(context.Context) error
	Log     *zap.Logger
}

// Held is a lease that is renewed until it is released or lost.
type Held struct {
	Terms

	ctx      context.Context //nolint:containedctx // it is the lease's life
	cancel   context.CancelFunc
	begin    time.Time
	until    atomic.Int64 // nanoseconds after begin at which the holder stops acting on the lease
	renewing sync.WaitGroup
}

// Take takes a single lease. It returns nil if another worker holds it.
func Take(ctx context.Context, s Store, name, holder string, log *zap.Logger) (*Held, error) {
	begin := time.Now()
	l, ok, err := s.Acquire(ctx, name, holder, Time)
	if err != nil || !ok {
		return nil, err
	}
	return Hold(ctx, begin, Terms{
		Name: name, Log: log,
		Renew:   func(ctx context.Context) (bool, error) { return s.Renew(ctx, l, Time) },
		Release: func(ctx context.Context) error { return s.Release(ctx, l) },
	}), nil
}

// Hold keeps a lease alive that was taken for Time at begin.
func Hold(ctx context.Context, begin time.Time, t Terms) *Held {
	h := &Held{Terms: t, begin: begin}
	h.until.Store(int64(Time - Margin))
	h.ctx, h.cancel = context.WithCancel(ctx)
	h.renewing.Go(h.renew)
	return h
}

// Context ends with the lease.
func (h *Held) Context() context.Context { return h.ctx }

// Valid reports whether the lease can still be acted on. Call it right before each act, because a worker that was suspended
// must not act on a lease that another worker may hold by now. The monotonic clock goes on while a process is suspended.
func (h *Held) Valid() bool { return h.ctx.Err() == nil && h.left() > 0 }

// left returns how long the lease can still be acted on.
func (h *Held) left() time.Duration { return time.Duration(h.until.Load()) - time.Since(h.begin) }

// Release ends the lease and lets others take it at once; if that fails, the lease expires.
func (h *Held) Release() {
	h.cancel()
	h.renewing.Wait()
	_, err := daemon.Within(context.WithoutCancel(h.ctx), Margin, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, h.Terms.Release(ctx)
	})
	if err != nil {
		h.Log.Warn("failed to release lease: it will expire", zap.String("lease", h.Name), zap.Error(err))
	}
}

// renew extends the lease until it is released or lost. The lease ends in time even if the database does not answer.
func (h *Held) renew() {
	tick := time.NewTicker(Time / 3)
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Since(h.begin)
		ok, err := daemon.Within(h.ctx, min(Time/3, h.left()), h.Renew)
		switch {
		case err == nil && ok:
			h.until.Store(int64(asked + Time - Margin))
		case h.ctx.Err() != nil:
			return
		case err == nil, h.left() <= 0:
			h.Log.Warn("lease lost", zap.String("lease", h.Name), zap.Error(err))
			h.cancel()
			return
		}
	}
}
