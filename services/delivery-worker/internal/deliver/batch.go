package deliver

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/limiter"
)

// Batch is a set of parked deliveries to one hook that are sent in one request.
type Batch struct {
	Dues []webhook.Due
	// Bodies are the bodies of the deliveries' events, in the order of Dues.
	Bodies []*envelope.Bodies
	// May reports, right before the request, whether the request may still be made.
	May func() bool
	// Split stores, before the request is recorded, that the deliveries will be sent in batches of at most this many instead of
	// together. It returns false if that failed.
	Split func(most int) bool
	// Settled is called once for each delivery whose outcome is durable, or could not be made durable, as in Deliver.
	Settled func(i int, err error)
}

// DrainBatch makes the next attempt of all deliveries of a batch and returns the resulting states, before these are durable: Parked
// for deliveries that are sent again at once in smaller batches. If the hook cannot take the attempt, or it was abandoned, the
// deliveries stay unchanged: Settled is not called, and no states are returned. DrainBatch blocks until the receiver has responded.
func (d *Deliverer) DrainBatch(b *Batch) []webhook.DeliveryState {
	answered := make(chan []webhook.DeliveryState, 1)
	d.Enter(limiter.Attempt{
		Hook: b.Dues[0].Hook, Drain: true, Retry: b.Dues[0].Attempts > 0,
		Run: func() error {
			if !b.May() { // the lease may have been lost while the batch waited for a slot
				answered <- nil
				return context.Canceled
			}
			states, err := d.attemptBatch(b)
			answered <- states
			return err
		},
		Park: func(webhook.Reason) { answered <- nil },
	})
	return <-answered
}

func (d *Deliverer) attemptBatch(b *Batch) ([]webhook.DeliveryState, error) {
	started := time.Now()
	states := make([]webhook.DeliveryState, len(b.Dues))
	var sent []int
	var ends []func()
	var dues []*webhook.Due
	var bodies []*envelope.Bodies
	for i := range b.Dues {
		due := &b.Dues[i]
		if end := d.unwanted(due, started); end != nil {
			ends = append(ends, func() { end(func(err error) { b.Settled(i, err) }) })
			states[i] = webhook.Dead
			continue
		}
		begin(&due.Round, due.ParkedAt, d.Clock.Time(started))
		sent, dues, bodies = append(sent, i), append(dues, due), append(bodies, b.Bodies[i])
	}
	err := context.Canceled
	if len(dues) > 0 {
		attempts, results, cancelled := d.Sender.SendBatch(d.ctx, dues, bodies)
		d.Observer.Batched()
		result, n := answerOf(results)
		if cancelled || n > 0 && !result.Success() && d.Clock.Stopped(started) {
			return nil, context.Canceled
		}
		most := splitInto(dues[0].Hook, result, n)
		if most > 0 && !b.Split(most) {
			return nil, context.Canceled
		}
		ended, random := time.Now(), rand.Float64() //nolint:gosec // jitter
		for n, i := range sent {
			decide := d.decide
			if most > 0 && results[n].Class != webhook.ClassTransform {
				decide = parkAgain
			}
			var said error
			states[i], said = d.conclude(dues[n], answer{attempts[n], results[n], started, ended, random}, decide, func(err error) { b.Settled(i, err) })
			if results[n].Class != webhook.ClassTransform {
				err = said
			}
		}
	}
	for _, end := range ends {
		end()
	}
	return states, err
}

func parkAgain(*webhook.Due, *answer) webhook.Decision {
	return webhook.Decision{State: webhook.Parked, Reason: webhook.ReasonBatch}
}

// answerOf returns the response to a batch's request, and the number of deliveries in the request, which leaves out those whose
// transform failed.
func answerOf(results []webhook.Result) (answer webhook.Result, n int) {
	for _, r := range results {
		if r.Class != webhook.ClassTransform {
			answer = r
			n++
		}
	}
	return answer, n
}

// splitInto returns the maximum size of the batches that replace one that the receiver did not accept: half if it was too large, 1 if
// its response would end all deliveries, and 0 if the batch is not split.
func splitInto(h *webhook.Hook, answer webhook.Result, n int) int {
	switch {
	case n < 2 || answer.Success():
		return 0
	case answer.Status == http.StatusRequestEntityTooLarge:
		return (n + 1) / 2
	case answer.Status != http.StatusGone && slices.Contains(h.Config.StopOn, answer.Status):
		return 1
	}
	return 0
}
