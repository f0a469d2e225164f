package drainer

import (
	"slices"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/deliver"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// maxHandedTime is the longest time for which a hook's rate may delay a delivery that the fan-out hands over. The
	// delivery's event stays unsettled for that time, and with it ordered hooks of the partition wait. A delivery that is still
	// waiting after handedLate is parked, because its receiver is slow.
	maxHandedTime, handedLate = maxPage, 5 * time.Second
	// maxHanded and maxHandedBytes leave at least half of the room for parked deliveries.
	maxHanded, maxHandedBytes = maxOpen / 2, maxBytes / 2
)

// handed is a delivery that the fan-out has handed over. It was never in the parked queue.
type handed struct {
	bodies  *envelope.Bodies
	settled func(error)
	at      time.Time
}

// Deliver moves a delivery of the fan-out to its next state, as the deliverer does. The delivery is sent in its turn without
// being parked if only its hook's rate delays it, this worker drains the hook, and nothing is parked for it.
func (d *Drainer) Deliver(due webhook.Due, bodies *envelope.Bodies, settled func(error), slow func()) {
	if due.Hook.Config.OnlyRate() && due.Attempts == 0 && !due.Unknown && !due.Replay {
		if draining := d.draining.Load(); draining != nil {
			if x := (*draining)[due.Hook.ID]; x != nil && x.hand(due, handed{bodies, settled, time.Now()}) {
				slow()
				return
			}
		}
	}
	d.Deliverer.Deliver(due, bodies, settled, slow)
}

// Park parks a delivery, as the deliverer does.
func (d *Drainer) Park(due *webhook.Due, reason webhook.Reason, settled func(error)) {
	d.Deliverer.Park(due, reason, settled)
}

// hand takes over a delivery, unless it has to be parked.
func (x *held) hand(due webhook.Due, h handed) bool {
	if able, probing := x.Limiter.Able(x.hook); !able || probing || due.Hook != x.hook || !x.may() {
		return false
	}
	w := &store.ParkedDelivery{Due: due, HookID: x.hook.ID, Loaded: true, Size: len(due.Event.Data)}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || x.stopped.Load() || x.more.Load() || x.rateWait() > maxHandedTime ||
		x.inHand.Load() >= maxHanded || x.bytes.Load()+int64(w.Size) > maxHandedBytes {
		return false
	}
	x.inHand.Add(1)
	x.bytes.Add(int64(w.Size))
	x.open.Add(1)
	x.todo.Add(1)
	x.handed[w] = h
	x.queue(w)
	return true
}

// rateWait returns how long the rate delays another delivery, after those that are still to be tried.
func (x *held) rateWait() time.Duration {
	ahead := float64(x.todo.Load())
	if ahead == 0 {
		ahead = -x.rate.Tokens()
	}
	return time.Duration((ahead + 1) / float64(x.rate.Limit()) * float64(time.Second))
}

// close reports whether no delivery is open. If so, hand takes over no further ones.
func (x *held) close() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = x.open.Load() == 0
	return x.closed
}

// bodiesOf returns the bodies of a delivery's event, and a function that reports whether the request may still be made.
func (x *held) bodiesOf(w work) (bodies *envelope.Bodies, may func() bool) {
	x.mu.Lock()
	h, there := x.handed[w]
	x.mu.Unlock()
	if !there {
		return envelope.NewBodies(w.Event), x.may
	}
	return h.bodies, func() bool { return x.may() && !x.Bus.Stopped(h.at) }
}

// settleHanded settles a delivery that was handed over. It returns false for one that was taken from the queue.
func (x *held) settleHanded(w work, as store.DrainedAs) bool {
	x.mu.Lock()
	h, there := x.handed[w]
	delete(x.handed, w)
	x.mu.Unlock()
	if !there {
		return false
	}
	switch {
	case as != store.Back:
		h.settled(nil)
	case x.Bus.Stopped(h.at): // another worker may have the event by now
		h.settled(deliver.ErrNotSettled)
	default:
		x.Deliverer.Park(&w.Due, webhook.ReasonRate, h.settled)
	}
	x.inHand.Add(-1)
	x.bytes.Add(int64(-w.Size))
	if x.open.Add(-1) == 0 && x.stopped.Load() {
		signal(x.short)
	}
	return true
}

// parkLate parks the deliveries that were handed over and have waited longer than handedLate.
func (r *round) parkLate() {
	now := time.Now()
	for _, x := range r.held {
		if late := x.late(now); len(late) > 0 {
			r.parts.Go(func() {
				for _, w := range late {
					x.settle(w, store.Back)
					x.tried(1)
				}
			})
		}
	}
}

// late removes the deliveries that were handed over and have waited longer than handedLate from the ready lines, and returns
// them.
func (x *held) late(now time.Time) (late []work) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.handed) == 0 {
		return nil
	}
	x.ready = slices.DeleteFunc(x.ready, func(ln *line) bool {
		w := ln.work[0][0]
		h, there := x.handed[w]
		if !there || now.Sub(h.at) < handedLate {
			return false
		}
		late = append(late, w)
		return true
	})
	return late
}
