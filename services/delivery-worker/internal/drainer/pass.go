package drainer

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// drain goes over the hook's parked deliveries until none is left that can be tried. It returns true when something was
// done, so that more may be possible at once.
func (d *Drainer) drain(ctx context.Context, b postgres.Backlog, lease *held) (progress bool, err error) {
	h := d.Hooks.Get(b.HookID)
	switch {
	case h == nil:
		if err := d.Stream.PurgeRetries(ctx, b.HookID); err != nil {
			return false, err
		}
		return d.endAll(ctx, b, webhook.Cancelled, webhook.ReasonHookDeleted, true)
	case h.Status == webhook.Disabled:
		return d.endAll(ctx, b, webhook.Dead, webhook.ReasonHookDisabled, false)
	}
	p := &pass{Drainer: d, lease: lease, hook: h, limiter: limiter(h.Config.RateLimit)}
	defer p.settling.Wait()
	upTo := uint64(math.MaxInt64)
	if h.Config.Ordering != webhook.OrderNone {
		// an event that is still in somebody's hands may come before those that are parked already
		lag, err := d.Stream.Lag(ctx, bus.Fanout)
		if err != nil {
			return false, err
		}
		upTo = lag.Settled
	}
	// what the holder before did, or this one in its last pass, has to be in Postgres before it is read
	if err := d.History.CatchUp(ctx); err != nil {
		return false, err
	}
	if err := p.block(ctx); err != nil {
		return false, err
	}
	if err := p.run(ctx, upTo); err != nil {
		return p.done.Load() > 0, err
	}
	p.settling.Wait()
	if p.done.Load() > 0 || p.stopped.Load() {
		return p.done.Load() > 0 && !p.stopped.Load(), nil
	}
	if upTo < math.MaxInt64 && p.skipped == 0 && !p.allBlocked {
		if later, err := d.Store.Parked(ctx, b.HookID, upTo, math.MaxInt64, 1); err != nil || len(later) > 0 {
			return d.soon(ctx), err
		}
	}
	return false, d.Store.ForgetBacklog(ctx, b)
}

// soon waits for events that are in somebody's hands for a moment more; it returns false when ctx ends first.
func (d *Drainer) soon(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(settleTime):
		return true
	}
}

// endAll ends all of a hook's deliveries.
func (d *Drainer) endAll(ctx context.Context, b postgres.Backlog, state webhook.DeliveryState, reason webhook.Reason, waiting bool) (bool, error) {
	for {
		n, err := d.Store.EndDeliveries(ctx, b.HookID, state, reason, waiting, endPage)
		if err != nil {
			return false, err
		}
		if n < endPage {
			return false, d.Store.ForgetBacklog(ctx, b)
		}
	}
}

// limiter spaces attempts evenly, so that no window of the period holds more than the limit. It begins empty: the
// holder before may have used its last token just now.
func limiter(r *webhook.RateLimit) *rate.Limiter {
	if r == nil {
		return rate.NewLimiter(rate.Inf, 1)
	}
	l := rate.NewLimiter(rate.Limit(float64(r.Limit)/r.Period.Seconds()), 1)
	l.Allow()
	return l
}

// pass goes once over a hook's parked deliveries.
type pass struct {
	*Drainer
	lease    *held
	hook     *webhook.Hook
	limiter  *rate.Limiter
	settling sync.WaitGroup
	// blocked are the entities of ordered hooks that wait for an earlier delivery; all of them if everything is.
	mu         sync.Mutex
	blocked    map[string]bool
	allBlocked bool
	skipped    int
	done       atomic.Int64
	stopped    atomic.Bool // the hook, or this worker, can do no more
}

// block finds what an earlier delivery, which waits for the time of its retry, keeps back.
func (p *pass) block(ctx context.Context) error {
	if p.hook.Config.Ordering == webhook.OrderNone {
		return nil
	}
	entities, err := p.Store.WaitingEntities(ctx, p.hook.ID)
	if err != nil {
		return err
	}
	p.blocked = make(map[string]bool, len(entities))
	for _, e := range entities {
		p.blocked[e] = true
	}
	p.allBlocked = p.hook.Config.Ordering == webhook.OrderHook && len(entities) > 0
	return nil
}

// settleTime is how soon an ordered hook is looked at again when its next event is not settled yet.
const settleTime = 25 * time.Millisecond

// maxSkipped is how many deliveries of blocked entities one pass looks past.
const maxSkipped = 20 * page

func (p *pass) run(ctx context.Context, upTo uint64) error {
	var after uint64
	for !p.stopped.Load() && !p.allBlocked && p.skipped < maxSkipped {
		list, err := p.Store.Parked(ctx, p.hook.ID, after, upTo, page)
		if err != nil || len(list) == 0 {
			return err
		}
		after = list[len(list)-1].Event.Seq
		for i := range list {
			if list[i].EventMissing {
				if err := p.load(ctx, &list[i]); err != nil {
					return err
				}
			}
		}
		p.drainPage(ctx, list)
		if len(list) < page {
			return nil
		}
	}
	return nil
}

// load reads an event that is not in Postgres yet from its stream.
func (p *pass) load(ctx context.Context, d *postgres.ParkedDelivery) error {
	stored, err := p.Stream.Event(ctx, d.Event.Seq)
	if err != nil {
		return fmt.Errorf("load parked event: %w", err)
	}
	tenant, eventType := bus.SplitEventSubject(stored.Subject)
	e, err := envelope.Decode(envelope.Published{
		Tenant: tenant, Type: eventType, Headers: stored.Headers, Body: stored.Data, Seq: stored.Seq, PublishedAt: stored.PublishedAt,
	})
	if err != nil {
		return fmt.Errorf("load parked event: %w", err)
	}
	d.Event = &e
	return nil
}

// drainPage tries the deliveries of a page: what has to keep an order one after the other, all else side by side.
func (p *pass) drainPage(ctx context.Context, list []postgres.ParkedDelivery) {
	groups := p.groups(list)
	next := make(chan []postgres.ParkedDelivery)
	var workers sync.WaitGroup
	for range min(len(groups), p.hook.Config.Concurrency) {
		workers.Go(func() {
			for group := range next {
				p.drainGroup(ctx, group)
			}
		})
	}
	for _, group := range groups {
		next <- group
	}
	close(next)
	workers.Wait()
}

// groups splits a page into what keeps an order among itself, in the order of their first events.
func (p *pass) groups(list []postgres.ParkedDelivery) [][]postgres.ParkedDelivery {
	switch p.hook.Config.Ordering {
	case webhook.OrderHook:
		return [][]postgres.ParkedDelivery{list}
	case webhook.OrderEntity:
		var groups [][]postgres.ParkedDelivery
		at := map[string]int{}
		for _, d := range list {
			if i, there := at[d.Event.Entity]; there && d.Event.Entity != "" {
				groups[i] = append(groups[i], d)
				continue
			}
			at[d.Event.Entity] = len(groups)
			groups = append(groups, []postgres.ParkedDelivery{d})
		}
		return groups
	case webhook.OrderNone:
	}
	groups := make([][]postgres.ParkedDelivery, len(list))
	for i := range list {
		groups[i] = list[i : i+1]
	}
	return groups
}

func (p *pass) drainGroup(ctx context.Context, group []postgres.ParkedDelivery) {
	for i := range group {
		if p.stopped.Load() {
			return
		}
		if p.isBlocked(group[i].Event.Entity) {
			p.skip()
			continue
		}
		p.one(ctx, group[i].Due)
	}
}

func (p *pass) isBlocked(entity string) bool {
	if p.hook.Config.Ordering == webhook.OrderNone {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.allBlocked || entity != "" && p.blocked[entity]
}

func (p *pass) skip() {
	p.mu.Lock()
	p.skipped++
	p.mu.Unlock()
}

// one makes the next attempt of one delivery, if the hook is still the same and able.
func (p *pass) one(ctx context.Context, due webhook.Due) {
	if err := p.limiter.Wait(ctx); err != nil || p.Hooks.Get(p.hook.ID) != p.hook || !p.lease.valid() {
		p.stopped.Store(true)
		return
	}
	able, probing := p.Lanes.Able(p.hook)
	if !able {
		p.stopped.Store(true)
		return
	}
	if probing {
		p.mu.Lock() // one probe at a time; the others see what it led to
		defer p.mu.Unlock()
	}
	due.Hook = p.hook
	p.settling.Add(1)
	state, refusal := p.Deliverer.Drain(due, envelope.NewBodies(due.Event), func(error) { p.settling.Done() })
	switch state {
	case webhook.Parked: // refused, or given up: it stays where it is
		p.stopped.Store(true)
		if refusal != webhook.ReasonNone {
			p.settling.Done()
		}
		return
	case webhook.Waiting:
		p.failed(due.Event.Entity, probing)
	case webhook.Delivered, webhook.Dead, webhook.Cancelled:
	}
	p.done.Add(1)
}

// failed keeps back what has to come after a delivery that waits for its retry.
func (p *pass) failed(entity string, locked bool) {
	if p.hook.Config.Ordering == webhook.OrderNone {
		return
	}
	if !locked {
		p.mu.Lock()
		defer p.mu.Unlock()
	}
	p.blocked[entity] = true
	p.allBlocked = p.hook.Config.Ordering == webhook.OrderHook
}
