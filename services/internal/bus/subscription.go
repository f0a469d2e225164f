package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	// pullWait is how long one request for messages stays open at the server. A subscription that stops waits for the
	// end of its request: messages that the server sends to an abandoned request are lost until their ackWait
	// expires. idleWait replaces pullWait if the previous request brought nothing: most partitions are idle most of
	// the time, and a request costs both sides as much as an event.
	pullWait, idleWait = time.Second, 3 * time.Second
	// pullRetry is the delay before a server that did not answer a request is asked again.
	pullRetry = 250 * time.Millisecond
)

// Room bounds what a subscription holds.
type Room struct {
	// Messages bounds the messages that TakeBatch has not returned yet.
	Messages int
	// Bytes bounds the unsettled messages, taken or not. It is raised to twice the largest message that the server
	// accepts.
	Bytes int
}

// messageOverhead is about how many bytes of memory a message takes in addition to its data.
const messageOverhead = 512

// Subscription receives messages from a consumer. It asks for no more messages than it has room for. So the bus knows
// every message that the server has delivered to it, and can tell the server that they are in progress.
type Subscription struct {
	bus      *Bus
	name     Consumer
	capacity Room
	linger   Linger
	stop     func()
	stopping chan struct{}
	sources  []*source
	turn     int // the source to take from first next time

	mu    sync.Mutex
	hurry bool            // a queue may hold facts that somebody waits for
	open  map[uint64]held // by sequence: delivered by the server, not settled
	bytes int             // of the open messages
	left  int             // sources that have not ended
	// stretch is the current run.
	stretch Run
	// paused means that nothing is requested, and that messages which arrive nevertheless are handed back at once.
	paused bool
	// filled has a token when a queue may have messages, or when all sources have ended.
	filled chan struct{}
}

type held struct {
	msg         jetstream.Msg
	source      *source
	publishedAt time.Time
	since       time.Time
}

// Subscribe starts to receive messages from the consumer, within the given room.
func (b *Bus) Subscribe(ctx context.Context, c Consumer, room Room) (*Subscription, error) {
	room.Messages = max(1, room.Messages)
	room.Bytes = max(room.Bytes, 2*b.largest())
	s := &Subscription{
		bus: b, name: c, capacity: room, stopping: make(chan struct{}), open: map[uint64]held{}, filled: make(chan struct{}, 1),
	}
	for _, d := range b.durables(c) {
		src := &source{sub: s, name: d.name, room: make(chan struct{}, 1), large: firstLarge}
		if err := src.lookUp(ctx); err != nil {
			return nil, fmt.Errorf("open consumer %s: %w", d.name, err)
		}
		at := src.consumer.CachedInfo().Delivered
		src.handed, s.stretch.After = at.Consumer, max(s.stretch.After, at.Stream)
		s.sources = append(s.sources, src)
	}
	s.left = len(s.sources)
	s.stop = sync.OnceFunc(func() { close(s.stopping) })
	for _, src := range s.sources {
		go src.run()
	}
	go s.heartbeat()
	return s, nil
}

// largest is about how many bytes of memory the largest message takes that the server accepts.
func (b *Bus) largest() int { return b.MaxPayload() + messageOverhead }

// Linger says how long TakeBatch waits for more messages after the first one arrives in an empty queue: until none
// has come for Quiet, but at most for Most.
type Linger struct{ Quiet, Most time.Duration }

// Linger makes TakeBatch wait for larger batches. It does not wait once the batch is full, when memory runs short, or
// when somebody waits for one of the facts. Call it before the first TakeBatch.
func (s *Subscription) Linger(l Linger) { s.linger = l }

// Stop ends the subscription, which takes up to three seconds. TakeBatch still returns what was prefetched until
// then; take it.
func (s *Subscription) Stop() { s.stop() }

// Stopping is closed when Stop is called.
func (s *Subscription) Stopping() <-chan struct{} { return s.stopping }

// Pause hands prefetched messages back at once and requests no more until Resume. A worker that cannot process
// messages must not keep them.
func (s *Subscription) Pause() {
	s.mu.Lock()
	s.paused = true
	var queue []Message
	for _, src := range s.sources {
		queue = append(queue, src.queue...)
		src.queue = nil
	}
	s.mu.Unlock()
	s.HandBack(queue, 0)
}

// Resume undoes Pause.
func (s *Subscription) Resume() {
	s.mu.Lock()
	s.paused = false
	s.mu.Unlock()
	s.roomAgain()
}

// roomAgain makes all sources check whether they have room.
func (s *Subscription) roomAgain() {
	for _, src := range s.sources {
		signal(src.room)
	}
}

// HandBack has messages redelivered after the delay, to this worker or another one. Messages for which the server
// does not get the request are redelivered after their ackWait.
func (s *Subscription) HandBack(messages []Message, delay time.Duration) {
	s.each(messages, "failed to return message for redelivery", func(m *Message) error { return m.HandBack(delay) })
}

// Ack settles messages. Messages whose ack is lost are redelivered.
func (s *Subscription) Ack(messages []Message) {
	s.each(messages, "failed to ack message: it will come again", (*Message).Ack)
}

// each stops at the first failure, because a lost connection fails for all messages.
func (s *Subscription) each(messages []Message, failure string, do func(*Message) error) {
	for i := range messages {
		if err := do(&messages[i]); err != nil {
			s.log().Warn(failure, zap.Error(err))
			return
		}
	}
}

func (s *Subscription) log() *zap.Logger {
	return s.bus.log.With(zap.String("consumer", string(s.name)))
}

// TakeBatch waits for one message and then takes all that have arrived, up to limit, sharing the batch fairly between
// partitions. It reuses batch. It returns false when the subscription has ended or ctx is done.
func (s *Subscription) TakeBatch(ctx context.Context, batch []Message, limit int) ([]Message, bool) {
	clear(batch) // so that the previous batch can be freed during the wait
	batch = batch[:0]
	for {
		s.mu.Lock()
		batch = s.takeInTurns(batch, limit)
		left, ended := s.queued(), s.left == 0
		s.hurry = s.hurry && left > 0
		s.mu.Unlock()
		if left > 0 || ended {
			signal(s.filled) // another waiting caller can go on
		}
		if len(batch) > 0 || ended {
			return batch, len(batch) > 0
		}
		select {
		case <-s.filled:
		case <-ctx.Done():
			return batch, false
		}
		if s.linger.Most > 0 && !s.await(ctx, limit) {
			return batch, false
		}
	}
}

// takeInTurns takes up to limit messages. Each source gets an equal share of the batch, and what one source does not
// need goes to the others. The lock must be held.
func (s *Subscription) takeInTurns(batch []Message, limit int) []Message {
	var busy []*source
	for i := range s.sources {
		if src := s.sources[(s.turn+i)%len(s.sources)]; len(src.queue) > 0 {
			busy = append(busy, src)
		}
	}
	s.turn = (s.turn + 1) % len(s.sources)
	// The shortest queue comes first, so that the rest of its share goes to the others.
	slices.SortStableFunc(busy, func(a, b *source) int { return len(a.queue) - len(b.queue) })
	for i, src := range busy {
		n := min(len(src.queue), max(1, (limit-len(batch))/(len(busy)-i)), limit-len(batch))
		batch = append(batch, src.queue[:n]...)
		clear(src.queue[:n]) // so that the old array does not keep the messages in memory
		src.queue = src.queue[n:]
		signal(src.room)
	}
	return batch
}

// queued counts the messages that were not taken; the lock must be held.
func (s *Subscription) queued() (n int) {
	for _, src := range s.sources {
		n += len(src.queue)
	}
	return n
}

// await returns true when it is time to take the queued messages, and false when ctx is done.
func (s *Subscription) await(ctx context.Context, limit int) bool {
	enough, quiet := time.NewTimer(s.linger.Most), time.NewTimer(s.linger.Quiet)
	defer enough.Stop()
	defer quiet.Stop()
	for !s.hurried(limit) {
		select {
		case <-s.filled:
			quiet.Reset(s.linger.Quiet)
		case <-enough.C:
			return true
		case <-quiet.C:
			return true
		case <-s.stopping:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// hurried reports whether waiting longer is pointless or harmful: the batch is full, half of the memory is used, a
// source has no room for another message, somebody waits for one of the facts, or the subscription has ended.
func (s *Subscription) hurried(limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left == 0 || s.queued() >= limit || 2*s.bytes >= s.capacity.Bytes || s.hurry || slices.ContainsFunc(s.sources, (*source).tight)
}

// signal puts a token into c, unless it holds one already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// hold queues a message. A message that we hold already was redelivered because the server missed a heartbeat or
// forgot the delivery; it is not queued again, and is settled when the work is done. hold returns false if the
// message must be handed back because the subscription is paused.
func (s *Subscription) hold(m *Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, there := s.open[m.Seq]
	s.open[m.Seq] = held{msg: m.msg, source: m.source, publishedAt: m.PublishedAt, since: time.Now()}
	s.bytes += size(m.msg)
	m.source.bytes += size(m.msg)
	if there {
		s.bytes -= size(before.msg)
		before.source.bytes -= size(before.msg)
	}
	if !there || !before.publishedAt.Equal(m.PublishedAt) { // a recreated stream counts from 1 again
		if s.paused {
			return false
		}
		m.source.queue = append(m.source.queue, *m)
		s.hurry = s.hurry || s.name == FactRecorder && len(m.Headers()[headerMayWait]) == 0
		return true
	}
	for i := range m.source.queue { // the taker must know that other workers may have got it
		if m.source.queue[i].Seq == m.Seq {
			m.source.queue[i] = *m
		}
	}
	return true
}

// size is about how many bytes of memory an unsettled message takes.
func size(msg jetstream.Msg) int { return len(msg.Data()) + messageOverhead }

func (s *Subscription) pause() {
	select {
	case <-time.After(pullRetry):
	case <-s.stopping:
	}
}

// settled removes the message from the open ones and returns its latest delivery, which is the one to answer.
func (s *Subscription) settled(m *Message) jetstream.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, there := s.open[m.Seq]
	if !there || !h.publishedAt.Equal(m.PublishedAt) {
		return m.msg
	}
	delete(s.open, m.Seq)
	s.bytes -= size(h.msg)
	h.source.bytes -= size(h.msg)
	for _, src := range s.sources {
		if src.waits && !src.tight() {
			signal(src.room)
		}
	}
	return h.msg
}

// heartbeat tells the server which messages are still in progress, until the subscription has ended and all are
// settled.
func (s *Subscription) heartbeat() {
	beat := s.name.ackWait() / 3
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for now := range tick.C {
		s.bus.pulse.feel()
		s.mu.Lock()
		var old []jetstream.Msg
		for _, h := range s.open {
			if now.Sub(h.since) >= beat {
				old = append(old, h.msg)
			}
		}
		over := s.left == 0 && len(s.open) == 0
		s.mu.Unlock()
		if over || s.bus.link.IsClosed() {
			return
		}
		for _, msg := range old {
			_ = msg.InProgress() // a lost connection shows elsewhere, and the message is redelivered
		}
	}
}
