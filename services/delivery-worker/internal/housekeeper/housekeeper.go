// Package housekeeper does the periodic work: it keeps the event log within its size, creates and drops the ledger's
// partitions, repairs lost deliveries, and disables hooks that fail for days. One worker at a time does this, under a lease.
package housekeeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// leaseName is the name of the housekeeper's lease.
	leaseName = "housekeeper"
	// dutyTime is the time limit of one duty in a round.
	dutyTime = 2 * time.Minute
	// ahead is the number of days for which partitions are created in advance.
	ahead = 3
	// sweepAtOnce is how many lost deliveries are listed at a time. A round repairs them until none is left, or sweepTime is over.
	sweepAtOnce = 1000
	sweepTime   = 30 * time.Second
	// highWater and lowWater are fractions of a stream's maximum size. Trimming begins above highWater and ends at lowWater.
	highWater, lowWater = 0.8, 0.7
	// ownAge is how long processed callbacks and operational events stay on the bus. The ledger keeps them longer.
	ownAge = 24 * time.Hour
)

// ReasonSwept marks a delivery that was lost and has been repaired.
const ReasonSwept webhook.Reason = "swept"

// Deps are a Housekeeper's collaborators and settings; all are required.
type Deps struct {
	DB      *store.DB
	Bus     *bus.Bus
	History *ledger.Reader
	Eraser  *erase.Eraser
	// Announce publishes an operational event.
	Announce func(ctx context.Context, tenant, eventType, id, entity string, data map[string]any) error
	// Wanted reports whether a hook of the tenant gets events of the type, as far as this worker knows.
	Wanted func(tenant, eventType string) bool
	// Swept counts repaired deliveries. Trimmed counts events that were dropped from the event log.
	Swept   func(n int)
	Trimmed func(n uint64)
	Log     *zap.Logger
	// Worker is this worker's name as the holder of the lease.
	Worker string
	// Every is the interval between rounds.
	Every time.Duration
	// EventAge is how long the event log keeps events. Payloads and Records are how long PostgreSQL keeps payloads and
	// everything else.
	EventAge, Payloads, Records time.Duration
	// Overdue is how late an attempt must be before its delivery counts as lost.
	Overdue time.Duration
	Disable Disable
}

// Housekeeper does the periodic work.
type Housekeeper struct {
	Deps
	// ours is when this housekeeper last judged that the network on our side was at fault.
	ours time.Time
	// told is, by tenant, the last day for which this housekeeper published manifests.
	told map[string]time.Time
}

// New returns a Housekeeper; call Run to start it.
func New(d Deps) *Housekeeper { return &Housekeeper{Deps: d, told: map[string]time.Time{}} }

// Run does a round at once and then regularly, until ctx ends.
func (h *Housekeeper) Run(ctx context.Context) {
	daemon.Every(ctx, h.Every, func(ctx context.Context) {
		if err := h.round(ctx); err != nil && ctx.Err() == nil {
			h.Log.Warn("housekeeping partly failed, retrying next round", zap.Error(err))
		}
	})
}

// round does every duty once, unless another worker is the housekeeper. A duty that fails does not prevent the next one.
func (h *Housekeeper) round(ctx context.Context) error {
	held, err := lease.Take(ctx, h.DB.Leases, leaseName, h.Worker, h.Log)
	if err != nil || held == nil {
		return err
	}
	defer held.Release()
	var failed []error
	for _, duty := range []struct {
		name string
		do   func(context.Context) error
	}{{"event log", h.trim}, {"sweep", h.sweep}, {"parked queue", h.requeue}, {"pauses", h.endPauses}, {"health", h.judge}, {"payload retention", h.expire}, {"manifests", h.manifests}, {"partitions", h.partitions}} {
		if !held.Valid() {
			break
		}
		ctx, cancel := context.WithTimeout(held.Context(), dutyTime)
		if err := duty.do(ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", duty.name, err))
		}
		cancel()
	}
	return errors.Join(failed...)
}

// expire erases payloads whose tenants have a shorter retention for their event type.
func (h *Housekeeper) expire(ctx context.Context) error {
	n, err := h.Eraser.Expire(ctx, h.Bus.Time(time.Now()))
	if n > 0 {
		h.Log.Info("payloads erased by retention policies", zap.Int("events", n))
	}
	return err
}

// endPauses resumes hooks whose pause has ended, and removes hooks whose deletion can no longer be undone. The API does the
// same while it runs.
func (h *Housekeeper) endPauses(ctx context.Context) error {
	_, pauses := h.DB.Hooks.EndPauses(ctx, actor)
	_, deletions := h.DB.Hooks.EndDeletions(ctx)
	return errors.Join(pauses, deletions)
}

// partitions creates the partitions of the next days and drops those that are too old.
func (h *Housekeeper) partitions(ctx context.Context) error {
	now := h.Bus.Time(time.Now()) // the bus's clock: a local clock that is far ahead must not drop recent days
	for day := range ahead + 1 {
		if err := h.DB.Ledger.EnsureDay(ctx, now.AddDate(0, 0, day)); err != nil {
			return err
		}
	}
	if err := h.DB.Health.DropFailures(ctx, now); err != nil {
		return err
	}
	if err := h.DB.Ledger.DropCopies(ctx, now.Add(-max(h.Records, h.EventAge))); err != nil {
		return err
	}
	dropped, busy, err := h.DB.Ledger.DropDays(ctx, now.Add(-h.Payloads), now.Add(-h.Records))
	if busy > 0 {
		h.Log.Info("a long transaction reads old partitions: dropping them when it ends", zap.Int("partitions", busy))
	}
	if dropped > 0 {
		h.Log.Info("old partitions dropped", zap.Int("partitions", dropped))
	}
	return err
}

// trim drops processed events that are too old, or too many, from the event log and from the stream of our own events.
func (h *Housekeeper) trim(ctx context.Context) error {
	var failed error
	for _, t := range []bus.Trim{
		{Stream: webhook.OMS, MaxAge: h.EventAge, HighWater: highWater, LowWater: lowWater},
		{Stream: webhook.Own, MaxAge: ownAge, HighWater: highWater, LowWater: lowWater},
	} {
		n, err := h.Bus.Streams().Trim(ctx, t)
		if n > 0 {
			h.Trimmed(n)
			h.Log.Info("event log trimmed", zap.Stringer("stream", t.Stream), zap.Uint64("events", n))
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// sweep finds overdue deliveries without a retry on the bus, and parks them.
func (h *Housekeeper) sweep(ctx context.Context) error {
	before := h.Bus.Time(time.Now()).Add(-h.Overdue)
	var last store.LostDelivery
	return h.restore(ctx, "lost deliveries found and parked", func() (list []store.LostDelivery, more bool, err error) {
		list, err = h.DB.Queue.ListOverdue(ctx, before, last, sweepAtOnce)
		if more = len(list) == sweepAtOnce; more {
			last = list[len(list)-1]
		}
		return h.unscheduled(ctx, list), more, err
	}, func(l store.LostDelivery) (bool, error) {
		return h.DB.Queue.ParkLost(ctx, l, before, string(ReasonSwept))
	})
}

// unscheduled removes from the list the deliveries that have a retry on the bus, and those of which the bus cannot say.
func (h *Housekeeper) unscheduled(ctx context.Context, list []store.LostDelivery) []store.LostDelivery {
	list = slices.DeleteFunc(list, func(l store.LostDelivery) bool {
		scheduled, err := h.Bus.Retries().Scheduled(ctx, l.HookID, l.ID, l.PublishedAt)
		return err != nil || scheduled
	})
	due := map[uuid.UUID]bool{} // looked up afterwards: a retry may become due at any moment
	return slices.DeleteFunc(list, func(l store.LostDelivery) bool {
		if _, known := due[l.HookID]; !known {
			n, err := h.Bus.Retries().Due(ctx, l.HookID)
			due[l.HookID] = err != nil || n > 0
		}
		return due[l.HookID]
	})
}

// requeue adds deliveries to the parked queue that are recorded as parked but missing from it, unless a fact about them is on
// its way.
func (h *Housekeeper) requeue(ctx context.Context) error {
	before := h.Bus.Time(time.Now()).Add(-h.Overdue)
	return h.restore(ctx, "deliveries were missing from the parked queue and are restored", func() (list []store.LostDelivery, more bool, err error) {
		list, err = h.DB.Queue.ListUnqueued(ctx, before, sweepAtOnce)
		return list, len(list) == sweepAtOnce, err
	}, func(l store.LostDelivery) (bool, error) {
		return h.DB.Queue.Requeue(ctx, l)
	})
}

// restore repairs the lost deliveries that find returns, after the recorder has caught up, except those that turn out not to be lost. It
// goes on while find says that there are more, for sweepTime at most.
func (h *Housekeeper) restore(
	ctx context.Context, message string, find func() (list []store.LostDelivery, more bool, err error), put func(store.LostDelivery) (bool, error),
) error {
	for began := time.Now(); ; {
		list, more, err := find()
		if err != nil || len(list) == 0 && !more {
			return err
		}
		if err := h.History.CatchUp(ctx); err != nil { // the facts about an attempt made meanwhile may not be recorded yet
			return err
		}
		var repaired []store.LostDelivery
		for _, l := range list {
			var restored bool
			if restored, err = put(l); err != nil {
				break
			}
			if restored {
				repaired = append(repaired, l)
			}
		}
		if len(repaired) > 0 {
			h.Swept(len(repaired))
			h.Log.Error(message, zap.Int("deliveries", len(repaired)), zap.Stringer("first_delivery_id", repaired[0].ID),
				zap.Stringer("first_hook_id", repaired[0].HookID), zap.String("first_event_id", repaired[0].EventID))
		}
		if err != nil || !more || time.Since(began) > sweepTime {
			return err
		}
	}
}
