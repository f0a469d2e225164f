package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

const (
	// The relay's subjects carry copies for listeners. No stream stores them: a copy without a subscriber is lost.
	relaySubjects = "relay.>"
	relayWanted   = "relay.wanted"
	relayCopy     = "relay.copy."
	// relayMessages and relayBytes bound the copies that wait for a listener; further ones are dropped.
	relayMessages, relayBytes = 256, 16 << 20
	// relayProbe bounds the round trip of the test copy that a relay sends to itself.
	relayProbe = time.Second
)

// ErrRelayDenied says that the NATS user lacks the permissions for relay subjects.
var ErrRelayDenied = errors.New(`nats lets nothing through on relay.>: give Whisperer's user the permissions that "whisperer nats permissions" prints now`)

// Wish asks for copies of requests. It expires unless it is repeated.
type Wish struct {
	Relay  uuid.UUID `json:"relay"`
	Tenant string    `json:"tenant"`
	// Hook is the hook whose requests are wanted, or uuid.Nil for all hooks of the tenant.
	Hook uuid.UUID `json:"hook"`
	// EventTypes are types and patterns of which at least one must match; an empty list matches every event.
	EventTypes []string `json:"event_types,omitempty"`
	// For is how long the wish is valid; 0 withdraws it.
	For time.Duration `json:"for"`
}

// Relay carries copies of requests to listeners.
type Relay struct{ b *Bus }

// Relay returns the bus's relay.
func (b *Bus) Relay() Relay { return Relay{b} }

// MaxPayload is the size in bytes of the largest message that the server accepts.
func (r Relay) MaxPayload() int { return r.b.MaxPayload() }

// PublishWish sends a wish to all workers.
func (r Relay) PublishWish(w *Wish) error {
	data, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode wish: %w", err)
	}
	return r.publish(relayWanted, data)
}

// Wishes calls handle with each wish until stop is called. A bus without a server receives none.
func (r Relay) Wishes(handle func(*Wish)) (stop func(), err error) {
	if r.b.nc == nil {
		return func() {}, nil
	}
	sub, err := r.b.nc.Subscribe(r.b.opts.Namespace.Subject(relayWanted), func(m *nats.Msg) {
		var w Wish
		if json.Unmarshal(m.Data, &w) == nil {
			handle(&w)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to wishes: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // an error means that the connection is closed
}

// PublishCopy sends a copy to a relay. It does not wait for the listener.
func (r Relay) PublishCopy(relay uuid.UUID, data []byte) error {
	return r.publish(relayCopy+relay.String(), data)
}

// publish publishes a message that is worthless later. While disconnected it drops the message, so that it takes no
// space in the reconnect buffer.
func (r Relay) publish(subject string, data []byte) error {
	if r.b.nc == nil || !r.b.nc.IsConnected() {
		return fmt.Errorf("publish to %s: %w", subject, nats.ErrDisconnected)
	}
	if err := r.b.nc.Publish(r.b.opts.Namespace.Subject(subject), data); err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return nil
}

// Copies receives the copies sent to one relay.
type Copies struct {
	sub *nats.Subscription
	// told is the number of dropped copies that Next has reported.
	told int
}

// Copies subscribes to a relay and verifies that copies arrive. It returns ErrRelayDenied if they do not.
func (r Relay) Copies(ctx context.Context, relay uuid.UUID) (*Copies, error) {
	sub, err := r.b.nc.SubscribeSync(r.b.opts.Namespace.Subject(relayCopy + relay.String()))
	if err != nil {
		return nil, fmt.Errorf("subscribe to copies: %w", err)
	}
	c := &Copies{sub: sub}
	err = sub.SetPendingLimits(relayMessages, relayBytes)
	if err == nil {
		err = r.PublishCopy(relay, nil)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, relayProbe)
		defer cancel()
		if _, err = sub.NextMsgWithContext(ctx); err != nil && r.b.nc.IsConnected() {
			err = ErrRelayDenied
		}
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("subscribe to copies: %w", err)
	}
	return c, nil
}

// Next waits for a copy. dropped is how many copies were dropped since the last call because they were not taken in
// time.
func (c *Copies) Next(ctx context.Context) (data []byte, dropped int, err error) {
	m, err := c.sub.NextMsgWithContext(ctx)
	if errors.Is(err, nats.ErrSlowConsumer) { // NATS reports it once whenever it starts to drop
		m, err = c.sub.NextMsgWithContext(ctx)
	}
	if all, dropErr := c.sub.Dropped(); dropErr == nil {
		dropped, c.told = all-c.told, all
	}
	if err != nil {
		return nil, dropped, fmt.Errorf("wait for copies: %w", err)
	}
	return m.Data, dropped, nil
}

// Close ends the subscription.
func (c *Copies) Close() { _ = c.sub.Unsubscribe() } // an error means that the connection is closed
