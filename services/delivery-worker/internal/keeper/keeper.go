// Package keeper looks after what nobody else does: the size of the event log, the partitions of the ledger, deliveries
// that are nowhere, and hooks that fail for days. One worker at a time does it, under a lease.
package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// leaseName and leaseTime are of the right to be the keeper; one round has to take less.
	leaseName = "keeper"
	leaseTime = 5 * time.Minute
	// ahead is for how many days there are partitions already.
	ahead = 3
	// sweepAtOnce bounds what one round looks for.
	sweepAtOnce = 1000
	// highWater and lowWater are parts of the event log's size.
	highWater, lowWater = 0.8, 0.7
)

// ReasonSwept marks a delivery that was nowhere and was put right.
const ReasonSwept webhook.Reason = "swept"

// ledger is implemented by *postgres.DB.
type ledger interface {
	EnsureDay(ctx context.Context, at time.Time) error
	DropDays(ctx context.Context, payloads, others time.Time) (int, error)
	Overdue(ctx context.Context, before time.Time, limit int) ([]postgres.LostDelivery, error)
	ParkLost(ctx context.Context, l postgres.LostDelivery, before time.Time, reason string) (bool, error)
}

// health is implemented by *postgres.DB.
type health interface {
	FailingHooks(ctx context.Context, before time.Time) ([]postgres.Failing, error)
	Reach(ctx context.Context, since time.Time) (tried, unreachable int, err error)
	Warned(ctx context.Context, actor postgres.Actor, f postgres.Failing, percent int) error
	DisableHook(ctx context.Context, actor postgres.Actor, id uuid.UUID, reason string) (bool, error)
}

// leases is implemented by *postgres.DB.
type leases interface {
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (postgres.Lease, bool, error)
	ReleaseLease(ctx context.Context, l postgres.Lease) error
}

// stream is implemented by *bus.Bus.
type stream interface {
	Time(ours time.Time) time.Time
	TrimEvents(ctx context.Context, t bus.Trim) (uint64, error)
	RetryScheduled(ctx context.Context, hook, delivery uuid.UUID) (bool, error)
	RetriesOf(ctx context.Context, hook uuid.UUID) (uint64, error)
}

// announcer publishes operational events.
type announcer interface {
	Announce(ctx context.Context, tenant, eventType, id, entity string, data map[string]any) error
}

// observer counts.
type observer interface {
	Swept(n int)
	Trimmed(n uint64)
}

// Deps are a Keeper's collaborators and settings; all are required.
type Deps struct {
	Ledger   ledger
	Health   health
	Leases   leases
	Stream   stream
	Announce announcer
	Observer observer
	Log      *zap.Logger
	// Worker holds the lease.
	Worker string
	// Every is how often there is a round.
	Every time.Duration
	// EventAge is how long the event log keeps events, Payloads and Records how long Postgres keeps payloads and all else.
	EventAge, Payloads, Records time.Duration
	// Overdue is how late an attempt is before its delivery is looked for.
	Overdue time.Duration
	Disable Disable
}

// Keeper does its rounds.
type Keeper struct {
	Deps
	// ours is when our own network was at fault last, as far as this keeper has seen.
	ours time.Time
}

// New makes a keeper. Run it.
func New(d Deps) *Keeper { return &Keeper{Deps: d} }

// Run does a round at once and then regularly, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(k.Every)
	defer tick.Stop()
	for {
		if err := k.round(ctx); err != nil && ctx.Err() == nil {
			k.Log.Warn("housekeeping was disturbed", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round does everything once, if no other worker does.
func (k *Keeper) round(ctx context.Context) error {
	lease, ok, err := k.Leases.AcquireLease(ctx, leaseName, k.Worker, leaseTime)
	if err != nil || !ok {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = k.Leases.ReleaseLease(ctx, lease) // else it expires
	}()
	ctx, cancel := context.WithTimeout(ctx, leaseTime-10*time.Second)
	defer cancel()
	for _, duty := range []struct {
		name string
		do   func(context.Context) error
	}{{"partitions", k.partitions}, {"event log", k.trim}, {"sweep", k.sweep}, {"health", k.judge}} {
		if err := duty.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", duty.name, err)
		}
	}
	return nil
}

// partitions makes those of the days to come and drops those that are too old.
func (k *Keeper) partitions(ctx context.Context) error {
	now := k.Stream.Time(time.Now()) // a clock of ours that is far ahead must not drop what is not old
	for day := range ahead + 1 {
		if err := k.Ledger.EnsureDay(ctx, now.AddDate(0, 0, day)); err != nil {
			return err
		}
	}
	dropped, err := k.Ledger.DropDays(ctx, now.Add(-k.Payloads), now.Add(-k.Records))
	if dropped > 0 {
		k.Log.Info("old partitions dropped", zap.Int("partitions", dropped))
	}
	return err
}

// trim drops events that are old, or too many, and that are done with.
func (k *Keeper) trim(ctx context.Context) error {
	n, err := k.Stream.TrimEvents(ctx, bus.Trim{MaxAge: k.EventAge, HighWater: highWater, LowWater: lowWater})
	if n > 0 {
		k.Observer.Trimmed(n)
		k.Log.Info("event log trimmed", zap.Uint64("events", n))
	}
	return err
}

// sweep finds deliveries that wait for a time which is past, although no retry of theirs is on the bus, and parks them.
func (k *Keeper) sweep(ctx context.Context) error {
	before := k.Stream.Time(time.Now()).Add(-k.Overdue)
	list, err := k.Ledger.Overdue(ctx, before, sweepAtOnce)
	if err != nil {
		return err
	}
	swept := 0
	for _, l := range list {
		if n, err := k.Stream.RetriesOf(ctx, l.HookID); err != nil || n > 0 {
			continue // due, and only late
		}
		if scheduled, err := k.Stream.RetryScheduled(ctx, l.HookID, l.ID); err != nil || scheduled {
			continue
		}
		parked, err := k.Ledger.ParkLost(ctx, l, before, string(ReasonSwept))
		if err != nil {
			return err
		}
		if parked {
			swept++
			k.Log.Error("delivery was nowhere and is parked", zap.Stringer("delivery_id", l.ID), zap.Stringer("hook_id", l.HookID))
		}
	}
	k.Observer.Swept(swept)
	return nil
}
