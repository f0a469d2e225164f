// Package missed gives hooks the events that were fanned out before every worker knew of them. One worker at a time does
// it, under a lease.
package missed

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	leaseName = "missed"
	// settlePoll is how often the bus is asked whether all that was handed out is settled, settleLimit how long that may
	// take: what waits for longer is tried again later.
	settlePoll  = 50 * time.Millisecond
	settleLimit = 2 * time.Minute
	// tidyEvery is how often what nobody asks for any more is dropped.
	tidyEvery = time.Hour
)

// deliveries is implemented by *store.LedgerStore.
type deliveries interface {
	KnownGaps(ctx context.Context) (*store.Gaps, error)
	CloseGaps(ctx context.Context, g *store.Gaps, upTo []webhook.Sequence, matcher func([]*webhook.Hook) func(*webhook.Event) []*webhook.Hook) (int, error)
	ForgetChanges(ctx context.Context) error
}

// stream is implemented by *bus.Bus.
type stream interface {
	LagOf(ctx context.Context, c bus.Consumer, partition int) (bus.Lag, error)
	Partition(tenant string) int
}

// history is the ledger's reader.
type history interface {
	CatchUp(ctx context.Context) error
}

// Deps are a Closer's collaborators; all are required.
type Deps struct {
	Store   deliveries
	Leases  lease.Store
	Stream  stream
	History history
	// Matcher returns what finds, of the given hooks, those that an event goes to.
	Matcher func(hooks []*webhook.Hook) func(*webhook.Event) []*webhook.Hook
	Log     *zap.Logger
	// Worker holds the lease.
	Worker string
}

// Closer closes gaps.
type Closer struct {
	Deps
	wake   chan struct{}
	tidied time.Time
}

// New makes a closer. Run it.
func New(d Deps) *Closer { return &Closer{Deps: d, wake: make(chan struct{}, 1)} }

// Wake has gaps looked for. It does not block.
func (c *Closer) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run closes gaps when it is woken, until ctx ends. A gap that cannot be closed yet is one for which it is woken again.
func (c *Closer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		if err := c.round(ctx); err != nil && ctx.Err() == nil {
			c.Log.Warn("failed to look for events that hooks missed, retrying", zap.Error(err))
		}
	}
}

// round closes all gaps that can be closed, if no other worker does.
func (c *Closer) round(ctx context.Context) error {
	held, err := lease.Take(ctx, c.Leases, leaseName, c.Worker, c.Log)
	if err != nil || held == nil {
		return err
	}
	defer held.Release()
	ctx = held.Context()
	for {
		gaps, err := c.Store.KnownGaps(ctx)
		if err != nil || gaps == nil {
			return c.tidy(ctx, err)
		}
		// what was not handed out by now is matched by workers that know of the changes
		var handed []webhook.Sequence
		partition := c.Stream.Partition(gaps.Tenant)
		for _, s := range webhook.Streams() {
			lag, err := c.Stream.LagOf(ctx, bus.FanoutOf(s), partition)
			if err != nil {
				return err
			}
			handed = append(handed, webhook.SequenceIn(s, lag.Handed))
		}
		if ok, err := c.settled(ctx, partition, handed); err != nil || !ok {
			return err
		}
		parked, err := c.Store.CloseGaps(ctx, gaps, handed, c.Matcher)
		if parked > 0 {
			c.Log.Info("delivering missed events to hooks", zap.String("tenant", gaps.Tenant), zap.Int("deliveries", parked))
		}
		if err != nil {
			return err
		}
	}
}

// settled waits until what became of all events up to the sequences is recorded; false means that it takes too long.
func (c *Closer) settled(ctx context.Context, partition int, handed []webhook.Sequence) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for _, upTo := range handed {
		for _, consumer := range []bus.Consumer{bus.FanoutOf(upTo.Stream()), bus.RecorderOf(upTo.Stream())} {
			if ok, err := c.done(ctx, consumer, partition, upTo.Number()); err != nil || !ok {
				return false, err
			}
		}
	}
	return true, c.History.CatchUp(ctx)
}

// done waits until the consumer is done with all of the partition up to the number; false means that ctx ended before.
func (c *Closer) done(ctx context.Context, consumer bus.Consumer, partition int, upTo uint64) (bool, error) {
	for {
		lag, err := c.Stream.LagOf(ctx, consumer, partition)
		if err != nil || lag.Done(upTo) {
			return err == nil, err
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(settlePoll):
		}
	}
}

func (c *Closer) tidy(ctx context.Context, err error) error {
	if err != nil || time.Since(c.tidied) < tidyEvery {
		return err
	}
	c.tidied = time.Now()
	return c.Store.ForgetChanges(ctx)
}
