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

// Headers of a message that was set aside: where it was, when it was published there, why it could not be
// recorded, and the message id, which is the id of an event that has no other.
const (
	headerAsideSubject   = "Whisperer-Aside-Subject"
	headerAsideSeq       = "Whisperer-Aside-Seq"
	headerAsidePublished = "Whisperer-Aside-Published"
	headerAsideReason    = "Whisperer-Aside-Reason"
	headerAsideMsgID     = "Whisperer-Aside-Msg-Id"
	asideHeaders         = "Whisperer-Aside-"

	asidePrefix = "setaside."
	// AsideFacts and AsideEvents are what may be set aside.
	AsideFacts  = "facts"
	AsideEvents = "events"

	// maxReason bounds what is kept of a reason, so that a large message is not too large with it.
	maxReason = 500
)

// SetAside is a message that could not be recorded, whole.
type SetAside struct {
	// Seq is its number among those set aside.
	Seq uint64
	// What it is: AsideFacts or AsideEvents.
	What string
	// At is when it was set aside, Reason why.
	At     time.Time
	Reason string
	// Subject, Origin and PublishedAt are where it came from; Tenant and Type are those of an event's subject.
	Subject      string
	Tenant, Type string
	Origin       webhook.Sequence
	// Ours says of an event that it may be of a type that is ours alone.
	Ours        bool
	PublishedAt time.Time
	Headers     map[string][]string
	// Data is nil in lists, which may be of many large ones; Size is its length.
	Data []byte
	Size int
}

// Aside has the messages that are set aside.
type Aside struct{ b *Bus }

// Aside returns the messages that are set aside.
func (b *Bus) Aside() Aside { return Aside{b} }

// ErrNotSetAside says that there is no such message among those set aside: it was put back, or never there.
var ErrNotSetAside = errors.New("no message with this number is set aside")

// Add keeps a message whole that cannot be recorded, and returns when that is durable: it may be acked then.
func (x Aside) Add(ctx context.Context, what string, m *Message, reason string) error {
	header := nats.Header{}
	for name, values := range m.Headers() {
		if !strings.HasPrefix(name, "Nats-") { // what JetStream acted upon, and would again
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

// oneLine makes a text fit for a header.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}

// Count returns how many there are.
func (x Aside) Count(ctx context.Context) (uint64, error) {
	stream, err := x.b.stream(ctx, StreamAside)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}

// List returns the messages after the given number, at most limit, without their data.
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

// Next reads the first message that is set aside after the given number. The error is ErrNotSetAside where there is none.
func (x Aside) Next(ctx context.Context, after uint64) (SetAside, error) {
	if after == math.MaxUint64 {
		return SetAside{}, fmt.Errorf("%w: after %d", ErrNotSetAside, after)
	}
	return x.read(ctx, after+1, jetstream.WithGetMsgSubject(x.b.opts.Namespace.Subject(asidePrefix+">")))
}

// Get reads one message that is set aside. The error is ErrNotSetAside where there is none of that number.
func (x Aside) Get(ctx context.Context, seq uint64) (SetAside, error) {
	if seq == 0 { // would be the first one there is
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

// Drop deletes a message that was set aside, once it is recorded. One that is not there any more is no error.
func (x Aside) Drop(ctx context.Context, seq uint64) error {
	stream, err := x.b.stream(ctx, StreamAside)
	if err == nil {
		err = stream.DeleteMsg(ctx, seq)
	}
	if err == nil {
		return nil
	}
	if _, there := x.Get(ctx, seq); errors.Is(there, ErrNotSetAside) { // somebody else was faster
		return nil
	}
	return fmt.Errorf("delete message %d that was set aside: %w", seq, err)
}

func (x Aside) message(raw *jetstream.RawStreamMsg) SetAside {
	a := SetAside{
		Seq: raw.Sequence, What: strings.TrimPrefix(raw.Subject, x.b.opts.Namespace.Subject(asidePrefix)), At: raw.Time.UTC(), Reason: raw.Header.Get(headerAsideReason),
		Subject: raw.Header.Get(headerAsideSubject), Data: raw.Data, Size: len(raw.Data), Headers: map[string][]string{},
	}
	origin, _ := strconv.ParseUint(raw.Header.Get(headerAsideSeq), 10, 64) // both were written by Add
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
