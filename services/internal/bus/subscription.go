package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
)

const (
	// pullWait is how long one request for messages is open at the server; a subscription that stops waits for its end,
	// because what the server sends to a request that was given up is lost until its ackWait is over.
	pullWait = time.Second
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
	consumer jetstream.Consumer
	name     Consumer
	capacity Room
	linger   time.Duration
	stop     func()
	stopping chan struct{}
	// handed is the highest number that the consumer gave to a message which it handed out to us; doubtful says that the
	// consumer may be another one by now.
	handed   uint64
	doubtful bool
	// stretch is the run under way, last and lastAt its newest message. broken says that the next message begins another
	// run, whatever it is.
	stretch    Run
	last       uint64
	lastAt     time.Time
	broken     bool
	reconnects uint64

	mu    sync.Mutex
	queue []Message       // handed out by the server and not by us
	hurry bool            // the queue may have facts that somebody waits for
	open  map[uint64]held // by sequence: handed out by the server and not settled
	bytes int             // of the open ones
	ended bool            // nothing more comes into the queue
	// paused says that nothing is asked for, and that what comes all the same goes back at once.
	paused bool
	// filled and room have a token when there may be something in the queue, or nothing will be, and when there may be
	// room in it.
	filled, room chan struct{}
}

type held struct {
	msg         jetstream.Msg
	publishedAt time.Time
	since       time.Time
}

// Subscribe takes messages from the consumer, no more than there is room for.
func (b *Bus) Subscribe(ctx context.Context, c Consumer, room Room) (*Subscription, error) {
	consumer, err := b.lookUp(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open consumer %s: %w", c, err)
	}
	room.Messages = max(1, room.Messages)
	room.Bytes = max(room.Bytes, 2*(b.MaxPayload()+messageOverhead))
	s := &Subscription{
		bus: b, consumer: consumer, name: c, capacity: room, stopping: make(chan struct{}),
		open: map[uint64]held{}, filled: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	s.stop = sync.OnceFunc(func() { close(s.stopping) })
	go s.run()
	go s.heartbeat()
	return s, nil
}

func (b *Bus) lookUp(ctx context.Context, c Consumer) (jetstream.Consumer, error) {
	source, _ := c.source()
	return b.js.Consumer(ctx, b.opts.Namespace.Stream(source), string(c))
}

// Linger makes TakeBatch wait for up to d after the first message that came to an empty queue: those that follow it share its
// batch. It does not wait for more than it may take, nor with facts that somebody waits for. Call it before the first TakeBatch.
func (s *Subscription) Linger(d time.Duration) { s.linger = d }

// Stop ends taking, which takes up to a second. What was prefetched until then still comes out of TakeBatch; take it.
func (s *Subscription) Stop() { s.stop() }

// Stopping is closed when Stop is called.
func (s *Subscription) Stopping() <-chan struct{} { return s.stopping }

// Pause gives what was prefetched to others at once, and asks for nothing more until Resume. Whoever cannot work on
// messages must not keep them.
func (s *Subscription) Pause() {
	s.mu.Lock()
	s.paused = true
	queue := s.queue
	s.queue = nil
	s.mu.Unlock()
	s.giveBack(queue)
}

// Resume ends what Pause began.
func (s *Subscription) Resume() {
	s.mu.Lock()
	s.paused = false
	s.mu.Unlock()
	signal(s.room)
}

func (s *Subscription) giveBack(messages []Message) {
	for i := range messages {
		if err := messages[i].HandBack(0); err != nil { // it comes again when it has been silent for long enough
			s.bus.log.Warn("failed to return message for redelivery", zap.String("consumer", string(s.name)), zap.Error(err))
			return
		}
	}
}

// TakeBatch waits for one message, then takes all that are there already, up to limit; batch is used again. It returns
// false when the subscription has ended or ctx is done.
func (s *Subscription) TakeBatch(ctx context.Context, batch []Message, limit int) ([]Message, bool) {
	clear(batch) // the messages of the last batch are not kept in memory while this waits
	batch = batch[:0]
	for {
		s.mu.Lock()
		n, ended := min(limit, len(s.queue)), s.ended
		batch = append(batch, s.queue[:n]...)
		clear(s.queue[:n]) // nor by the part of the array that is left behind
		s.queue = s.queue[n:]
		left := len(s.queue)
		s.hurry = s.hurry && left > 0
		s.mu.Unlock()
		signal(s.room)
		if left > 0 || ended {
			signal(s.filled) // for whoever else waits
		}
		if n > 0 || ended {
			return batch, n > 0
		}
		select {
		case <-s.filled:
		case <-ctx.Done():
			return batch, false
		}
		if s.linger > 0 && !s.await(ctx, limit) {
			return batch, false
		}
	}
}

// await returns when it is time to take what has come, and false when ctx is done.
func (s *Subscription) await(ctx context.Context, limit int) bool {
	enough := time.NewTimer(s.linger)
	defer enough.Stop()
	for !s.hurried(limit) {
		select {
		case <-s.filled:
		case <-enough.C:
			return true
		case <-s.stopping:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// hurried reports whether there is nothing to wait for: as many messages as are taken at once, one that cannot wait, or the end.
func (s *Subscription) hurried(limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended || len(s.queue) >= limit || s.hurry
}

// signal leaves a token, unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *Subscription) run() {
	defer func() {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		signal(s.filled)
	}()
	for {
		room := s.awaitRoom()
		if room.Messages == 0 {
			return
		}
		if err := s.pull(room); err != nil {
			s.bus.log.Warn("failed to fetch messages, retrying", zap.String("consumer", string(s.name)), zap.Error(err))
			s.doubtful, s.broken = true, true
			s.pause()
		}
	}
}

// awaitRoom waits until half of the queue is free and the largest message fits in, and returns what fits in; no messages
// when the subscription stops.
func (s *Subscription) awaitRoom() Room {
	for {
		select {
		case <-s.stopping:
			return Room{}
		default:
		}
		switch {
		case s.bus.link.IsClosed():
			return Room{}
		case !s.bus.link.IsConnected(): // a request now would reach the server when nobody waits for its answer
			s.pause()
			continue
		}
		s.mu.Lock()
		free, tight := Room{Messages: s.capacity.Messages - len(s.queue), Bytes: s.capacity.Bytes - s.bytes}, s.tight(s.bytes)
		paused := s.paused
		s.mu.Unlock()
		if 2*free.Messages >= s.capacity.Messages && !tight && !paused {
			return free
		}
		select {
		case <-s.room:
		case <-s.stopping:
			return Room{}
		}
	}
}

// tight reports whether the largest message may not fit in beside so many bytes.
func (s *Subscription) tight(bytes int) bool {
	return bytes+s.bus.MaxPayload()+messageOverhead > s.capacity.Bytes
}

// Full reports whether what is not settled leaves no room for another message: whoever keeps one that cannot be worked on
// for now should hand it back.
func (s *Subscription) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tight(s.bytes)
}

// pull asks the server for as many messages as there is room for, and takes those that come while the request is open.
func (s *Subscription) pull(room Room) error {
	if s.doubtful {
		if err := s.lookUp(); err != nil {
			return err
		}
	}
	if n := s.bus.link.Stats().Reconnects; n != s.reconnects { // it may be another server
		s.reconnects, s.broken = n, true
	}
	pulled, err := s.consumer.Fetch(room.Messages, jetstream.FetchMaxBytes(room.Bytes), jetstream.FetchMaxWait(pullWait))
	if err != nil {
		return fmt.Errorf("ask for messages: %w", err)
	}
	for msg := range pulled.Messages() {
		m, err := message(msg, s)
		if err != nil {
			return err
		}
		if !s.hold(&m) {
			s.giveBack([]Message{m})
		}
		signal(s.filled)
	}
	if err := pulled.Error(); err != nil {
		return fmt.Errorf("take messages: %w", err)
	}
	return nil
}

// lookUp finds out which consumer it is that messages come from.
func (s *Subscription) lookUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), broker.PublishDeadline)
	defer cancel()
	consumer, err := s.bus.lookUp(ctx, s.name)
	if err != nil {
		return fmt.Errorf("look up consumer: %w", err)
	}
	s.consumer, s.doubtful = consumer, false
	return nil
}

// older says whether the message was published before the consumer was made. A consumer that counts from 1 again is
// another one.
func (s *Subscription) older(meta *jetstream.MsgMetadata) bool {
	if meta.Sequence.Consumer < s.handed {
		s.doubtful, s.broken = s.lookUp() != nil, true
	}
	s.handed = meta.Sequence.Consumer
	return s.doubtful || meta.Timestamp.Before(s.consumer.CachedInfo().Created)
}

// follow returns the run that the message belongs to.
func (s *Subscription) follow(meta *jetstream.MsgMetadata) Run {
	seq := meta.Sequence.Stream
	if again := meta.NumDelivered > 1 && seq <= s.last; again && !s.broken {
		return s.stretch
	}
	if s.broken || s.stretch.ID == 0 || seq != s.last+1 || meta.Timestamp.Before(s.lastAt) {
		s.stretch, s.broken = Run{ID: s.stretch.ID + 1, After: seq - 1}, false
	}
	s.last, s.lastAt = seq, meta.Timestamp
	return s.stretch
}

// hold queues a message. One that is in our hands already is not taken twice: the server did not hear that we work on it,
// or does not know any more that it had handed it out, and gets its answer when the work is done. It returns false where
// the message has to go back, as the subscription is paused.
func (s *Subscription) hold(m *Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, there := s.open[m.Seq]
	s.open[m.Seq] = held{msg: m.msg, publishedAt: m.PublishedAt, since: time.Now()}
	s.bytes += size(m.msg)
	if there {
		s.bytes -= size(before.msg)
	}
	if !there || !before.publishedAt.Equal(m.PublishedAt) { // a new stream counts from 1 again
		if s.paused {
			return false
		}
		s.queue = append(s.queue, *m)
		s.hurry = s.hurry || s.name == FactRecorder && len(m.Headers()[headerMayWait]) == 0
		return true
	}
	for i := range s.queue { // who takes it has to know that others may have had it
		if s.queue[i].Seq == m.Seq {
			s.queue[i] = *m
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
	was := s.tight(s.bytes)
	if s.bytes -= size(h.msg); was && !s.tight(s.bytes) {
		signal(s.room)
	}
	return h.msg
}

// heartbeat tells the server about messages that take long, until the subscription has ended and none is left.
func (s *Subscription) heartbeat() {
	beat := s.name.ackWait() / 3
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for now := range tick.C {
		s.mu.Lock()
		var old []jetstream.Msg
		for _, h := range s.open {
			if now.Sub(h.since) >= beat {
				old = append(old, h.msg)
			}
		}
		over := s.ended && len(s.open) == 0
		s.mu.Unlock()
		if over || s.bus.link.IsClosed() {
			return
		}
		for _, msg := range old {
			_ = msg.InProgress() // a connection that is gone shows elsewhere, and the message comes again
		}
	}
}
