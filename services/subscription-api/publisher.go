package subscriptionapi

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

var errNoBus = errors.New("not connected to nats yet")

// publisher gives access to the bus once it is connected.
type publisher struct {
	bus atomic.Pointer[bus.Bus]
	// waiting is the reason why it is not connected yet.
	waiting atomic.Pointer[error]
}

// waits records why there is no bus yet.
func (p *publisher) waits(reason error) { p.waiting.Store(&reason) }

func (p *publisher) connected(b *bus.Bus) { p.bus.Store(b) }

// find returns the bus, or an error if it is not connected yet.
func (p *publisher) find() (*bus.Bus, error) {
	if b := p.bus.Load(); b != nil {
		return b, nil
	}
	return nil, errNoBus
}

// PublishEvents implements httpapi's publisher.
func (p *publisher) PublishEvents(ctx context.Context, events []bus.Outgoing) error {
	b, err := p.find()
	if err != nil {
		return err
	}
	return b.PublishEvents(ctx, events)
}

// Lag implements a part of the console's bus.
func (p *publisher) Lag(ctx context.Context, c bus.Consumer) (bus.Lag, error) {
	b, err := p.find()
	if err != nil {
		return bus.Lag{}, err
	}
	return b.Lag(ctx, c)
}

// Streams implements a part of the console's bus.
func (p *publisher) Streams(ctx context.Context) ([]bus.StreamState, error) {
	b, err := p.find()
	if err != nil {
		return nil, err
	}
	return b.Streams().States(ctx)
}

// ServerVersion implements a part of the console's bus.
func (p *publisher) ServerVersion() string {
	b := p.bus.Load()
	if b == nil {
		return ""
	}
	return b.ServerVersion()
}

// readyOnce returns a check that fails until the bus was usable for the first time. A later outage of NATS does not
// make the API unready: hooks can still be managed, and taking all replicas out of service would help nobody.
func (p *publisher) readyOnce(b *bus.Bus) daemon.Check {
	return func(ctx context.Context) error {
		if p.bus.Load() != nil {
			return nil
		}
		if err := b.Ready(ctx); err != nil {
			return err
		}
		if reason := p.waiting.Load(); reason != nil && *reason != nil {
			return *reason
		}
		return errNoBus
	}
}

// up returns 1 while events can be published.
func (p *publisher) up() float64 {
	if b := p.bus.Load(); b != nil && b.Ready(context.Background()) == nil {
		return 1
	}
	return 0
}
