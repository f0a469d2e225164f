package subscriptionapi

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/whisperer-oms/whisperer/pkg/bus"
)

var errNoBus = errors.New("not connected to nats yet")

// publisher is the bus once there is one.
type publisher struct{ bus atomic.Pointer[bus.Bus] }

func (p *publisher) connected(b *bus.Bus) { p.bus.Store(b) }

// PublishEvents implements httpapi's publisher.
func (p *publisher) PublishEvents(ctx context.Context, events []bus.Outgoing) error {
	b := p.bus.Load()
	if b == nil {
		return errNoBus
	}
	return b.PublishEvents(ctx, events)
}

func (p *publisher) ready(ctx context.Context) error {
	b := p.bus.Load()
	if b == nil {
		return errNoBus
	}
	return b.Ready(ctx)
}
