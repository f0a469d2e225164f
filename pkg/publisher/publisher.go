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

// ErrTooLarge says that NATS takes no message of this size, now or later. Always wrapped.
var ErrTooLarge = broker.ErrEventTooLarge

// Credentials say as whom to connect to NATS, and whom to trust. The zero value connects as nobody and trusts the
// authorities of the machine.
type Credentials = broker.Credentials

// ErrDenied says that the NATS user may not publish events of the tenant. Always wrapped.
var ErrDenied = broker.ErrDenied

const (
	// DefaultTimeout is Options.Timeout where that is zero.
	DefaultTimeout = 10 * time.Second
	// DefaultMaxInFlight is Options.MaxInFlight where that is zero.
	DefaultMaxInFlight = 1024
	// firstPause and longestPause are how long Publish waits before it tries again.
	firstPause, longestPause = 50 * time.Millisecond, time.Second
)

// Options say where to publish and as whom. Only URL is required.
type Options struct {
	// URL of the NATS servers, separated by commas; with user and password where they want them.
	URL string
	// Tenant is whose events these are; empty: webhook.DefaultTenant.
	Tenant string
	// Namespace is the installation's WHISPERER_NAMESPACE, where it has one.
	Namespace string
	// Name of the program, as the server's monitoring shows it.
	Name string
	// Credentials say as whom to connect, where the URL does not.
	Credentials Credentials
	// Timeout bounds Publish and PublishBatch, which until then try again.
	Timeout time.Duration
	// MaxInFlight is how many events of PublishAsync may be under way, at most 2,000.
	MaxInFlight int
	// Log gets told about the connection; nil for nobody.
	Log *zap.Logger
}

// Publisher publishes events of one tenant over one connection, which comes back by itself. Safe for concurrent use.
type Publisher struct {
	conn   *broker.Conn
	opts   Options
	flight chan struct{} // a place for each event of PublishAsync that is under way

	mu   sync.Mutex
	open map[*Ack]struct{} // those events
}

// New connects to NATS, for which it waits until ctx ends. Close the Publisher at the end.
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

// Tenant is whose events these are.
func (p *Publisher) Tenant() string { return p.opts.Tenant }

// Ready reports why nothing can be published now; nil if it can.
func (p *Publisher) Ready(ctx context.Context) error { return p.conn.Ready(ctx) }

// Close sends what is buffered and closes the connection. Flush before it, to know what became of PublishAsync's events.
func (p *Publisher) Close() { p.conn.Close() }

// Publish returns nil when JetStream has stored the event. It tries again, with the same id, for as long as ctx and
// Options.Timeout let it. The error is a *webhook.ValidationError where the event breaks a rule, or wraps ErrTooLarge;
// with any other the event may be stored or not: publish it again, with the same ID.
func (p *Publisher) Publish(ctx context.Context, e Event) error {
	return p.PublishBatch(ctx, []Event{e})
}

// PublishBatch is Publish for many events, which are stored in their order: whatever fails, none before those in front
// of it. All are checked before the first is sent; the pointers of their errors begin with the place of the event, /0/data
// (not with a single one).
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

// PublishMessages makes one attempt to store the messages in their order, and returns how many it has stored: those at
// the front. On an error the next one may be stored too, and publishing it again is harmless. The error wraps ErrTooLarge
// where the next one can never be stored.
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
