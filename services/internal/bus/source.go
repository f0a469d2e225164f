package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
)

// source is one of the JetStream consumers of a subscription. All sources share the subscription's room.
type source struct {
	sub      *Subscription
	name     string
	consumer jetstream.Consumer
	// handed is the consumer sequence of the last message that we got. doubtful means that the consumer may have been
	// recreated.
	handed   uint64
	doubtful bool
	// lastAt is when the newest message was stored, and last its sequence. broken means that the next message starts
	// a new run in any case.
	lastAt     time.Time
	last       uint64
	broken     bool
	reconnects uint64
	idle       bool // the last request brought no message
	large      int  // approximate size in bytes of the largest recent message

	// The subscription's lock guards the following fields.
	queue []Message // delivered by the server, not yet taken
	bytes int       // of unsettled messages
	waits bool      // for enough free bytes
	// room has a token when there may be room for more.
	room chan struct{}
}

func (x *source) run() {
	s := x.sub
	defer func() {
		s.mu.Lock()
		s.left--
		s.mu.Unlock()
		signal(s.filled)
	}()
	for {
		room := x.awaitRoom()
		if room.Messages == 0 {
			return
		}
		if err := x.pull(room); err != nil {
			s.bus.log.Warn("failed to fetch messages, retrying", zap.String("consumer", x.name), zap.Error(err))
			x.doubtful, x.broken = true, true
			s.pause()
		}
	}
}

// awaitRoom waits until half of the queue is free and the largest message fits in, and returns the free room. It
// returns no room for messages when the subscription stops.
func (x *source) awaitRoom() Room {
	s := x.sub
	for {
		select {
		case <-s.stopping:
			return Room{}
		default:
		}
		switch {
		case s.bus.link.IsClosed():
			return Room{}
		case !s.bus.link.IsConnected(): // a request now would reach the server when nobody waits for the answer any more
			s.pause()
			continue
		}
		s.mu.Lock()
		free, tight := Room{Messages: s.capacity.Messages - len(x.queue), Bytes: x.free()}, x.tight()
		x.waits = tight
		paused := s.paused
		s.mu.Unlock()
		if 2*free.Messages >= s.capacity.Messages && !tight && !paused {
			return free
		}
		select {
		case <-x.room:
		case <-s.stopping:
			return Room{}
		}
	}
}

// tight reports whether the largest message may not fit in; the lock must be held. If there are several sources, none
// may hold more than what is left for the others, so that a source with few messages always has room.
func (x *source) tight() bool {
	s := x.sub
	used := s.bytes + s.bus.largest()
	if len(s.sources) > 1 {
		used += x.bytes
	}
	return used > s.capacity.Bytes
}

// free returns how many bytes a request may ask for; the lock must be held. All sources have open requests at once,
// so each asks for its share.
func (x *source) free() int {
	s := x.sub
	free := s.capacity.Bytes - s.bytes
	if n := len(s.sources); n > 1 {
		free = min(free, max(s.capacity.Bytes/n, s.bus.largest()))
	}
	return free
}

// Crowds reports whether the unsettled messages leave no room for another message of the same source. Whoever keeps a
// message that cannot be processed for now should then hand it back.
func (m *Message) Crowds() bool {
	m.sub.mu.Lock()
	defer m.sub.mu.Unlock()
	return m.source.tight()
}

// pull asks the server for as many messages as there is room for, and queues those that come while the request is
// open.
func (x *source) pull(room Room) error {
	s := x.sub
	if x.doubtful {
		ctx, cancel := context.WithTimeout(context.Background(), broker.PublishDeadline)
		defer cancel()
		if err := x.lookUp(ctx); err != nil {
			return fmt.Errorf("look up consumer: %w", err)
		}
	}
	if n := s.bus.link.Stats().Reconnects; n != x.reconnects { // it may be another server
		x.reconnects, x.broken = n, true
	}
	wait := pullWait
	if x.idle {
		wait = idleWait
	}
	options := []jetstream.FetchOpt{jetstream.FetchMaxWait(wait)}
	if x.replicated() {
		room.Messages = min(room.Messages, max(1, room.Bytes/(2*x.large)))
	} else {
		options = append(options, jetstream.FetchMaxBytes(room.Bytes))
	}
	asked := time.Now()
	pulled, err := x.consumer.Fetch(room.Messages, options...)
	if err != nil {
		return fmt.Errorf("ask for messages: %w", err)
	}
	x.idle = true
	largest := 0
	for msg := range pulled.Messages() {
		x.idle, largest = false, max(largest, size(msg))
		m, err := message(msg, x, asked)
		if err != nil {
			return err
		}
		if !s.hold(&m) {
			s.HandBack([]Message{m}, 0)
		}
		signal(s.filled)
	}
	x.large = max(largest, x.large-x.large/8, smallest)
	if err := pulled.Error(); err != nil {
		return fmt.Errorf("take messages: %w", err)
	}
	return nil
}

// replicated reports whether the consumer has replicas. The server then may report that a request bounded in bytes is
// complete before it has sent all messages that belong to it, because those wait for the replicas. The client stops
// listening, and the rest is redelivered only after ackWait. Requests to such consumers are bounded by count instead,
// estimated from the size of recent messages.
func (x *source) replicated() bool {
	cluster := x.consumer.CachedInfo().Cluster
	return cluster != nil && len(cluster.Replicas) > 0
}

// firstLarge and smallest are the initial and the minimum value of large, in bytes.
const firstLarge, smallest = 64 << 10, 2 << 10

// lookUp finds out which consumer the messages come from.
func (x *source) lookUp(ctx context.Context) error {
	stream, _ := x.sub.name.source()
	consumer, err := x.sub.bus.js.Consumer(ctx, x.sub.bus.opts.Namespace.Stream(stream), x.name)
	if err != nil {
		return err
	}
	x.consumer, x.doubtful = consumer, false
	return nil
}

// follow returns the run that the message belongs to, and reports whether it was published before the consumer was
// created. If the consumer sequence starts from 1 again, the consumer was recreated; if it skips numbers, others got
// those messages.
func (x *source) follow(meta *jetstream.MsgMetadata) (run Run, older bool) {
	number, seq := meta.Sequence.Consumer, meta.Sequence.Stream
	if number < x.handed {
		ctx, cancel := context.WithTimeout(context.Background(), broker.PublishDeadline)
		defer cancel()
		x.doubtful, x.broken = x.lookUp(ctx) != nil, true
	}
	again := meta.NumDelivered > 1 && seq <= x.last
	missed := number != x.handed+1 || !again && meta.Timestamp.Before(x.lastAt)
	x.handed = number
	if !again {
		x.last, x.lastAt = seq, meta.Timestamp
	}
	s := x.sub
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.broken || missed || s.stretch.ID == 0 {
		// Other subscriptions got no message of this consumer from here on, unless this one is a redelivery, and no
		// new ones of the other consumers.
		s.stretch, x.broken = Run{ID: s.stretch.ID + 1, After: max(s.stretch.After, seq-1)}, meta.NumDelivered > 1
	}
	return s.stretch, x.doubtful || meta.Timestamp.Before(x.consumer.CachedInfo().Created)
}
