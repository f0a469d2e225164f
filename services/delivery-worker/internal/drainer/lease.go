package drainer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

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

// hold takes a lease; nil where another worker has it.
func (d *Drainer) hold(ctx context.Context, name string) (*held, error) {
	begin := time.Now()
	lease, ok, err := d.Leases.AcquireLease(ctx, name, d.Worker, leaseTime)
	if err != nil || !ok {
		return nil, err
	}
	h := &held{begin: begin}
	h.until.Store(int64(leaseTime - margin))
	var cancel context.CancelFunc
	h.ctx, cancel = context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { d.renew(h, cancel, lease) })
	h.release = func() {
		cancel()
		renewing.Wait()
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), margin)
		defer stop()
		if err := d.Leases.ReleaseLease(ctx, lease); err != nil {
			d.Log.Warn("lease could not be released", zap.String("lease", name), zap.Error(err))
		}
	}
	return h, nil
}

func (d *Drainer) renew(h *held, cancel context.CancelFunc, lease postgres.Lease) {
	tick := time.NewTicker(leaseTime / 3)
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Since(h.begin)
		ok, err := d.Leases.RenewLease(h.ctx, lease, leaseTime)
		switch {
		case err == nil && ok:
			h.until.Store(int64(asked + leaseTime - margin))
		case err == nil, !h.valid():
			d.Log.Warn("lease was lost", zap.String("lease", lease.Name))
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
