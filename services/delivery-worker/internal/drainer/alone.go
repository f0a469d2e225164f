package drainer

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// settleTime is how soon an ordered hook is looked at again when its next event is not settled yet.
const settleTime = 25 * time.Millisecond

// stored is how old an event is at least that is surely below the last sequence of the stream it is in, whatever the clocks.
const stored = time.Minute

// maxSkipped is how many deliveries of blocked entities one pass looks past.
const maxSkipped = 20 * page

// alone drains a hook that one worker at a time may drain, or has the database end what cannot be drained any more. It
// returns true when something was done, so that more may be possible at once.
func (d *Drainer) alone(ctx context.Context, q *queue, b postgres.Backlog, h *webhook.Hook) (progress bool, err error) {
	held, err := d.exclude(ctx, b.HookID)
	if err != nil || held == nil {
		return false, err
	}
	defer held.Release()
	ctx = held.Context()
	if h == nil || h.Status == webhook.Disabled {
		return false, d.endAll(ctx, b)
	}
	bounds, err := d.inOrder(ctx, h)
	if err != nil {
		return false, err
	}
	// what the holder before did, or this one in its last pass, has to be in Postgres before it is read
	if err := d.History.CatchUp(ctx); err != nil {
		return false, err
	}
	limiter, err := d.limiter(ctx, h)
	if err != nil {
		return false, err
	}
	p := newPass(d, q, held, h, limiter, page)
	err = p.block(ctx)
	for _, b := range bounds {
		if err == nil {
			err = p.read(ctx, b.last, b.end, d.Stream.Time(time.Now()).Add(-stored))
		}
		if err == nil {
			err = p.read(ctx, b.begin, b.upTo, time.Time{})
		}
	}
	p.finish()
	switch {
	case err != nil:
		return false, err
	case p.done.Load() > 0 || p.stopped.Load():
		return p.again(), nil
	case p.skipped == 0 && !p.allBlocked:
		for _, bound := range bounds {
			if !bound.moving {
				continue
			}
			if later, err := d.Store.Parked(ctx, b.HookID, uint64(bound.upTo), uint64(bound.end), 1); err != nil || len(later) > 0 {
				return d.soon(ctx), err
			}
		}
	}
	return false, d.Store.ForgetBacklog(ctx, b)
}

// bound is what of a hook's parked deliveries, of events in one stream, may be made without breaking their order. There is
// no order between what the order management system tells and what we tell ourselves.
type bound struct {
	// begin and end are around all of the stream's events.
	begin, end webhook.Sequence
	// What comes after upTo has to wait. It grows in a moment if moving.
	upTo   webhook.Sequence
	moving bool
	// last is the stream's last sequence. A higher one is of an event of just now, or of a stream that was lost and made
	// anew: nobody has any of those in hand.
	last webhook.Sequence
}

func (d *Drainer) inOrder(ctx context.Context, h *webhook.Hook) ([]bound, error) {
	if h.Config.Ordering == webhook.OrderNone {
		return []bound{{end: math.MaxInt64, upTo: math.MaxInt64, last: math.MaxInt64}}, nil
	}
	// what is from before the hook existed comes first; this is asked before the lag: all that a job gave that has ended
	// is read
	backfilled, running, err := d.Backfills.Backfilled(ctx, h.ID)
	if err != nil {
		return nil, err
	}
	logged, err := d.inOrderOf(ctx, webhook.OMS)
	if err != nil {
		return nil, err
	}
	own, err := d.inOrderOf(ctx, webhook.Own)
	if err != nil {
		return nil, err
	}
	// what was put off is settled, and may come before what is parked; this is asked after the lag
	if putOff, err := d.Stream.HasPutOff(ctx, h.Tenant); err != nil {
		return nil, err
	} else if putOff {
		logged.upTo, logged.moving = logged.begin, false
		own.upTo, own.moving = own.begin, false
	}
	switch {
	case running && webhook.Sequence(backfilled) > logged.last: // it is at events of a stream that was lost
		logged.upTo, logged.moving = 0, false
	case running && webhook.Sequence(backfilled) < logged.upTo:
		logged.upTo, logged.moving = webhook.Sequence(backfilled), false
	}
	return []bound{logged, own}, nil
}

// inOrderOf is the bound of one stream: an event that is still in somebody's hands may come before those that are parked
// already.
func (d *Drainer) inOrderOf(ctx context.Context, s webhook.Stream) (bound, error) {
	lag, err := d.Stream.Lag(ctx, bus.FanoutOf(s))
	if err != nil {
		return bound{}, err
	}
	return bound{
		begin: webhook.SequenceIn(s, 0), end: webhook.SequenceIn(s+1, 0) - 1,
		upTo: webhook.SequenceIn(s, lag.Settled), moving: true, last: webhook.SequenceIn(s, lag.Last),
	}, nil
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

// endAll ends all of the deliveries of a hook that this worker does not know, or knows as disabled, if the database says
// the same. Else they are left to workers that know the hook, as this one will soon.
func (d *Drainer) endAll(ctx context.Context, b postgres.Backlog) error {
	for {
		ended, err := d.Store.EndDeliveries(ctx, b.HookID, endPage)
		if err != nil || ended.Reason == webhook.ReasonNone {
			return err
		}
		if ended.N == endPage {
			continue
		}
		if ended.Reason == webhook.ReasonHookDeleted {
			if err := d.Stream.PurgeRetries(ctx, b.HookID); err != nil {
				return err
			}
		}
		return d.Store.ForgetBacklog(ctx, b)
	}
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

// read goes over the hook's parked deliveries after one sequence and up to another, of events that were published before a
// time; zero is any.
func (p *pass) read(ctx context.Context, after, upTo webhook.Sequence, before time.Time) error {
	for after < upTo && !p.inVain() {
		list, err := p.Store.Parked(ctx, p.hook.ID, uint64(after), uint64(upTo), p.queue.page)
		if err != nil || len(list) == 0 {
			return err
		}
		after = list[len(list)-1].Event.Seq
		if !before.IsZero() {
			list = slices.DeleteFunc(list, func(d postgres.ParkedDelivery) bool { return !d.Event.PublishedAt.Before(before) })
		}
		if err := p.put(ctx, list, func(bool) {}); err != nil {
			return err
		}
	}
	return nil
}

// inVain reports whether going on would be.
func (p *pass) inVain() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped.Load() || p.allBlocked || p.skipped >= maxSkipped
}
