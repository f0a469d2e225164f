package simulation_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

const (
	// dedupWindow is how long a stream remembers a Nats-Msg-Id, and pullTime how long a request for messages stays open.
	dedupWindow = 2 * time.Minute
	pullTime    = 5 * time.Second
)

// server is a simulated JetStream with the features that workers use. TestServerIsLikeJetStream compares it with a real one.
type server struct {
	mu      sync.Mutex
	streams map[string]*stream
	// ahead is how far the server's clock is ahead of the workers'.
	ahead time.Duration
	// spread reports that the event log has a partition, to which all tenants belong.
	spread bool
	// stored is called for each message that a stream has stored.
	stored func(s *stream, m *message)
}

type stream struct {
	name, prefix string
	queue        bool // a work queue: acked messages are removed
	last         uint64
	messages     map[uint64]*message
	ids          map[string]time.Time
	consumers    []*consumer
}

type message struct {
	seq     uint64
	subject string
	header  nats.Header
	data    []byte
	at      time.Time
	timer   *time.Timer // for a scheduled message
}

type consumer struct {
	stream  *stream
	server  *server
	name    string
	filter  string
	ackWait time.Duration
	made    time.Time
	// delivered is the sequence of the last message handed out, and handed the number of deliveries.
	delivered, handed uint64
	pending           map[uint64]*pending
	pulls             []*pull
	timer             *time.Timer
	wakes             time.Time
}

// pending is a message that was handed out and is not settled.
type pending struct {
	times uint64
	until time.Time // time of the redelivery
}

type pull struct {
	left   int
	out    chan jetstream.Msg
	wrap   func(m *message, c *consumer, times uint64) jetstream.Msg
	expiry *time.Timer
}

func newServer() *server {
	s := &server{streams: map[string]*stream{}, stored: func(*stream, *message) {}}
	for _, x := range []struct {
		name, prefix string
		queue        bool
		consumers    map[bus.Consumer]string
	}{
		{bus.StreamOMS, "oms.", false, map[bus.Consumer]string{bus.Fanout: "oms.", bus.Fanout + "-00": "part.0.", bus.EventRecorder: ""}},
		{bus.StreamOwn, "own.", false, map[bus.Consumer]string{bus.OwnFanout: "own.", bus.OwnRecorder: "own."}},
		{bus.StreamRetries, "retry.", true, map[bus.Consumer]string{bus.Retry: "retry.due."}},
		{bus.StreamLedger, "ledger.", true, map[bus.Consumer]string{bus.FactRecorder: "ledger."}},
		{bus.StreamAside, "setaside.", false, nil},
	} {
		st := &stream{name: x.name, prefix: x.prefix, queue: x.queue, messages: map[uint64]*message{}, ids: map[string]time.Time{}}
		for _, name := range slices.Sorted(maps.Keys(x.consumers)) {
			wait := 15 * time.Second
			if name == bus.FactRecorder {
				wait = 5 * time.Second
			}
			st.consumers = append(st.consumers, &consumer{
				stream: st, server: s, name: string(name), filter: x.consumers[name], ackWait: wait, made: s.now(), pending: map[uint64]*pending{},
			})
		}
		s.streams[x.name] = st
	}
	return s
}

func (s *server) now() time.Time { return time.Now().Add(s.ahead).UTC() }

// step sets the server's clock.
func (s *server) step(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
	for _, m := range s.streams[bus.StreamRetries].messages {
		if m.timer != nil {
			m.timer.Stop()
			s.await(m)
		}
	}
}

func (s *server) streamOf(subject string) *stream {
	for _, st := range s.streams {
		if strings.HasPrefix(subject, st.prefix) {
			return st
		}
	}
	return nil
}

// publish stores a message, unless its id was used recently.
func (s *server) publish(subject string, header nats.Header, data []byte) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streamOf(subject)
	if rest, ok := strings.CutPrefix(subject, "oms."); ok && s.spread {
		subject = "part.0." + rest
	}
	if id := header.Get(nats.MsgIdHdr); id != "" {
		if at, there := st.ids[id]; there && s.now().Sub(at) < dedupWindow {
			return st.last
		}
		st.ids[id] = s.now()
	}
	m := s.store(st, subject, header, data)
	if header.Get("Nats-Schedule") != "" {
		for seq, other := range st.messages { // one schedule per subject
			if other.subject == subject && other != m {
				other.timer.Stop()
				delete(st.messages, seq)
			}
		}
		s.await(m)
	}
	return m.seq
}

func (s *server) store(st *stream, subject string, header nats.Header, data []byte) *message {
	st.last++
	m := &message{seq: st.last, subject: subject, header: header, data: data, at: s.now()}
	st.messages[m.seq] = m
	s.stored(st, m)
	for _, c := range st.consumers {
		c.feed()
	}
	return m
}

// await moves a scheduled message to its target when its time comes.
func (s *server) await(m *message) {
	at, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(m.header.Get("Nats-Schedule"), "@at "))
	if err != nil {
		panic(err)
	}
	m.timer = time.AfterFunc(max(0, at.Sub(s.now())), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		st := s.streams[bus.StreamRetries]
		if st.messages[m.seq] == m && !s.now().Before(at) {
			delete(st.messages, m.seq)
			s.store(st, m.header.Get("Nats-Schedule-Target"), nats.Header{}, m.data)
		}
	})
}

// purge removes the messages whose subjects match.
func (s *server) purge(st *stream, filter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq, m := range st.messages {
		if matches(filter, m.subject) {
			if m.timer != nil {
				m.timer.Stop()
			}
			delete(st.messages, seq)
		}
	}
}

func matches(filter, subject string) bool {
	if prefix, ok := strings.CutSuffix(filter, ">"); ok {
		return strings.HasPrefix(subject, prefix)
	}
	return filter == subject
}

// feed hands out as many messages as were asked for, redeliveries first.
func (c *consumer) feed() {
	for len(c.pulls) > 0 {
		m, times := c.next()
		if m == nil {
			break
		}
		c.handed++
		c.pending[m.seq] = &pending{times: times, until: time.Now().Add(c.ackWait)}
		p := c.pulls[0]
		p.out <- p.wrap(m, c, times)
		if p.left--; p.left == 0 {
			c.end(p)
		} else { // the next message goes to another worker
			c.pulls = append(c.pulls[1:], p)
		}
	}
	c.arm()
}

func (c *consumer) next() (m *message, times uint64) {
	now := time.Now()
	for seq, p := range c.pending {
		if !p.until.After(now) && (m == nil || seq < m.seq) {
			if m = c.stream.messages[seq]; m == nil {
				delete(c.pending, seq)
				continue
			}
			times = p.times + 1
		}
	}
	for seq := c.delivered + 1; m == nil && seq <= c.stream.last; seq++ {
		if there := c.stream.messages[seq]; there != nil && strings.HasPrefix(there.subject, c.filter) {
			m, times, c.delivered = there, 1, seq
		}
	}
	return m, times
}

// arm sets the timer that calls feed for the next redelivery.
func (c *consumer) arm() {
	var first time.Time
	for _, p := range c.pending {
		if first.IsZero() || p.until.Before(first) {
			first = p.until
		}
	}
	now := time.Now()
	if first.IsZero() || !c.wakes.Before(now) && !c.wakes.After(first) && c.wakes.After(now) {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	if !first.After(now) { // no request for messages is open
		return
	}
	c.wakes = first
	c.timer = time.AfterFunc(first.Sub(now), func() {
		c.server.mu.Lock()
		defer c.server.mu.Unlock()
		c.feed()
	})
}

func (c *consumer) ask(p *pull) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.pulls = append(c.pulls, p)
	p.expiry = time.AfterFunc(pullTime, func() {
		c.server.mu.Lock()
		defer c.server.mu.Unlock()
		c.end(p)
	})
	c.feed()
}

// end closes a request for messages.
func (c *consumer) end(p *pull) {
	if i := slices.Index(c.pulls, p); i >= 0 {
		c.pulls = slices.Delete(c.pulls, i, i+1)
		p.expiry.Stop()
		close(p.out)
	}
}

func (c *consumer) ack(seq uint64) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if _, there := c.pending[seq]; !there {
		return
	}
	delete(c.pending, seq)
	if c.stream.queue {
		delete(c.stream.messages, seq)
	}
}

// delay postpones the redelivery of a message that was handed back or is being worked on.
func (c *consumer) delay(seq uint64, d time.Duration) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if p, there := c.pending[seq]; there {
		p.until = time.Now().Add(d)
		c.feed()
	}
}

func (c *consumer) info() *jetstream.ConsumerInfo {
	floor, waiting := c.delivered, uint64(0)
	for seq := range c.pending {
		floor = min(floor, seq-1)
	}
	for seq, m := range c.stream.messages {
		if seq > c.delivered && strings.HasPrefix(m.subject, c.filter) {
			waiting++
		}
	}
	return &jetstream.ConsumerInfo{
		Created: c.made, NumPending: waiting, NumAckPending: len(c.pending),
		Delivered: jetstream.SequenceInfo{Consumer: c.handed, Stream: c.delivered}, AckFloor: jetstream.SequenceInfo{Stream: floor},
	}
}
