package publisher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ErrTooLarge says that NATS never accepts a message of this size. Always wrapped.
var ErrTooLarge = broker.ErrEventTooLarge

// Credentials say as which user to connect to NATS, and which servers to trust. The zero value connects without
// credentials and trusts the machine's certificate authorities.
type Credentials = broker.Credentials

// ErrDenied says that the NATS user may not publish events of the tenant. Always wrapped.
var ErrDenied = broker.ErrDenied

const (
	// DefaultTimeout is the default of Options.Timeout.
	DefaultTimeout = 10 * time.Second
	// DefaultMaxInFlight is the default of Options.MaxInFlight.
	DefaultMaxInFlight = 1024
	// firstPause and longestPause bound the pauses between Publish's retries.
	firstPause, longestPause = 50 * time.Millisecond, time.Second
)

// Options configure a Publisher. Only URL is required.
type Options struct {
	// URL lists the NATS servers, separated by commas, with user and password if they require them.
	URL string
	// Tenant is the tenant of events that name none; empty means webhook.DefaultTenant.
	Tenant string
	// Namespace is the installation's WHISPERER_NAMESPACE, if it has one.
	Namespace string
	// Name is the connection's name in the server's monitoring.
	Name string
	// Credentials say as which user to connect, if the URL does not.
	Credentials Credentials
	// Timeout bounds Publish and PublishBatch, which retry until then.
	Timeout time.Duration
	// MaxInFlight is how many events of PublishAsync may be pending, at most 2,000.
	MaxInFlight int
	// Log gets messages about the connection; may be nil.
	Log *zap.Logger
}

// Publisher publishes events over one connection, which reconnects by itself. It is safe for concurrent use.
type Publisher struct {
	conn   *broker.Conn
	opts   Options
	flight chan struct{} // one slot for each pending event of PublishAsync

	mu   sync.Mutex
	open map[*Ack]struct{} // the pending events
}

// New connects to NATS and waits for the connection until ctx ends. Call Close at the end.
func New(ctx context.Context, o Options) (*Publisher, error) {
	o.Tenant = cmp.Or(o.Tenant, webhook.DefaultTenant)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.MaxInFlight = min(cmp.Or(o.MaxInFlight, DefaultMaxInFlight), 2000)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if err := webhook.ValidateTenant(o.Tenant); err != nil {
		return nil, fmt.Errorf("name tenant %q: %w", o.Tenant, err)
	}
	c, err := broker.Connect(ctx, broker.Options{
		URL: o.URL, Name: o.Name, Namespace: broker.Namespace(o.Namespace), Credentials: o.Credentials, Inbox: "_INBOX.oms." + o.Tenant, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	return &Publisher{conn: c, opts: o, flight: make(chan struct{}, o.MaxInFlight), open: map[*Ack]struct{}{}}, nil
}

// Tenant returns the tenant of events that name none.
func (p *Publisher) Tenant() string { return p.opts.Tenant }

// Ready reports why nothing can be published now; nil means that it can.
func (p *Publisher) Ready(ctx context.Context) error { return p.conn.Ready(ctx) }

// Close sends what is buffered and closes the connection. Call Flush first to learn the results of PublishAsync.
func (p *Publisher) Close() { p.conn.Close() }

// Publish returns nil when JetStream has stored the event. It retries with the same id until ctx or Options.Timeout
// ends. The error is a *webhook.ValidationError if the event is invalid, or wraps ErrTooLarge. After any other error
// the event may or may not be stored: publish it again, with the same ID.
func (p *Publisher) Publish(ctx context.Context, e Event) error {
	return p.PublishBatch(ctx, []Event{e})
}

// PublishBatch is like Publish for many events. Whatever fails, no event is stored before those in front of it. All
// events are checked before the first is sent; the pointers of their errors begin with the index of the event, such
// as /0/data, unless there is only one event.
func (p *Publisher) PublishBatch(ctx context.Context, events []Event) error {
	messages := make([]Message, len(events))
	invalid := &problems{}
	for i, e := range events {
		var err error
		if messages[i], err = e.Encode(p.opts.Tenant); err != nil && len(events) == 1 {
			return err
		}
		invalid.under(fmt.Sprintf("/%d", i), err)
	}
	if err := invalid.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.opts.Timeout)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		stored, err := p.PublishMessages(ctx, messages)
		if err == nil || errors.Is(err, ErrTooLarge) {
			return err
		}
		messages = messages[stored:]
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// PublishMessages makes one attempt to store the messages in their order, and returns how many it has stored: the
// first ones. After an error the next one may be stored too, and publishing it again is harmless. The error wraps
// ErrTooLarge if the next one can never be stored.
func (p *Publisher) PublishMessages(ctx context.Context, messages []Message) (stored int, err error) {
	events := make([]broker.Outgoing, len(messages))
	for i := range messages {
		events[i] = messages[i].out
	}
	return p.conn.PublishInOrder(ctx, events)
}

func (p *problems) under(prefix string, err error) {
	if v, ok := errors.AsType[*webhook.ValidationError](err); ok {
		for _, f := range v.Fields {
			p.add(prefix+f.Pointer, f.Detail)
		}
	}
}
