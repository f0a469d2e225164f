package deliveryworker

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/bus"
)

// guardEvery is how often the topology is looked at.
const guardEvery = 3 * time.Second

// guard puts streams and consumers right that another hand deleted or changed.
type guard struct {
	bus     *bus.Bus
	repairs *prometheus.CounterVec
	log     *zap.Logger
	failure atomic.Pointer[error]
}

// run looks at the topology until ctx ends.
func (g *guard) run(ctx context.Context) {
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		g.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *guard) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, guardEvery)
	defer cancel()
	repaired, err := g.bus.RepairTopology(ctx)
	for _, r := range repaired {
		g.repairs.WithLabelValues(r.Name).Inc()
		g.log.Error("topology was changed by another hand and is put right", zap.String("name", r.Name), zap.Bool("gone", r.Gone))
	}
	if err == nil {
		g.failure.Store(nil)
		return
	}
	if ctx.Err() == nil { // else the server is away, which the check of the connection tells
		g.log.Error("topology could not be put right", zap.Error(err))
		g.failure.Store(&err)
	}
}

// ready is a readiness check: the error says what is wrong with the topology and could not be put right.
func (g *guard) ready(context.Context) error {
	if failure := g.failure.Load(); failure != nil {
		return fmt.Errorf("streams and consumers: %w", *failure)
	}
	return nil
}
