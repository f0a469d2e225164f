package simulation_test

import (
	"context"
	"reflect"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// client is a worker's client of the simulated JetStream. It has the methods that workers use.
type client struct {
	jetstream.JetStream
	w *worker
	s *server
}

// link is a worker's connection. It is closed when the worker is dead.
type link struct{ w *worker }

func (l link) IsConnected() bool      { return !l.w.dead.Load() }
func (l link) IsClosed() bool         { return l.w.dead.Load() }
func (l link) Stats() nats.Statistics { return nats.Statistics{} }
func (l link) MaxPayload() int64      { return 1 << 20 }

func (c client) PublishMsg(ctx context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	err := c.w.call(ctx, toBus, "publish "+m.Subject, func() error {
		c.s.publish(m.Subject, m.Header, m.Data)
		return nil
	})
	return &jetstream.PubAck{}, err
}

type future struct {
	msg  *nats.Msg
	ok   chan *jetstream.PubAck
	fail chan error
}

func (f future) Ok() <-chan *jetstream.PubAck { return f.ok }
func (f future) Err() <-chan error            { return f.fail }
func (f future) Msg() *nats.Msg               { return f.msg }

func (c client) PublishMsgAsync(m *nats.Msg, _ ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	f := future{msg: m, ok: make(chan *jetstream.PubAck, 1), fail: make(chan error, 1)}
	go func() {
		if ack, err := c.PublishMsg(context.Background(), m); err != nil {
			f.fail <- err
		} else {
			f.ok <- ack
		}
	}()
	return f, nil
}

func (c client) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	out := &streamOf{client: c, stream: c.s.streams[name]}
	err := c.w.call(ctx, askBus, "stream "+name, func() error {
		out.info = out.look("")
		return nil
	})
	return out, err
}

func (c client) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	return (&streamOf{client: c, stream: c.s.streams[stream]}).Consumer(ctx, name)
}

type streamOf struct {
	jetstream.Stream
	client
	stream *stream
	info   *jetstream.StreamInfo
}

func (s *streamOf) CachedInfo() *jetstream.StreamInfo { return s.info }

func (s *streamOf) look(filter string) *jetstream.StreamInfo {
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	info := &jetstream.StreamInfo{TimeStamp: s.s.now(), State: jetstream.StreamState{FirstSeq: 1, LastSeq: s.stream.last, Msgs: uint64(len(s.stream.messages))}}
	info.State.Subjects = map[string]uint64{}
	for _, m := range s.stream.messages {
		if filter != "" && matches(filter, m.subject) {
			info.State.Subjects[m.subject]++
		}
	}
	return info
}

func (s *streamOf) Info(ctx context.Context, opts ...jetstream.StreamInfoOpt) (info *jetstream.StreamInfo, err error) {
	filter := ""
	for _, o := range opts { // the field that the option sets is not exported
		request := reflect.New(reflect.TypeOf(o).In(0).Elem())
		reflect.ValueOf(o).Call([]reflect.Value{request})
		filter = request.Elem().FieldByName("SubjectFilter").String()
	}
	err = s.w.call(ctx, askBus, "info "+s.stream.name+" "+filter, func() error {
		info = s.look(filter)
		return nil
	})
	return info, err
}

func (s *streamOf) Consumer(ctx context.Context, name string) (jetstream.Consumer, error) {
	out := &consumerOf{client: s.client}
	err := s.w.call(ctx, askBus, "consumer "+name, func() error {
		s.s.mu.Lock()
		defer s.s.mu.Unlock()
		for _, c := range s.stream.consumers {
			if c.name == name {
				out.consumer, out.info = c, c.info()
			}
		}
		return nil
	})
	return out, err
}

func (s *streamOf) GetMsg(ctx context.Context, seq uint64, _ ...jetstream.GetMsgOpt) (raw *jetstream.RawStreamMsg, err error) {
	err = s.w.call(ctx, askBus, "get", func() error {
		s.s.mu.Lock()
		defer s.s.mu.Unlock()
		if m := s.stream.messages[seq]; m != nil {
			raw = m.raw()
			return nil
		}
		return jetstream.ErrMsgNotFound
	})
	return raw, err
}

func (s *streamOf) GetLastMsgForSubject(ctx context.Context, subject string) (raw *jetstream.RawStreamMsg, err error) {
	err = s.w.call(ctx, askBus, "get last", func() error {
		s.s.mu.Lock()
		defer s.s.mu.Unlock()
		var last *message
		for _, m := range s.stream.messages {
			if m.subject == subject && (last == nil || m.seq > last.seq) {
				last = m
			}
		}
		if last == nil {
			return jetstream.ErrMsgNotFound
		}
		raw = last.raw()
		return nil
	})
	return raw, err
}

func (m *message) raw() *jetstream.RawStreamMsg {
	return &jetstream.RawStreamMsg{Subject: m.subject, Sequence: m.seq, Header: m.header, Data: m.data, Time: m.at}
}

func (s *streamOf) Purge(ctx context.Context, opts ...jetstream.StreamPurgeOpt) error {
	var request jetstream.StreamPurgeRequest
	for _, o := range opts {
		if err := o(&request); err != nil {
			return err
		}
	}
	return s.w.call(ctx, toBus, "purge "+request.Subject, func() error {
		s.s.purge(s.stream, request.Subject)
		return nil
	})
}

type consumerOf struct {
	jetstream.Consumer
	client
	consumer *consumer
	info     *jetstream.ConsumerInfo
}

func (c *consumerOf) CachedInfo() *jetstream.ConsumerInfo { return c.info }

type batch struct {
	messages chan jetstream.Msg
}

func (b batch) Messages() <-chan jetstream.Msg { return b.messages }
func (b batch) Error() error                   { return nil }

func (c *consumerOf) Fetch(n int, _ ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	p := &pull{left: n, out: make(chan jetstream.Msg, n), wrap: func(m *message, from *consumer, times uint64) jetstream.Msg {
		return &handed{client: c.client, m: m, c: from, times: times, number: from.handed}
	}}
	b := batch{messages: make(chan jetstream.Msg)}
	go func() {
		defer close(b.messages)
		if c.w.dead.Load() {
			return
		}
		c.consumer.ask(p)
		for m := range p.out { // messages for a dead worker are lost
			c.w.lag("message of " + c.consumer.name)
			if !c.w.dead.Load() {
				b.messages <- m
			}
		}
	}()
	return b, nil
}

// handed is a message that was handed to a worker.
type handed struct {
	jetstream.Msg
	client
	m             *message
	c             *consumer
	times, number uint64
}

func (h *handed) Data() []byte         { return h.m.data }
func (h *handed) Headers() nats.Header { return h.m.header }
func (h *handed) Subject() string      { return h.m.subject }

func (h *handed) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{
		Sequence: jetstream.SequencePair{Consumer: h.number, Stream: h.m.seq}, NumDelivered: h.times, Timestamp: h.m.at, Stream: h.c.stream.name, Consumer: h.c.name,
	}, nil
}

func (h *handed) Ack() error {
	h.w.tell("ack "+h.c.name, h.m.seq, func() { h.c.ack(h.m.seq) })
	return nil
}

func (h *handed) NakWithDelay(d time.Duration) error {
	h.w.tell("hand back "+h.c.name, h.m.seq, func() { h.c.delay(h.m.seq, d) })
	return nil
}

func (h *handed) InProgress() error {
	h.w.tell("work on "+h.c.name, h.m.seq, func() { h.c.delay(h.m.seq, h.c.ackWait) })
	return nil
}

var _ bus.Link = link{}
