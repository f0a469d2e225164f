package drainer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
)

// limiter spaces attempts evenly, so that no window of the hook's period holds more than its limit: the next one may be made
// when its time since the last one is over. An attempt whose worker died in it is not known, and comes again sooner.
func (d *Drainer) limiter(ctx context.Context, h *webhook.Hook) (*rate.Limiter, error) {
	if h.Config.RateLimit == nil {
		return unlimited(), nil
	}
	last, err := d.Attempts.LastAttempt(ctx, h.ID)
	if err != nil {
		return nil, err
	}
	if now := time.Now(); last.After(now) { // by the clock of another worker
		last = now
	}
	l := rate.NewLimiter(perSecond(h.Config.RateLimit), 1)
	l.AllowN(last, 1)
	return l, nil
}

func unlimited() *rate.Limiter { return rate.NewLimiter(rate.Inf, 1) }

func perSecond(r *webhook.RateLimit) rate.Limit {
	return rate.Limit(float64(r.Limit) / r.Period.Seconds())
}

// pass goes once over a hook's parked deliveries.
type pass struct {
	*Drainer
	lease    *lease.Held
	hook     *webhook.Hook
	limiter  *rate.Limiter
	lineup   *lineup
	probe    sync.Mutex // one probe at a time; the others see what it led to
	settling sync.WaitGroup
	// blocked are the entities of ordered hooks that wait for an earlier delivery; all of them if everything is.
	mu         sync.Mutex
	blocked    map[string]bool
	allBlocked bool
	skipped    int
	done       atomic.Int64
	stopped    atomic.Bool // the hook, or this worker, can do no more, or its turn is over
	// Of its turn.
	queue *queue
	began time.Time
	over  atomic.Bool
}

// newPass makes a pass that takes up to ahead deliveries before they are tried. It ends after a turn if hooks are waiting.
func newPass(d *Drainer, q *queue, held *lease.Held, h *webhook.Hook, l *rate.Limiter, ahead int) *pass {
	p := &pass{Drainer: d, lease: held, hook: h, limiter: l, queue: q, began: time.Now()}
	if r := h.Config.RateLimit; r != nil { // no more than may be under way at its rate
		ahead = min(ahead, 4*h.Config.Concurrency, max(1, int(float64(perSecond(r))*webhook.MaxTimeout.Seconds())))
	}
	p.lineup = newLineup(h.Config.Concurrency, ahead, func(w work) { p.try(held.Context(), w) })
	return p
}

// turnOver reports whether the hook has had its turn, and stops the pass then. At least one delivery is tried in a turn,
// unless the rate does not let it.
func (p *pass) turnOver() bool {
	had := p.done.Load() > 0 || p.hook.Config.RateLimit != nil
	if had && p.queue.waiting.Load() > 0 && time.Since(p.began) >= p.queue.turn {
		p.over.Store(true)
		p.stopped.Store(true)
	}
	return p.over.Load()
}

// again reports whether there may be more to do at once.
func (p *pass) again() bool { return p.over.Load() || p.done.Load() > 0 && !p.stopped.Load() }

// finish returns when all that was put to work is settled.
func (p *pass) finish() {
	p.lineup.finish()
	p.settling.Wait()
}

// put has the next attempts of the deliveries made, in their order where one has to be kept. end is called for each: with
// true when it was tried and what became of it is durable.
func (p *pass) put(ctx context.Context, list []postgres.ParkedDelivery, end func(tried bool)) error {
	for i := range list {
		err := ctx.Err()
		if err == nil && list[i].EventMissing {
			err = p.load(ctx, &list[i])
		}
		if errors.Is(err, webhook.ErrNotFound) {
			p.bury(list[i].Due, end)
			continue
		}
		if err == nil && !p.lineup.put(ctx, work{due: list[i].Due, key: p.key(list[i].Event), end: end}) {
			err = ctx.Err()
		}
		if err != nil {
			for range list[i:] {
				end(false)
			}
			return err
		}
	}
	return nil
}

// key is shared by deliveries that keep an order among themselves.
func (p *pass) key(e *webhook.Event) string {
	switch p.hook.Config.Ordering {
	case webhook.OrderHook:
		return "hook"
	case webhook.OrderEntity:
		return e.Entity
	case webhook.OrderNone:
	}
	return ""
}

// load reads an event that is not in Postgres, or not yet.
func (p *pass) load(ctx context.Context, d *postgres.ParkedDelivery) error {
	e, err := p.Events.Event(ctx, d.Event)
	if err != nil {
		return fmt.Errorf("load parked event: %w", err)
	}
	d.Event = &e
	return nil
}

// bury ends a delivery that was parked for longer than its event's payload is kept.
func (p *pass) bury(due webhook.Due, end func(tried bool)) {
	p.Log.Warn("parked delivery is dead: its payload is not kept any more", zap.Stringer("delivery_id", due.ID),
		zap.Stringer("hook_id", p.hook.ID), zap.String("event_id", due.Event.ID))
	due.Hook = p.hook
	p.settling.Add(1)
	p.Deliverer.Finish(&due, webhook.Dead, webhook.ReasonPayloadGone, func(err error) {
		end(err == nil)
		p.settling.Done()
	})
	p.done.Add(1)
}

func (p *pass) isBlocked(entity string) bool {
	if p.hook.Config.Ordering == webhook.OrderNone {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.allBlocked || entity != "" && p.blocked[entity] {
		p.skipped++
		return true
	}
	return false
}

// may reports whether the hook is still the same, and this worker the one that may act for it.
func (p *pass) may() bool { return p.lease.Valid() && p.Hooks.Get(p.hook.ID) == p.hook }

// try makes the next attempt of a delivery, if the hook is able.
func (p *pass) try(ctx context.Context, w work) {
	if p.turnOver() || p.stopped.Load() || p.isBlocked(w.due.Event.Entity) {
		w.end(false)
		return
	}
	w.due.Hook = p.hook
	if !w.due.Expired(p.Stream.Time(time.Now())) && !p.wait(ctx) { // what is not sent any more needs no rate
		p.stopped.Store(true)
		w.end(false)
		return
	}
	able, probing := p.Lanes.Able(p.hook)
	if able && probing {
		p.probe.Lock()
		defer p.probe.Unlock()
		able, _ = p.Lanes.Able(p.hook)
	}
	if !able || p.stopped.Load() {
		p.stopped.Store(true)
		w.end(false)
		return
	}
	p.attempt(w)
}

// wait returns true when the hook's rate lets it have the next attempt, and false as soon as this pass may not make it.
func (p *pass) wait(ctx context.Context) bool {
	for reserved := p.limiter.Reserve(); p.may() && !p.stopped.Load(); p.turnOver() {
		left := reserved.Delay()
		if left == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(left, look)):
		}
	}
	return false
}

func (p *pass) attempt(w work) {
	w.due.Hook = p.hook
	p.settling.Add(1)
	settled := func(err error) {
		w.end(err == nil)
		p.settling.Done()
	}
	state, refusal := p.Deliverer.Drain(w.due, envelope.NewBodies(w.due.Event), p.may, settled)
	switch {
	case state == webhook.Parked: // refused, or given up: it stays where it is
		p.stopped.Store(true)
		if refusal != webhook.ReasonNone {
			settled(context.Canceled)
		}
		return
	case state == webhook.Waiting && p.hook.Config.Ordering != webhook.OrderNone: // keeps back what has to come after it
		p.mu.Lock()
		p.blocked[w.due.Event.Entity] = true
		p.allBlocked = p.hook.Config.Ordering == webhook.OrderHook
		p.mu.Unlock()
	}
	p.done.Add(1)
}
