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
	// relaySubjects are those of copies for people who listen. No stream has them: what nobody listens to is gone.
	relaySubjects = "relay.>"
	relayWanted   = "relay.wanted"
	relayCopy     = "relay.copy."
	// relayMessages and relayBytes bound the copies that wait for one who listens; more are dropped.
	relayMessages, relayBytes = 256, 16 << 20
	// relayProbe is how long a copy that a relay sends to itself may take.
	relayProbe = time.Second
)

// ErrRelayDenied says that NATS does not let copies through.
var ErrRelayDenied = errors.New(`nats lets nothing through on relay.>: give Whisperer's user the permissions that "whisperer nats permissions" prints now`)

// Wish says which copies somebody wants, and for how long unless it is said again.
type Wish struct {
	Relay  uuid.UUID `json:"relay"`
	Tenant string    `json:"tenant"`
	// Hook is uuid.Nil for all of the tenant's.
	Hook uuid.UUID `json:"hook"`
	// EventTypes are types and patterns, of which one has to cover an event's; none for any.
	EventTypes []string `json:"event_types,omitempty"`
	// For is 0 for a wish that is taken back.
	For time.Duration `json:"for"`
}

// Relay carries copies of requests to those who listen.
type Relay struct{ b *Bus }

// Relay returns the bus's relay.
func (b *Bus) Relay() Relay { return Relay{b} }

// MaxPayload is the largest message in bytes that the server takes.
func (r Relay) MaxPayload() int { return r.b.MaxPayload() }

// PublishWish tells the workers of a wish.
func (r Relay) PublishWish(w *Wish) error {
	data, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode wish: %w", err)
	}
	return r.publish(relayWanted, data)
}

// Wishes calls handle with each wish that comes, until stop is called. A bus without a server hears of none.
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
	return func() { _ = sub.Unsubscribe() }, nil // or the connection is closed
}

// PublishCopy sends a copy to a relay. It waits for nobody.
func (r Relay) PublishCopy(relay uuid.UUID, data []byte) error {
	return r.publish(relayCopy+relay.String(), data)
}

// publish publishes what is worth nothing later: it takes no room of what waits for a server that is away.
func (r Relay) publish(subject string, data []byte) error {
	if r.b.nc == nil || !r.b.nc.IsConnected() {
		return fmt.Errorf("publish to %s: %w", subject, nats.ErrDisconnected)
	}
	if err := r.b.nc.Publish(r.b.opts.Namespace.Subject(subject), data); err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return nil
}

// Copies are what comes for one relay.
type Copies struct {
	sub *nats.Subscription
	// told is how many dropped copies Next has told of.
	told int
}

// Copies subscribes to what is sent to a relay, and sees that something can be. The error is ErrRelayDenied where not.
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

// Next waits for a copy. dropped is how many were dropped since the last call, since nobody had taken them in time.
func (c *Copies) Next(ctx context.Context) (data []byte, dropped int, err error) {
	m, err := c.sub.NextMsgWithContext(ctx)
	if errors.Is(err, nats.ErrSlowConsumer) { // told once for each time that it begins
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
func (c *Copies) Close() { _ = c.sub.Unsubscribe() } // or the connection is closed
