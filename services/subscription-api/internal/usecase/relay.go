package usecase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

const (
	// How many relays there are at once: in all, of one tenant and by one token.
	maxRelays, maxTenantRelays, maxTokenRelays = 64, 16, 8
	// relayPatience is how long one waits for another that was left to end.
	relayPatience = 100 * time.Millisecond
	// wishEvery is how often a relay is announced to the workers, which lets new workers learn of it; wishFor is how long an
	// announcement counts.
	wishEvery, wishFor = 2 * time.Second, 10 * time.Second
)

// RelayFilter narrows what a relay gets.
type RelayFilter struct {
	// Hook is uuid.Nil for all of the tenant's.
	Hook uuid.UUID
	// EventTypes are types and patterns in canonical spelling; none for any.
	EventTypes []string
}

// Relay gets a copy of each request that workers make to the tenant's receivers from now on, as far as somebody reads them.
type Relay struct {
	bus    *bus.Bus
	copies *bus.Copies
	wish   bus.Wish
	// wishAt is when the workers have to be told again.
	wishAt time.Time
	// data is what Next returns after it has told what is missing before that.
	data    []byte
	release func()
}

// OpenRelay makes a relay, which has to be closed. The errors are webhook.ErrNotFound for a hook that the tenant has not, *LimitError and
// ErrUnavailable.
func (s *Deliveries) OpenRelay(ctx context.Context, c *Caller, f RelayFilter) (_ *Relay, err error) {
	if f.Hook != uuid.Nil {
		if _, err := (&Hooks{s.core}).Get(ctx, c, f.Hook); err != nil {
			return nil, err
		}
	}
	if s.Bus == nil {
		return nil, fmt.Errorf("open relay: there is no bus: %w", ErrUnavailable)
	}
	b, err := s.Bus()
	if err != nil {
		return nil, fmt.Errorf("open relay: %w", errors.Join(err, ErrUnavailable))
	}
	release, err := s.relays.Take(ctx, c.Tenant, c.Token.ID.String())
	if err != nil {
		return nil, relayRefused(err)
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	wish := bus.Wish{Relay: uuid.New(), Tenant: c.Tenant, Hook: f.Hook, EventTypes: f.EventTypes, For: wishFor}
	copies, err := b.Relay().Copies(ctx, wish.Relay)
	if err != nil {
		return nil, fmt.Errorf("open relay: %w", errors.Join(err, ErrUnavailable))
	}
	if err := s.access.NoteRelay(ctx, c.Actor(), c.Tenant, f.Hook, f.EventTypes); err != nil {
		copies.Close()
		return nil, err
	}
	return &Relay{bus: b, copies: copies, wish: wish, release: release}, nil
}

// relayRefused says why there is no room for a relay.
func relayRefused(err error) error {
	switch {
	case errors.Is(err, daemon.ErrShare):
		return &LimitError{Wait: time.Second, Detail: fmt.Sprintf("There are as many relays as may be at once: %d of a tenant, %d of a token.", maxTenantRelays, maxTokenRelays)}
	case errors.Is(err, daemon.ErrBusy):
		return &LimitError{Wait: time.Second, Detail: fmt.Sprintf("There are as many relays as may be at once in this program: %d.", maxRelays)}
	default:
		return err
	}
}

// Next returns an api.RelayMessage as JSON; nil where there is none for a while, so that the caller can see to other things.
func (r *Relay) Next(ctx context.Context) ([]byte, error) {
	if data := r.data; data != nil {
		r.data = nil
		return data, nil
	}
	if now := time.Now(); !now.Before(r.wishAt) {
		_ = r.bus.Relay().PublishWish(&r.wish) // said again soon
		r.wishAt = now.Add(wishEvery)
	}
	waiting, cancel := context.WithDeadline(ctx, r.wishAt)
	defer cancel()
	data, dropped, err := r.copies.Next(waiting)
	switch {
	case dropped > 0:
		r.data = data
		return json.Marshal(&api.RelayMessage{Dropped: dropped})
	case err != nil && waiting.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("relay: %w", errors.Join(err, ErrUnavailable))
	}
	return data, nil
}

// Close ends the relay.
func (r *Relay) Close() {
	r.wish.For = 0
	_ = r.bus.Relay().PublishWish(&r.wish) // or it ends by itself
	r.copies.Close()
	r.release()
}
