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
	// The maximum number of relays at once: in total, per tenant and per token.
	maxRelays, maxTenantRelays, maxTokenRelays = 64, 16, 8
	// relayPatience is how long a new relay waits for one that is just ending.
	relayPatience = 100 * time.Millisecond
	// wishEvery is the interval of announcing a relay to the workers, so that new workers learn of it. wishFor is how
	// long an announcement is valid.
	wishEvery, wishFor = 2 * time.Second, 10 * time.Second
)

// RelayFilter restricts what a relay gets.
type RelayFilter struct {
	// Hook is uuid.Nil for all of the tenant's hooks.
	Hook uuid.UUID
	// EventTypes are types and patterns in canonical spelling; an empty list matches any.
	EventTypes []string
}

// Relay gets a copy of each request that workers make to the tenant's receivers from now on. Copies that are not read
// in time are dropped.
type Relay struct {
	bus    *bus.Bus
	copies *bus.Copies
	wish   bus.Wish
	// wishAt is when the relay must be announced again.
	wishAt time.Time
	// data is what Next returns after it has reported how many copies are missing before it.
	data    []byte
	release func()
}

// OpenRelay opens a relay, which must be closed. It returns webhook.ErrNotFound for a hook that the tenant does not
// have, a *LimitError, or ErrUnavailable.
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

// Next returns an api.RelayMessage as JSON, or nil if there is none for a while, so that the caller can do other
// things.
func (r *Relay) Next(ctx context.Context) ([]byte, error) {
	if data := r.data; data != nil {
		r.data = nil
		return data, nil
	}
	if now := time.Now(); !now.Before(r.wishAt) {
		_ = r.bus.Relay().PublishWish(&r.wish) // repeated soon
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
	_ = r.bus.Relay().PublishWish(&r.wish) // otherwise the wish expires by itself
	r.copies.Close()
	r.release()
}
