package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Message is one delivery of a stored message by a consumer. It must be settled: Ack or HandBack. Until then the bus
// tells the server that it is being worked on.
type Message struct {
	Subject string
	Data    []byte
	// Seq is the message's sequence in its stream.
	Seq uint64
	// PublishedAt is when the stream stored it, in whole microseconds, as Postgres keeps it.
	PublishedAt time.Time
	// Deliveries counts how often it was handed out, this time included.
	Deliveries uint64

	msg jetstream.Msg
	sub *Subscription
}

// Redelivered says that a worker got the message before and did not settle it.
func (m *Message) Redelivered() bool { return m.Deliveries > 1 }

// Header returns the first value of a header, empty where there is none.
func (m *Message) Header(name string) string { return m.msg.Headers().Get(name) }

// Headers returns all headers.
func (m *Message) Headers() map[string][]string { return m.msg.Headers() }

// Ack settles the message. A lost ack means that it comes again; whoever gets it asks the ledger.
func (m *Message) Ack() error {
	m.sub.settled(m)
	if err := m.msg.Ack(); err != nil {
		return fmt.Errorf("ack message %d: %w", m.Seq, err)
	}
	return nil
}

// HandBack gives the message to another worker, or to this one again, after the delay.
func (m *Message) HandBack(delay time.Duration) error {
	m.sub.settled(m)
	if err := m.msg.NakWithDelay(delay); err != nil {
		return fmt.Errorf("hand back message %d: %w", m.Seq, err)
	}
	return nil
}

// Subscription is a running take from a consumer.
type Subscription struct {
	c    chan Message
	stop func()
	once sync.Once

	mu   sync.Mutex
	open map[uint64]held // by sequence: taken from the server and not settled
}

type held struct {
	msg   jetstream.Msg
	since time.Time
}

// C yields the messages; it is closed when the subscription has stopped and all that was prefetched has been taken.
func (s *Subscription) C() <-chan Message { return s.c }

// Stop ends taking. What was prefetched still comes out of C; take it.
func (s *Subscription) Stop() { s.once.Do(s.stop) }

// Subscribe takes messages from the consumer, at most prefetch ahead of what was taken from C.
func (b *Bus) Subscribe(ctx context.Context, c Consumer, prefetch int) (*Subscription, error) {
	consumer, err := b.js.Consumer(ctx, c.stream, c.name)
	if err != nil {
		return nil, fmt.Errorf("open consumer %s: %w", c.name, err)
	}
	ahead := max(1, prefetch/2)
	s := &Subscription{c: make(chan Message, prefetch-ahead), open: map[uint64]held{}}
	cc, err := consumer.Consume(func(msg jetstream.Msg) {
		m, err := message(msg, s)
		if err != nil {
			b.log.Error("message without metadata", zap.String("consumer", c.name), zap.Error(err))
			return
		}
		s.hold(&m)
		s.c <- m
	}, jetstream.PullMaxMessages(ahead), jetstream.PullExpiry(30*time.Second), jetstream.PullHeartbeat(5*time.Second),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			b.log.Warn("taking messages was disturbed", zap.String("consumer", c.name), zap.Error(err))
		}))
	if err != nil {
		return nil, fmt.Errorf("consume %s: %w", c.name, err)
	}
	s.stop = cc.Drain
	stopped := make(chan struct{})
	go func() {
		<-cc.Closed()
		close(s.c)
		close(stopped)
	}()
	go s.heartbeat(stopped)
	return s, nil
}

func (s *Subscription) hold(m *Message) {
	s.mu.Lock()
	s.open[m.Seq] = held{msg: m.msg, since: time.Now()}
	s.mu.Unlock()
}

func (s *Subscription) settled(m *Message) {
	s.mu.Lock()
	delete(s.open, m.Seq)
	s.mu.Unlock()
}

// heartbeat tells the server about messages that take long, until the subscription has stopped and none is left.
func (s *Subscription) heartbeat(stopped <-chan struct{}) {
	tick := time.NewTicker(ackWait / 3)
	defer tick.Stop()
	for {
		now := <-tick.C
		s.mu.Lock()
		var old []jetstream.Msg
		for _, h := range s.open {
			if now.Sub(h.since) >= ackWait/3 {
				old = append(old, h.msg)
			}
		}
		none := len(s.open) == 0
		s.mu.Unlock()
		for _, msg := range old {
			_ = msg.InProgress() // a connection that is gone shows elsewhere, and the message comes again
		}
		select {
		case <-stopped:
			if none {
				return
			}
		default:
		}
	}
}

func message(msg jetstream.Msg, s *Subscription) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, fmt.Errorf("read metadata: %w", err)
	}
	return Message{
		Subject: msg.Subject(), Data: msg.Data(), Seq: meta.Sequence.Stream, PublishedAt: meta.Timestamp.UTC().Truncate(time.Microsecond),
		Deliveries: meta.NumDelivered, msg: msg, sub: s,
	}, nil
}

// TakeBatch waits for one message from C, then takes all that are there already, up to limit. It returns false when
// the subscription has ended or ctx is done.
func (s *Subscription) TakeBatch(ctx context.Context, batch []Message, limit int) ([]Message, bool) {
	batch = batch[:0]
	select {
	case m, ok := <-s.c:
		if !ok {
			return batch, false
		}
		batch = append(batch, m)
	case <-ctx.Done():
		return batch, false
	}
	for len(batch) < limit {
		select {
		case m, ok := <-s.c:
			if !ok {
				return batch, true
			}
			batch = append(batch, m)
		default:
			return batch, true
		}
	}
	return batch, true
}

// Lag is how far a consumer is behind its stream.
type Lag struct {
	// Pending are the messages that were not handed out yet, InFlight those that are not settled.
	Pending, InFlight uint64
	// Settled is the sequence in the stream up to which all is settled.
	Settled uint64
	// Last is the stream's last sequence.
	Last uint64
}

// Lag asks how far the consumer is behind.
func (b *Bus) Lag(ctx context.Context, c Consumer) (Lag, error) {
	stream, err := b.js.Stream(ctx, c.stream)
	if err != nil {
		return Lag{}, fmt.Errorf("look up stream %s: %w", c.stream, err)
	}
	last := stream.CachedInfo().State.LastSeq // before the consumer, so that it is never ahead
	consumer, err := stream.Consumer(ctx, c.name)
	if err != nil {
		return Lag{}, fmt.Errorf("look up consumer %s: %w", c.name, err)
	}
	info := consumer.CachedInfo()
	return Lag{
		Pending: info.NumPending, InFlight: uint64(max(0, info.NumAckPending)), Settled: info.AckFloor.Stream, Last: last,
	}, nil
}
