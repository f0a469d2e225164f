// Package drainer takes deliveries out of the parked lane: in the order of events, at the hook's rate and cap, and only
// while the hook is able. Where an order or a rate has to be kept it is one worker at a time for each hook; else the
// workers share the hook, and each takes ranges of its parked deliveries.
package drainer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
)

const (
	// look is how often all backlogs are looked at: for hooks that have become able without any change being told.
	look = time.Second
	// endPage is how many deliveries of a hook that is gone are ended by one statement.
	endPage = 5000
)

// deliverer makes the attempts.
type deliverer interface {
	Drain(due webhook.Due, bodies *envelope.Bodies, may func() bool, settled func(error)) (webhook.DeliveryState, webhook.Reason)
	Finish(due *webhook.Due, state webhook.DeliveryState, reason webhook.Reason, settled func(error))
}

// events reads events again; webhook.ErrNotFound says that they are not kept any more.
type events interface {
	Event(ctx context.Context, of *webhook.Event) (webhook.Event, error)
}

// hooks is the hook index.
type hooks interface {
	Get(id uuid.UUID) *webhook.Hook
}

// lanes says whether a hook could take an attempt.
type lanes interface {
	Able(h *webhook.Hook) (able, probing bool)
}

// store is implemented by *postgres.DB.
type store interface {
	Backlogs(ctx context.Context, hooks ...uuid.UUID) ([]postgres.Backlog, error)
	ForgetBacklog(ctx context.Context, b postgres.Backlog) error
	Parked(ctx context.Context, hook uuid.UUID, after, upTo uint64, limit int) ([]postgres.ParkedDelivery, error)
	WaitingEntities(ctx context.Context, hook uuid.UUID) ([]string, error)
	EndDeliveries(ctx context.Context, hook uuid.UUID, limit int) (postgres.Ended, error)
}

// backfills is implemented by *postgres.DB.
type backfills interface {
	Backfilled(ctx context.Context, hook uuid.UUID) (upTo uint64, running bool, err error)
}

// attempts is implemented by *postgres.DB.
type attempts interface {
	LastAttempt(ctx context.Context, hook uuid.UUID) (time.Time, error)
}

// leases is implemented by *postgres.DB.
type leases interface {
	lease.Store
	ShareLease(ctx context.Context, name string, ttl time.Duration) (bool, error)
	UnshareLease(ctx context.Context, name string, hook uuid.UUID) error
}

// claims is implemented by *postgres.DB.
type claims interface {
	ClaimParked(ctx context.Context, lease string, hook, holder uuid.UUID, ttl time.Duration, limit int) (*postgres.Claim, postgres.Unclaimed, error)
	RenewClaims(ctx context.Context, lease string, hook, holder uuid.UUID, ttl time.Duration) (int, error)
	EndClaim(ctx context.Context, c postgres.Claim, holder uuid.UUID, again bool) error
	NextRound(ctx context.Context, hook uuid.UUID, ended postgres.Unclaimed) (bool, error)
}

// stream is implemented by *bus.Bus.
type stream interface {
	Lag(ctx context.Context, c bus.Consumer) (bus.Lag, error)
	HasPutOff(ctx context.Context, tenant string) (bool, error)
	PurgeRetries(ctx context.Context, hook uuid.UUID) error
	Time(t time.Time) time.Time
}

// history is the ledger's reader.
type history interface {
	CatchUp(ctx context.Context) error
}

// Deps are a Drainer's collaborators; all are required.
type Deps struct {
	Deliverer deliverer
	Hooks     hooks
	Lanes     lanes
	Store     store
	Events    events
	Backfills backfills
	Attempts  attempts
	Leases    leases
	Claims    claims
	Stream    stream
	History   history
	Log       *zap.Logger
	// Worker holds the leases.
	Worker string
}

// Drainer drains backlogs.
type Drainer struct {
	Deps
	wake chan uuid.UUID
	told *daemon.Teller // of Run's goroutine

	mu     sync.Mutex
	active map[uuid.UUID]bool // being drained by this worker; true if there was reason to look again
}

// New makes a drainer. Run it.
func New(d Deps) *Drainer {
	return &Drainer{Deps: d, told: daemon.NewTeller(d.Log), wake: make(chan uuid.UUID, 1024), active: map[uuid.UUID]bool{}}
}

// Wake has the hook's backlog looked at now rather than within a second. It does not block.
func (d *Drainer) Wake(hook uuid.UUID) {
	select {
	case d.wake <- hook:
	default: // all are looked at soon
	}
}

// Run drains until ctx ends, then waits for the attempts under way.
func (d *Drainer) Run(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var open sync.WaitGroup
	defer open.Wait()
	all := newQueues()
	over := make(chan func()) // what to do after a turn
	for {
		select {
		case <-ctx.Done():
			return
		case then := <-over:
			then()
		case hook := <-d.wake:
			if hooks := d.woken(hook); len(hooks) > 0 {
				d.enqueue(d.due(ctx, hooks...), all)
			}
		case <-tick.C:
			d.enqueue(d.due(ctx), all)
		}
		for _, q := range []*queue{all.quick, all.seldom} {
			for b, ok := q.next(); ok; b, ok = q.next() {
				open.Go(func() {
					again := d.hook(ctx, q, b)
					select {
					case over <- func() { d.after(q, b, again) }:
					case <-ctx.Done():
					}
				})
			}
		}
	}
}

// enqueue has hooks drained that are not being drained already, and do not wait for it.
func (d *Drainer) enqueue(list []postgres.Backlog, into queues) {
	for _, b := range list {
		if d.begin(b.HookID) {
			into.of(d.Hooks.Get(b.HookID)).add(b)
		}
	}
}

// after puts a hook whose turn is over behind those that wait, if there may be more to do.
func (d *Drainer) after(q *queue, b postgres.Backlog, again bool) {
	q.running--
	if again && d.able(b.HookID) {
		q.add(b)
	} else if d.end(b.HookID) || again {
		d.Wake(b.HookID)
	}
}

// woken lists the hooks to be looked at now, of which first is one: all that were woken and are not being drained already.
func (d *Drainer) woken(first uuid.UUID) (hooks []uuid.UUID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for hook := first; ; hook = <-d.wake {
		if !d.busy(hook) {
			hooks = append(hooks, hook)
		}
		if len(d.wake) == 0 { // nobody else takes from it
			return hooks
		}
	}
}

// due lists the backlogs that something can be done about, of all hooks or of these.
func (d *Drainer) due(ctx context.Context, hooks ...uuid.UUID) []postgres.Backlog {
	list, err := d.Store.Backlogs(ctx, hooks...)
	if err != nil {
		if ctx.Err() == nil {
			d.told.Tell("backlogs could not be listed", err)
		}
		return nil
	}
	return slices.DeleteFunc(list, func(b postgres.Backlog) bool { return !d.able(b.HookID) })
}

// able reports whether something can be done about the hook's backlog: it can take deliveries, or perhaps they can be ended.
func (d *Drainer) able(id uuid.UUID) bool {
	h := d.Hooks.Get(id)
	if h == nil || h.Status == webhook.Disabled {
		return true
	}
	able, _ := d.Lanes.Able(h)
	return able
}

// begin marks a hook as being drained; false means that it is already, and will be looked at again.
func (d *Drainer) begin(hook uuid.UUID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy(hook) {
		return false
	}
	d.active[hook] = false
	return true
}

// busy reports whether a hook is being drained, which is then reason to look at it again; d.mu is held.
func (d *Drainer) busy(hook uuid.UUID) bool {
	_, there := d.active[hook]
	if there {
		d.active[hook] = true
	}
	return there
}

// end returns true when there was reason to look at the hook again.
func (d *Drainer) end(hook uuid.UUID) (again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	again = d.active[hook]
	delete(d.active, hook)
	return again
}

// hook does what can be done about one backlog, under its lease, for a turn if there are others that wait. It returns true
// when there may be more to do at once.
func (d *Drainer) hook(ctx context.Context, q *queue, b postgres.Backlog) (again bool) {
	h := d.Hooks.Get(b.HookID)
	drain := d.alone
	if h != nil && h.Status == webhook.Active {
		if _, one := h.Config.Drained(); !one {
			drain = d.share
		}
	}
	again, err := drain(ctx, q, b, h)
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Warn("drain failed", zap.Stringer("hook_id", b.HookID), zap.Error(err))
		}
		return false
	}
	return again
}

func leaseName(hook uuid.UUID) string { return "drain:" + hook.String() }
