package deliveryworker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// guardEvery is the interval at which the topology is checked.
const guardEvery = 5 * time.Second

// guard repairs streams and consumers that somebody else deleted or changed.
type guard struct {
	bus     *bus.Bus
	repairs *prometheus.CounterVec
	log     *zap.Logger
	failure atomic.Pointer[error]
	// taken is called when another installation has taken over the streams. This worker must then stop taking messages from
	// them.
	taken context.CancelCauseFunc
}

// ensure creates the topology at startup.
func (g *guard) ensure(ctx context.Context) error {
	err := g.bus.Streams().Ensure(ctx)
	g.note(err)
	return err
}

// note stores the topology's problem, or nil for none, and reports whether there was one before.
func (g *guard) note(err error) (failed bool) {
	if err == nil {
		return g.failure.Swap(nil) != nil
	}
	return g.failure.Swap(&err) != nil
}

// look checks and repairs the topology.
func (g *guard) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, guardEvery)
	defer cancel()
	repaired, err := g.bus.Streams().Repair(ctx)
	for _, r := range repaired {
		g.repairs.WithLabelValues(r.Name).Inc()
		g.log.Error("streams or consumers were changed by someone else, repairing them", zap.String("name", r.Name), zap.Bool("gone", r.Gone))
	}
	if err != nil && ctx.Err() != nil { // the server is unavailable, which the check of the connection reports
		return
	}
	if failed := g.note(err); err != nil && !failed { // a lasting failure is logged by the health checks
		g.log.Error("failed to repair streams and consumers", zap.Error(err))
	}
	if foreign, ok := errors.AsType[*bus.ForeignError](err); ok {
		g.taken(foreign)
	}
}

// taken returns the error if another installation has taken over the streams, otherwise nil.
func taken(ctx context.Context) error {
	if foreign, ok := errors.AsType[*bus.ForeignError](context.Cause(ctx)); ok {
		return foreign
	}
	return nil
}

// ready is a readiness check. It returns the problem of the topology that could not be repaired.
func (g *guard) ready(context.Context) error {
	if failure := g.failure.Load(); failure != nil {
		return fmt.Errorf("streams and consumers: %w", *failure)
	}
	return nil
}
