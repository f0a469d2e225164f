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

// redeliverAfter is how soon a message that could not be done with comes again.
const redeliverAfter = 2 * time.Second

// Message is one delivery of a stored message by a consumer. It must be settled: Ack or HandBack. Until then the bus
// tells the server that it is being worked on.
type Message struct {
	// Subject is what it was published under.
	Subject string
	Data    []byte
	// Seq is the message's sequence in its stream.
	Seq uint64
	// PublishedAt is when the stream stored it, in whole microseconds, as Postgres keeps it.
	PublishedAt time.Time
	// Deliveries counts how often it was handed out, this time included.
	Deliveries uint64
	// Older says that it was published before its consumer was made, which may stand in for one that was deleted and that
	// had handed the message out: who takes it asks the ledger.
	Older bool
	// Run tells what else came to its subscription.
	Run Run

	msg    jetstream.Msg
	sub    *Subscription
	source *source
	asked  time.Time // when the request began that it answers
	over   func()    // nil for nothing
}

// Run is a stretch of a stream, in the order of time within each partition, of which every message came to one subscription:
// whatever others got of it, came here too.
type Run struct {
	// ID tells the runs of a subscription apart; a later one is higher, and the first is 1.
	ID uint64
	// After is the sequence in the stream before the run's first message. Others may have got that, and what came before it.
	After uint64
}

// Redelivered says that a worker got the message before and did not settle it, or that another may have got it since.
func (m *Message) Redelivered() bool { return m.Deliveries > 1 || m.Stale() }

// Stale says that another worker may have got the message since this one did, as this process was stopped.
func (m *Message) Stale() bool { return m.sub != nil && m.sub.bus.Stopped(m.asked) }

// Header returns the first value of a header, empty where there is none.
func (m *Message) Header(name string) string { return m.msg.Headers().Get(name) }

// Headers returns all headers.
func (m *Message) Headers() map[string][]string { return m.msg.Headers() }

// Place is where the event is that the message carries.
func (m *Message) Place() webhook.Sequence {
	return webhook.SequenceIn(m.sub.name.streamOfEvents(), m.Seq)
}

// Published is the event that the message carries, to be decoded.
func (m *Message) Published() envelope.Published {
	return m.sub.bus.event(m.Subject, m.msg.Headers(), m.Data, m.Place(), m.PublishedAt)
}

// OnSettled has over called when Settle has settled the message.
func (m *Message) OnSettled(over func()) { m.over = over }

// Settle acks the message, or has it come again, to another worker or to this one, where err says why it is not done
// with. A message of which the server does not hear comes again, too.
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

// Ack settles the message. A lost ack means that it comes again; whoever gets it asks the ledger.
func (m *Message) Ack() error {
	if err := m.sub.settled(m).Ack(); err != nil {
		return fmt.Errorf("ack message %d: %w", m.Seq, err)
	}
	return nil
}

// HandBack gives the message to another worker, or to this one again, after the delay. One that another may have by now is let go.
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

// Lag is how far a consumer is behind its stream.
type Lag struct {
	// Pending are the messages that were not handed out yet, InFlight those that are not settled.
	Pending, InFlight uint64
	// Settled is the sequence in the stream up to which all is settled, and Handed the highest that was ever handed out.
	Settled, Handed uint64
	// Last is the stream's last sequence, and Stored how many messages it has.
	Last, Stored uint64
}

// Done reports whether all messages up to the sequence are settled. That none is pending does not say so: a consumer hears
// of a message a moment after its publisher has been told that it is stored.
func (l Lag) Done(upTo uint64) bool {
	idle := l.Pending+l.InFlight == 0
	return l.Settled >= upTo || idle && (l.Handed >= upTo || l.Stored == 0)
}

// Lag asks how far the consumer is behind.
func (b *Bus) Lag(ctx context.Context, c Consumer) (Lag, error) { return b.lag(ctx, c, b.durables(c)) }

// LagOf asks how far the consumer is behind with a partition's messages, those among them that were stored before there were
// partitions.
func (b *Bus) LagOf(ctx context.Context, c Consumer, partition int) (Lag, error) {
	of := b.durables(c)
	if c == Fanout {
		of = []durable{of[0], b.partition(partition)}
	}
	return b.lag(ctx, c, of)
}

// lag adds up how far the durables are behind. Those that have nothing to do hold nobody up.
func (b *Bus) lag(ctx context.Context, c Consumer, of []durable) (Lag, error) {
	asked := time.Now()
	name, _ := c.source()
	stream, err := b.stream(ctx, name)
	if err != nil {
		return Lag{}, err
	}
	b.clock.Store(&reading{server: stream.CachedInfo().TimeStamp, at: asked})
	state := stream.CachedInfo().State // before the consumers, so that none is ever ahead
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
