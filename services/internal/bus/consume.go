package bus

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// redeliverAfter is the delay before a message that could not be processed is redelivered.
const redeliverAfter = 2 * time.Second

// Message is one delivery of a stored message by a consumer. It must be settled by Ack or HandBack. Until then the
// bus tells the server that it is being worked on.
type Message struct {
	// Subject is the subject that the message was published to.
	Subject string
	Data    []byte
	// Seq is the message's sequence in its stream.
	Seq uint64
	// PublishedAt is when the stream stored the message, in whole microseconds like Postgres timestamps.
	PublishedAt time.Time
	// Deliveries counts how often the message was delivered, including this time.
	Deliveries uint64
	// Older reports whether the message was published before its consumer was created. The consumer may replace a
	// deleted one that had delivered the message already, so whoever takes it must ask the ledger.
	Older bool
	// Run says which other messages came to this subscription.
	Run Run

	msg    jetstream.Msg
	sub    *Subscription
	source *source
	asked  time.Time // when the pull request began that brought the message
	over   func()    // called by Settle; may be nil
}

// Run identifies a stretch of a stream of which every message came to one subscription: if other subscriptions got
// some of these messages, this one got them as well. Within each partition the messages come in order of time.
type Run struct {
	// ID tells the runs of a subscription apart. It grows from 1.
	ID uint64
	// After is the stream sequence before the run's first message. Other subscriptions may have got that message and
	// earlier ones.
	After uint64
}

// Redelivered reports whether a worker got the message before and did not settle it, or another may have got it
// since.
func (m *Message) Redelivered() bool { return m.Deliveries > 1 || m.Stale() }

// Stale reports whether another worker may have got the message after this one did, because this process was
// suspended.
func (m *Message) Stale() bool { return m.sub != nil && m.sub.bus.Stopped(m.asked) }

// Header returns the first value of a header, or "" if it is missing.
func (m *Message) Header(name string) string { return m.msg.Headers().Get(name) }

// Headers returns all headers.
func (m *Message) Headers() map[string][]string { return m.msg.Headers() }

// Place returns the stream and sequence of the event that the message carries.
func (m *Message) Place() webhook.Sequence {
	return webhook.SequenceIn(m.sub.name.streamOfEvents(), m.Seq)
}

// Published returns the event that the message carries, not decoded yet.
func (m *Message) Published() envelope.Published {
	return m.sub.bus.event(m.Subject, m.msg.Headers(), m.Data, m.Place(), m.PublishedAt)
}

// OnSettled sets a function that Settle calls after it has settled the message.
func (m *Message) OnSettled(over func()) { m.over = over }

// Settle acks the message if err is nil, and otherwise hands it back for redelivery, to this worker or another one.
// If the server does not get the answer, it redelivers the message as well.
func (m *Message) Settle(err error) {
	settle := m.Ack
	if err != nil {
		settle = func() error { return m.HandBack(redeliverAfter) }
	}
	if failed := settle(); failed != nil {
		m.sub.log().Warn("failed to settle message: it will come again", zap.Error(failed))
	}
	if m.over != nil {
		m.over()
	}
}

// Ack settles the message. If the ack is lost, the message is redelivered, and whoever gets it asks the ledger.
func (m *Message) Ack() error {
	if err := m.sub.settled(m).Ack(); err != nil {
		return fmt.Errorf("ack message %d: %w", m.Seq, err)
	}
	return nil
}

// HandBack has the message redelivered after the delay, to this worker or another one. It does nothing if another
// worker may have got the message already.
func (m *Message) HandBack(delay time.Duration) error {
	msg := m.sub.settled(m)
	if m.Stale() {
		return nil
	}
	if err := msg.NakWithDelay(delay); err != nil {
		return fmt.Errorf("hand back message %d: %w", m.Seq, err)
	}
	return nil
}

func message(msg jetstream.Msg, src *source, asked time.Time) (Message, error) {
	s := src.sub
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read metadata: %w", err)
	}
	run, older := src.follow(meta)
	return Message{
		Subject: s.bus.published(msg.Subject()), Data: msg.Data(), Seq: meta.Sequence.Stream, PublishedAt: meta.Timestamp.UTC().Truncate(time.Microsecond),
		Deliveries: meta.NumDelivered, Older: older, Run: run, msg: msg, sub: s, source: src, asked: asked,
	}, nil
}

// Lag says how far a consumer is behind its stream.
type Lag struct {
	// Pending counts the messages that were not delivered yet, and InFlight those that were delivered but not
	// settled.
	Pending, InFlight uint64
	// Settled is the stream sequence up to which all messages are settled, and Handed the highest that was ever
	// delivered.
	Settled, Handed uint64
	// Last is the stream's last sequence, and Stored the number of its messages.
	Last, Stored uint64
}

// Done reports whether all messages up to the sequence are settled. Pending being zero is not enough: a consumer
// learns of a message slightly later than its publisher learns that it is stored.
func (l Lag) Done(upTo uint64) bool {
	idle := l.Pending+l.InFlight == 0
	return l.Settled >= upTo || idle && (l.Handed >= upTo || l.Stored == 0)
}

// Lag returns how far the consumer is behind.
func (b *Bus) Lag(ctx context.Context, c Consumer) (Lag, error) { return b.lag(ctx, c, b.durables(c)) }

// LagOf returns how far the consumer is behind with a partition's messages, including those that were stored before
// the event log had partitions.
func (b *Bus) LagOf(ctx context.Context, c Consumer, partition int) (Lag, error) {
	of := b.durables(c)
	if c == Fanout {
		of = []durable{of[0], b.partition(partition)}
	}
	return b.lag(ctx, c, of)
}

// lag combines the lags of the durables. A durable that is idle does not lower the settled sequence.
func (b *Bus) lag(ctx context.Context, c Consumer, of []durable) (Lag, error) {
	asked := time.Now()
	name, _ := c.source()
	stream, err := b.stream(ctx, name)
	if err != nil {
		return Lag{}, err
	}
	b.clock.Store(&reading{server: stream.CachedInfo().TimeStamp, at: asked})
	state := stream.CachedInfo().State // read before the consumers' states, so that no consumer appears to be ahead
	all := Lag{Last: state.LastSeq, Stored: state.Msgs}
	var idle uint64
	busy := uint64(math.MaxUint64)
	for _, d := range of {
		consumer, err := stream.Consumer(ctx, d.name)
		if err != nil {
			return Lag{}, fmt.Errorf("look up consumer %s: %w", d.name, err)
		}
		info := consumer.CachedInfo()
		inFlight := uint64(max(0, info.NumAckPending))
		all.Pending, all.InFlight, all.Handed = all.Pending+info.NumPending, all.InFlight+inFlight, max(all.Handed, info.Delivered.Stream)
		if info.NumPending+inFlight > 0 {
			busy = min(busy, info.AckFloor.Stream)
		} else {
			idle = max(idle, info.AckFloor.Stream)
		}
	}
	if all.Settled = busy; busy == math.MaxUint64 {
		all.Settled = idle
	}
	return all, nil
}
