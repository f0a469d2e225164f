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
	// pullWait is how long one request for messages is open at the server; a subscription that stops waits for its end,
	// because what the server sends to a request that was given up is lost until its ackWait is over. idleWait is it where the
	// request before brought nothing: most partitions have nothing most of the time, and a request costs both sides what an
	// event costs them.
	pullWait, idleWait = time.Second, 3 * time.Second
	// pullRetry is how soon a server that did not answer a request is asked again.
	pullRetry = 250 * time.Millisecond
)

// Room bounds what a subscription holds.
type Room struct {
	// Messages bounds those that TakeBatch has not returned yet.
	Messages int
	// Bytes bounds those that are not settled, taken or not. It is at least two of the largest messages that the server takes.
	Bytes int
}

// messageOverhead is about what a message takes in memory beside its data, in bytes.
const messageOverhead = 512

// Subscription is a running take from a consumer. It asks for no more messages than it has room for, so that the bus
// knows of each that the server has handed out, and can tell the server that it is in good hands.
type Subscription struct {
	bus      *Bus
	name     Consumer
	capacity Room
	linger   Linger
	stop     func()
	stopping chan struct{}
	sources  []*source
	turn     int // whose turn it is to be taken from first

	mu    sync.Mutex
	hurry bool            // a queue may have facts that somebody waits for
	open  map[uint64]held // by sequence: handed out by the server and not settled
	bytes int             // of the open ones
	left  int             // sources that have not ended
	// stretch is the run under way.
	stretch Run
	// paused says that nothing is asked for, and that what comes all the same goes back at once.
	paused bool
	// filled has a token when there may be something in a queue, or nothing will be.
	filled chan struct{}
}

type held struct {
	msg         jetstream.Msg
	source      *source
	publishedAt time.Time
	since       time.Time
}

// Subscribe takes messages from the consumer, no more than there is room for.
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

// largest is about what the largest message takes in memory that the server takes, in bytes.
func (b *Bus) largest() int { return b.MaxPayload() + messageOverhead }

// Linger is how long TakeBatch waits after the first message that came to an empty queue, for those that follow to share its
// batch: until none has come for the time of Quiet, but no longer than Most.
type Linger struct{ Quiet, Most time.Duration }

// Linger makes TakeBatch wait. It does not wait for more than it may take, while much is kept, nor with facts that somebody waits
// for. Call it before the first TakeBatch.
func (s *Subscription) Linger(l Linger) { s.linger = l }

// Stop ends taking, which takes up to three seconds. What was prefetched until then still comes out of TakeBatch; take it.
func (s *Subscription) Stop() { s.stop() }

// Stopping is closed when Stop is called.
func (s *Subscription) Stopping() <-chan struct{} { return s.stopping }

// Pause gives what was prefetched to others at once, and asks for nothing more until Resume. Whoever cannot work on
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

// Resume ends what Pause began.
func (s *Subscription) Resume() {
	s.mu.Lock()
	s.paused = false
	s.mu.Unlock()
	s.roomAgain()
}

// roomAgain has all sources look whether they have room.
func (s *Subscription) roomAgain() {
	for _, src := range s.sources {
		signal(src.room)
	}
}

// HandBack gives messages to other workers, or to this one again, after the delay. Those of which the server does not hear
// come again when they have been silent for long enough.
func (s *Subscription) HandBack(messages []Message, delay time.Duration) {
	s.each(messages, "failed to return message for redelivery", func(m *Message) error { return m.HandBack(delay) })
}

// Ack settles messages. Those of which the server does not hear come again.
func (s *Subscription) Ack(messages []Message) {
	s.each(messages, "failed to ack message: it will come again", (*Message).Ack)
}

// each stops at the first failure, since a connection that is gone is so for all.
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

// TakeBatch waits for one message, then takes all that are there already, up to limit, from all partitions alike; batch is used
// again. It returns false when the subscription has ended or ctx is done.
func (s *Subscription) TakeBatch(ctx context.Context, batch []Message, limit int) ([]Message, bool) {
	clear(batch) // the messages of the last batch are not kept in memory while this waits
	batch = batch[:0]
	for {
		s.mu.Lock()
		batch = s.takeInTurns(batch, limit)
		left, ended := s.queued(), s.left == 0
		s.hurry = s.hurry && left > 0
		s.mu.Unlock()
		if left > 0 || ended {
			signal(s.filled) // for whoever else waits
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

// takeInTurns takes up to limit messages, as many from each source as are left for it where all get alike; the lock is held.
func (s *Subscription) takeInTurns(batch []Message, limit int) []Message {
	var busy []*source
	for i := range s.sources {
		if src := s.sources[(s.turn+i)%len(s.sources)]; len(src.queue) > 0 {
			busy = append(busy, src)
		}
	}
	s.turn = (s.turn + 1) % len(s.sources)
	slices.SortStableFunc(busy, func(a, b *source) int { return len(a.queue) - len(b.queue) }) // what one leaves is for the others
	for i, src := range busy {
		n := min(len(src.queue), max(1, (limit-len(batch))/(len(busy)-i)), limit-len(batch))
		batch = append(batch, src.queue[:n]...)
		clear(src.queue[:n]) // the array that is left behind does not keep them in memory
		src.queue = src.queue[n:]
		signal(src.room)
	}
	return batch
}

// queued counts what was not taken; the lock is held.
func (s *Subscription) queued() (n int) {
	for _, src := range s.sources {
		n += len(src.queue)
	}
	return n
}

// await returns when it is time to take what has come, and false when ctx is done.
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

// hurried reports whether there is nothing to wait for: as many messages as are taken at once, half of what may be kept or no
// room for another, one that cannot wait, or the end.
func (s *Subscription) hurried(limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left == 0 || s.queued() >= limit || 2*s.bytes >= s.capacity.Bytes || s.hurry || slices.ContainsFunc(s.sources, (*source).tight)
}

// signal leaves a token, unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// hold queues a message. One that is in our hands already is not taken twice: the server did not hear that we work on it,
// or does not know any more that it had handed it out, and gets its answer when the work is done. It returns false where
// the message has to go back, as the subscription is paused.
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
	if !there || !before.publishedAt.Equal(m.PublishedAt) { // a new stream counts from 1 again
		if s.paused {
			return false
		}
		m.source.queue = append(m.source.queue, *m)
		s.hurry = s.hurry || s.name == FactRecorder && len(m.Headers()[headerMayWait]) == 0
		return true
	}
	for i := range m.source.queue { // who takes it has to know that others may have had it
		if m.source.queue[i].Seq == m.Seq {
			m.source.queue[i] = *m
		}
	}
	return true
}

// size is about what an open message takes in memory, in bytes.
func size(msg jetstream.Msg) int { return len(msg.Data()) + messageOverhead }

func (s *Subscription) pause() {
	select {
	case <-time.After(pullRetry):
	case <-s.stopping:
	}
}

// settled returns what the server is to be answered by: how it handed the message out last.
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

// heartbeat tells the server about messages that take long, until the subscription has ended and none is left.
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
			_ = msg.InProgress() // a connection that is gone shows elsewhere, and the message comes again
		}
	}
}
