// Package missed delivers the events that a hook should have received but that were fanned out before every worker knew of the
// hook. One worker at a time does this, under a lease.
package missed

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	leaseName = "missed"
	// settlePoll is the interval between checks whether all messages handed out are settled, and settleLimit the time limit for
	// that. A pass that reaches the limit is given up and begun again later.
	settlePoll  = 50 * time.Millisecond
	settleLimit = 2 * time.Minute
	// turnTime is the length of a tenant's turn. lookAgain is the interval at which other tenants' gaps are looked for while
	// all passes wait.
	turnTime  = 250 * time.Millisecond
	lookAgain = time.Second
	// tidyEvery is the interval at which outdated records are deleted.
	tidyEvery = time.Hour
)

// deliveries is implemented by *store.LedgerStore.
type deliveries interface {
	gaps
	ForgetChanges(ctx context.Context) error
}

type gaps interface {
	KnownGaps(ctx context.Context, others []string) (*store.Gaps, error)
	GapHooks(ctx context.Context, g *store.Gaps) ([]*webhook.Hook, error)
	GapEvents(ctx context.Context, g *store.Gaps, after store.Place, upTo []webhook.Sequence, payloads bool) ([]webhook.Event, error)
	ParkMissed(ctx context.Context, missed []store.Missed) (parked int, err error)
	CloseGaps(ctx context.Context, g *store.Gaps) error
}

// filters is implemented by *fanout.Evaluator.
type filters interface {
	Match(e *webhook.Event, candidates []filter.Candidate) (hooks []*webhook.Hook, wait time.Duration)
}

// Deps are a Closer's collaborators; all are required.
type Deps struct {
	Store   deliveries
	Leases  lease.Store
	Bus     *bus.Bus
	History *ledger.Reader
	// Among returns a function that finds the hooks, among the given ones, that an event goes to if their filters accept it.
	Among   func(hooks []*webhook.Hook) func(*webhook.Event) []filter.Candidate
	Filters filters
	Log     *zap.Logger
	// Worker is this worker's name as the holder of the lease.
	Worker string
}

// Closer finds the gaps between a change of a hook and the time when all workers knew of it, and parks the deliveries that were
// missed.
type Closer struct {
	Deps
	wake   chan struct{}
	tidied time.Time
}

// New returns a Closer; call Run to start it.
func New(d Deps) *Closer { return &Closer{Deps: d, wake: make(chan struct{}, 1)} }

// Wake makes the closer look for gaps. It does not block.
func (c *Closer) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run closes gaps whenever it is woken, until ctx ends. A gap that cannot be closed yet is left for the next wake-up.
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

// round closes all gaps that can be closed, unless another worker holds the lease. It makes a pass over the events of each
// tenant with gaps. The tenants take turns, so that none waits for another with many events or expensive filters.
func (c *Closer) round(ctx context.Context) error {
	held, err := lease.Take(ctx, c.Leases, leaseName, c.Worker, c.Log)
	if err != nil || held == nil {
		return err
	}
	defer held.Release()
	ctx = held.Context()
	var passes []*pass
	for {
		p, err := c.begin(ctx, passes)
		if err != nil {
			return err
		}
		if p != nil {
			passes = append(passes, p)
		}
		if len(passes) == 0 {
			return c.tidy(ctx)
		}
		var next time.Time
		if passes, next, err = c.turns(ctx, passes); err != nil {
			return err
		}
		if p != nil { // other tenants may have gaps, too
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(next)):
		}
	}
}

// turns gives each pass a turn. It returns the unfinished passes, and the time of the next turn.
func (c *Closer) turns(ctx context.Context, passes []*pass) (left []*pass, next time.Time, err error) {
	next = time.Now().Add(lookAgain)
	for _, p := range passes {
		over, err := c.turn(ctx, p)
		if err != nil {
			return nil, next, err
		}
		if !over {
			left = append(left, p)
		}
		if over || p.next.Before(next) {
			next = p.next
		}
	}
	return left, next, nil
}

// pass is a pass over the events that a tenant's hooks may have missed.
type pass struct {
	gaps *store.Gaps
	// upTo is, for each stream, the sequence up to which the tenant's partition had been handed out when the pass began.
	// Workers match later events with an index that has the changes.
	partition int
	upTo      []webhook.Sequence
	// settled reports that the outcomes of all events up to upTo are recorded. The pass waits for that at most until until.
	settled bool
	until   time.Time
	// place is the position of the last event looked at, next the time of the pass's next turn, and parked the number of
	// deliveries parked.
	place  store.Place
	next   time.Time
	parked int
}

// begin begins a pass for a tenant without one, or returns nil if no other tenant has gaps.
func (c *Closer) begin(ctx context.Context, passes []*pass) (*pass, error) {
	others := make([]string, len(passes))
	for i, p := range passes {
		others[i] = p.gaps.Tenant
	}
	gaps, err := c.Store.KnownGaps(ctx, others)
	if err != nil || gaps == nil {
		return nil, err
	}
	p := &pass{gaps: gaps, partition: c.Bus.Partition(gaps.Tenant), until: time.Now().Add(settleLimit)}
	for _, s := range webhook.Streams() {
		lag, err := c.Bus.LagOf(ctx, bus.FanoutOf(s), p.partition)
		if err != nil {
			return nil, err
		}
		p.upTo = append(p.upTo, webhook.SequenceIn(s, lag.Handed))
	}
	return p, nil
}

// turn continues a pass for turnTime, or until the tenant's filter budget is used up. It reports whether the pass is over.
func (c *Closer) turn(ctx context.Context, p *pass) (over bool, err error) {
	if time.Now().Before(p.next) {
		return false, nil
	}
	if !p.settled {
		if p.settled, err = c.settled(ctx, p); err != nil || !p.settled {
			p.next = time.Now().Add(settlePoll)
			return time.Now().After(p.until), err
		}
	}
	hooks, err := c.Store.GapHooks(ctx, p.gaps)
	if err != nil {
		return false, err
	}
	filtered := slices.ContainsFunc(hooks, func(h *webhook.Hook) bool { return h.Config.Filter != "" })
	candidates := c.Among(hooks)
	for end := time.Now().Add(turnTime); len(hooks) > 0; {
		events, err := c.Store.GapEvents(ctx, p.gaps, p.place, p.upTo, filtered)
		if err != nil {
			return false, err
		}
		if len(events) == 0 {
			break
		}
		missed, wait := c.look(p, events, candidates, end)
		n, err := c.Store.ParkMissed(ctx, missed)
		if p.parked += n; err != nil {
			return false, err
		}
		if now := time.Now(); wait > 0 || now.After(end) {
			p.next = now.Add(wait)
			return false, nil
		}
	}
	if p.parked > 0 {
		c.Log.Info("delivering missed events to hooks", zap.String("tenant", p.gaps.Tenant), zap.Int("deliveries", p.parked))
	}
	return true, c.Store.CloseGaps(ctx, p.gaps)
}

// look finds the hooks that should have received the events. It stops at the end of the turn, or when it must wait for the
// tenant's filter budget.
func (c *Closer) look(p *pass, events []webhook.Event, candidates func(*webhook.Event) []filter.Candidate, end time.Time) (missed []store.Missed, wait time.Duration) {
	for i := range events {
		e := &events[i]
		list := slices.DeleteFunc(candidates(e), func(f filter.Candidate) bool { return e.PublishedAt.Before(p.gaps.Since[f.ID]) })
		hooks, wait := c.Filters.Match(e, list)
		if wait > 0 {
			return missed, wait
		}
		for _, h := range hooks {
			missed = append(missed, store.Missed{Hook: h.ID, Event: e})
		}
		if p.place = store.After(e); time.Now().After(end) {
			return missed, 0
		}
	}
	return missed, 0
}

// settled reports whether the outcomes of all events up to the pass's limits are recorded.
func (c *Closer) settled(ctx context.Context, p *pass) (bool, error) {
	for _, upTo := range p.upTo {
		for _, consumer := range []bus.Consumer{bus.FanoutOf(upTo.Stream()), bus.RecorderOf(upTo.Stream())} {
			if lag, err := c.Bus.LagOf(ctx, consumer, p.partition); err != nil || !lag.Done(upTo.Number()) {
				return false, err
			}
		}
	}
	return true, c.History.CatchUp(ctx)
}

func (c *Closer) tidy(ctx context.Context) error {
	if time.Since(c.tidied) < tidyEvery {
		return nil
	}
	c.tidied = time.Now()
	return c.Store.ForgetChanges(ctx)
}
