package publisher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/whisperer-oms/whisperer/pkg/broker"
)

// Ack is the pending result of PublishAsync.
type Ack struct {
	id   string
	done chan struct{}
	err  error
}

// ID returns the event's id, even if PublishAsync generated it. It is empty for an invalid event.
func (a *Ack) ID() string { return a.id }

// Done is closed when the result is known.
func (a *Ack) Done() <-chan struct{} { return a.done }

// Err waits for the result, which takes seconds at most. It returns nil if the event is stored, and otherwise an
// error like Publish's.
func (a *Ack) Err() error {
	<-a.done
	return a.err
}

func (a *Ack) settle(err error) {
	a.err = err
	close(a.done)
}

// PublishAsync sends the event without waiting until it is stored. If Options.MaxInFlight events are pending, it
// waits until one of them is done, which takes seconds at most. Events are stored in the order of calls as long as
// none fails. It makes one attempt: if the Ack has an error, publish the event again with the same ID.
func (p *Publisher) PublishAsync(e Event) *Ack {
	ack := &Ack{done: make(chan struct{})}
	message, err := e.Encode(p.opts.Tenant)
	if err != nil {
		ack.settle(err)
		return ack
	}
	ack.id = message.ID()
	p.flight <- struct{}{}
	pending, err := p.conn.StartPublish(message.out)
	if err != nil {
		<-p.flight
		ack.settle(err)
		return ack
	}
	p.mu.Lock()
	p.open[ack] = struct{}{}
	p.mu.Unlock()
	go p.await(pending, ack)
	return ack
}

// await always ends, because the broker waits for seconds at most.
func (p *Publisher) await(pending *broker.Pending, ack *Ack) {
	err := pending.Wait(context.Background())
	p.mu.Lock()
	delete(p.open, ack)
	p.mu.Unlock()
	<-p.flight
	ack.settle(err)
}

// Flush waits until every event that PublishAsync took before is stored or has failed, or ctx ends. It returns the
// errors of those that failed meanwhile, joined; each Ack has its own as well.
func (p *Publisher) Flush(ctx context.Context) error {
	p.mu.Lock()
	open := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	var failed []error
	for _, ack := range open {
		select {
		case <-ack.done:
			failed = append(failed, ack.err)
		case <-ctx.Done():
			return fmt.Errorf("flush events: %w", ctx.Err())
		}
	}
	return errors.Join(failed...)
}
