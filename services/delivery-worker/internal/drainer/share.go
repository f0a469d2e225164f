package drainer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
)

// A claim should take a worker about so long: others would wait for a longer one at the end, and each costs Postgres.
const minClaim, maxClaim = 500 * time.Millisecond, 2 * time.Second

// share drains a hook together with other workers. It returns true when something was done, so that more may be
// possible at once.
func (d *Drainer) share(ctx context.Context, q *queue, b postgres.Backlog, h *webhook.Hook) (progress bool, err error) {
	held, err := d.join(ctx, b.HookID)
	if err != nil || held == nil {
		return false, err
	}
	defer held.Release()
	// what one who drained the hook alone before did has to be in Postgres before it is read
	if err := d.History.CatchUp(held.Context()); err != nil {
		return false, err
	}
	// read ahead so far that those who make the attempts do not wait for Postgres
	p := newPass(d, q, held.Held, h, unlimited(), min(page, 4*h.Config.Concurrency))
	s := &sharing{pass: p, lease: held, size: min(page, 2*h.Config.Concurrency)}
	empty, err := s.run(held.Context())
	p.finish()
	if err != nil {
		return false, err
	}
	if empty {
		return false, d.Store.ForgetBacklog(ctx, b)
	}
	return p.again(), nil
}

// sharing is a pass over the claims of one worker.
type sharing struct {
	*pass
	lease *shared
	size  int // of the next claim
}

// run claims and puts to work until there is nothing to claim. It returns true where nothing is parked.
func (s *sharing) run(ctx context.Context) (empty bool, err error) {
	for !s.turnOver() && !s.stopped.Load() {
		began := time.Now()
		claim, ended, err := s.lease.claim(s.size)
		switch {
		case err != nil:
			return false, err
		case claim != nil:
			if err := s.claimed(ctx, *claim); err != nil {
				return false, err
			}
			s.resize(time.Since(began))
		case ended.Alone || ended.Claims > 0:
			return false, nil
		case ended.TakenTo == 0:
			return true, nil
		default: // the end of a round, in which something may have been refused or parked again
			if err := s.History.CatchUp(ctx); err != nil {
				return false, err
			}
			if _, err := s.Claims.NextRound(ctx, s.hook.ID, ended); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// resize makes the next claim larger or smaller by what the last one took.
func (s *sharing) resize(took time.Duration) {
	switch {
	case took < minClaim:
		s.size = min(page, 2*s.size)
	case took > maxClaim:
		s.size = max(1, s.size/2)
	}
}

// claimed puts all of a claim to work. It ends the claim when the last of it is settled.
func (s *sharing) claimed(ctx context.Context, c postgres.Claim) error {
	var left sync.WaitGroup
	var again atomic.Bool
	left.Add(1)
	s.settling.Go(func() {
		left.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.Margin)
		defer cancel()
		if err := s.lease.end(ctx, c, again.Load()); err != nil { // it expires
			s.Log.Warn("claim could not be ended", zap.Stringer("hook_id", c.HookID), zap.Error(err))
		}
	})
	err := s.readClaim(ctx, c, func(list []postgres.ParkedDelivery) error {
		left.Add(len(list))
		return s.put(ctx, list, func(tried bool) {
			if !tried {
				again.Store(true)
			}
			left.Done()
		})
	})
	if err != nil || s.stopped.Load() {
		again.Store(true)
	}
	left.Done()
	return err
}

func (s *sharing) readClaim(ctx context.Context, c postgres.Claim, each func([]postgres.ParkedDelivery) error) error {
	if c.TakenOver {
		if err := s.History.CatchUp(ctx); err != nil {
			return err
		}
	}
	for after := c.After; after < c.UpTo && !s.stopped.Load(); {
		list, err := s.Store.Parked(ctx, s.hook.ID, after, c.UpTo, s.queue.page)
		if err != nil || len(list) == 0 {
			return err
		}
		after = uint64(list[len(list)-1].Event.Seq)
		if err := each(list); err != nil {
			return err
		}
	}
	return nil
}
