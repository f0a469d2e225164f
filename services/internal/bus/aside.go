package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Headers of a message that was set aside: its original subject and sequence, the time it was published, why it could
// not be recorded, and its message id, which serves as the event's id if the event has no other.
const (
	headerAsideSubject   = "Whisperer-Aside-Subject"
	headerAsideSeq       = "Whisperer-Aside-Seq"
	headerAsidePublished = "Whisperer-Aside-Published"
	headerAsideReason    = "Whisperer-Aside-Reason"
	headerAsideMsgID     = "Whisperer-Aside-Msg-Id"
	asideHeaders         = "Whisperer-Aside-"

	asidePrefix = "setaside."
	// AsideFacts and AsideEvents are the kinds of messages that may be set aside.
	AsideFacts  = "facts"
	AsideEvents = "events"

	// maxReason bounds the stored reason in bytes, so that the reason does not push a large message over the size
	// limit.
	maxReason = 500
)

// SetAside is a complete message that could not be recorded.
type SetAside struct {
	// Seq is its sequence number in the stream of messages that were set aside.
	Seq uint64
	// What is the kind of message: AsideFacts or AsideEvents.
	What string
	// At is when the message was set aside, and Reason says why.
	At     time.Time
	Reason string
	// Subject, Origin and PublishedAt say where the message came from; Tenant and Type are taken from an event's
	// subject.
	Subject      string
	Tenant, Type string
	Origin       webhook.Sequence
	// Ours reports whether an event may have a type that is reserved for Whisperer itself.
	Ours        bool
	PublishedAt time.Time
	Headers     map[string][]string
	// Data is nil in lists, because a list may hold many large messages; Size is the length of the data.
	Data []byte
	Size int
}

// Aside gives access to the messages that were set aside.
type Aside struct{ b *Bus }

// Aside returns access to the messages that were set aside.
func (b *Bus) Aside() Aside { return Aside{b} }

// ErrNotSetAside says that no message with this number is set aside: it was put back, or never existed.
var ErrNotSetAside = errors.New("no message with this number is set aside")

// Add stores a complete message that cannot be recorded. When it returns nil, the copy is durable and the original
// may be acked.
func (x Aside) Add(ctx context.Context, what string, m *Message, reason string) error {
	header := nats.Header{}
	for name, values := range m.Headers() {
		if !strings.HasPrefix(name, "Nats-") { // JetStream has acted on these, and would do so again
			header[name] = values
		}
	}
	header.Set(headerMsgID, fmt.Sprintf("%s:%d:%d", what, m.Place(), m.PublishedAt.UnixNano()))
	header.Set(headerAsideSubject, m.Subject)
	header.Set(headerAsideSeq, strconv.FormatUint(uint64(m.Place()), 10))
	header.Set(headerAsidePublished, m.PublishedAt.Format(time.RFC3339Nano))
	header.Set(headerAsideReason, oneLine(reason))
	if id := m.Header(headerMsgID); id != "" {
		header.Set(headerAsideMsgID, id)
	}
	ctx, cancel := context.WithTimeout(ctx, broker.PublishDeadline)
	defer cancel()
	if _, err := x.b.js.PublishMsg(ctx, &nats.Msg{Subject: x.b.opts.Namespace.Subject(asidePrefix + what), Header: header, Data: m.Data}); err != nil {
		return fmt.Errorf("set message %d aside: %w", m.Seq, err)
	}
	return nil
}

// oneLine makes a text fit for a header: one line of at most maxReason bytes.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}

// Count returns how many messages are set aside.
func (x Aside) Count(ctx context.Context) (uint64, error) {
	stream, err := x.b.stream(ctx, StreamAside)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}

// List returns at most limit messages after the given sequence number, without their data.
func (x Aside) List(ctx context.Context, after uint64, limit int) ([]SetAside, error) {
	var list []SetAside
	for len(list) < limit {
		s, err := x.Next(ctx, after)
		switch {
		case errors.Is(err, ErrNotSetAside):
			return list, nil
		case err != nil:
			return nil, err
		}
		after, s.Data = s.Seq, nil
		list = append(list, s)
	}
	return list, nil
}

// Next reads the first message after the given sequence number. It returns ErrNotSetAside if there is none.
func (x Aside) Next(ctx context.Context, after uint64) (SetAside, error) {
	if after == math.MaxUint64 {
		return SetAside{}, fmt.Errorf("%w: after %d", ErrNotSetAside, after)
	}
	return x.read(ctx, after+1, jetstream.WithGetMsgSubject(x.b.opts.Namespace.Subject(asidePrefix+">")))
}

// Get reads one message. It returns ErrNotSetAside if there is none with this sequence number.
func (x Aside) Get(ctx context.Context, seq uint64) (SetAside, error) {
	if seq == 0 { // the server would return the first message
		return SetAside{}, fmt.Errorf("%w: 0", ErrNotSetAside)
	}
	return x.read(ctx, seq)
}

func (x Aside) read(ctx context.Context, seq uint64, options ...jetstream.GetMsgOpt) (SetAside, error) {
	stream, err := x.b.stream(ctx, StreamAside)
	if err != nil {
		return SetAside{}, err
	}
	raw, err := stream.GetMsg(ctx, seq, options...)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return SetAside{}, fmt.Errorf("%w: %d", ErrNotSetAside, seq)
	case err != nil:
		return SetAside{}, fmt.Errorf("read message %d that is set aside: %w", seq, err)
	}
	return x.message(raw), nil
}

// Drop deletes a message once it is recorded. Dropping a message that no longer exists is no error.
func (x Aside) Drop(ctx context.Context, seq uint64) error {
	stream, err := x.b.stream(ctx, StreamAside)
	if err == nil {
		err = stream.DeleteMsg(ctx, seq)
	}
	if err == nil {
		return nil
	}
	if _, there := x.Get(ctx, seq); errors.Is(there, ErrNotSetAside) { // another program deleted it first
		return nil
	}
	return fmt.Errorf("delete message %d that was set aside: %w", seq, err)
}

func (x Aside) message(raw *jetstream.RawStreamMsg) SetAside {
	a := SetAside{
		Seq: raw.Sequence, What: strings.TrimPrefix(raw.Subject, x.b.opts.Namespace.Subject(asidePrefix)), At: raw.Time.UTC(), Reason: raw.Header.Get(headerAsideReason),
		Subject: raw.Header.Get(headerAsideSubject), Data: raw.Data, Size: len(raw.Data), Headers: map[string][]string{},
	}
	origin, _ := strconv.ParseUint(raw.Header.Get(headerAsideSeq), 10, 64) // Add wrote both, so they parse
	a.PublishedAt, _ = time.Parse(time.RFC3339Nano, raw.Header.Get(headerAsidePublished))
	a.Origin = webhook.Sequence(origin)
	a.Ours = a.Origin.Stream() == webhook.Own || x.b.isOurs(a.PublishedAt)
	a.Tenant, a.Type = x.b.opts.Namespace.SplitEventSubject(a.Subject)
	for name, values := range raw.Header {
		if !strings.HasPrefix(name, asideHeaders) && !strings.HasPrefix(name, "Nats-") {
			a.Headers[name] = values
		}
	}
	if id := raw.Header.Get(headerAsideMsgID); id != "" {
		a.Headers[headerMsgID] = []string{id}
	}
	return a
}
