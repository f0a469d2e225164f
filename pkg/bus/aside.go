package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	// maxReason bounds what is kept of a reason, so that a large message is not too large with it.
	maxReason = 500
)

// SetAside is a message that could not be recorded, whole.
type SetAside struct {
	// Seq is its number among those set aside.
	Seq uint64
	// What it is: "facts" or "events".
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
	Data        []byte
}

// ErrNotSetAside says that there is no such message among those set aside: it was put back, or never there.
var ErrNotSetAside = errors.New("no message with this number is set aside")

// SetAside keeps a message whole that cannot be recorded, and returns when that is durable: it may be acked then.
func (b *Bus) SetAside(ctx context.Context, what string, m *Message, reason string) error {
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
	ctx, cancel := context.WithTimeout(ctx, publishDeadline)
	defer cancel()
	if _, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: b.opts.Namespace.subject(asidePrefix + what), Header: header, Data: m.Data}); err != nil {
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

// AsideCount is how many messages are set aside.
func (b *Bus) AsideCount(ctx context.Context) (uint64, error) {
	stream, err := b.stream(ctx, StreamAside)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}

// ListAside lists messages that are set aside, after the given number, at most limit.
func (b *Bus) ListAside(ctx context.Context, after uint64, limit int) ([]SetAside, error) {
	stream, err := b.stream(ctx, StreamAside)
	if err != nil {
		return nil, err
	}
	var list []SetAside
	for len(list) < limit {
		raw, err := stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(b.opts.Namespace.subject(asidePrefix+">")))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return list, nil
		case err != nil:
			return nil, fmt.Errorf("read what is set aside: %w", err)
		}
		after = raw.Sequence
		list = append(list, b.asideOf(raw))
	}
	return list, nil
}

// Aside reads one message that is set aside.
func (b *Bus) Aside(ctx context.Context, seq uint64) (SetAside, error) {
	stream, err := b.stream(ctx, StreamAside)
	if err != nil {
		return SetAside{}, err
	}
	raw, err := stream.GetMsg(ctx, seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return SetAside{}, fmt.Errorf("%w: %d", ErrNotSetAside, seq)
	case err != nil:
		return SetAside{}, fmt.Errorf("read message %d that is set aside: %w", seq, err)
	}
	return b.asideOf(raw), nil
}

// DropAside deletes a message that was set aside, once it is recorded.
func (b *Bus) DropAside(ctx context.Context, seq uint64) error {
	stream, err := b.stream(ctx, StreamAside)
	if err == nil {
		err = stream.DeleteMsg(ctx, seq)
	}
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("delete message %d that was set aside: %w", seq, err)
	}
	return nil
}

func (b *Bus) asideOf(raw *jetstream.RawStreamMsg) SetAside {
	a := SetAside{
		Seq: raw.Sequence, What: strings.TrimPrefix(raw.Subject, b.opts.Namespace.subject(asidePrefix)), At: raw.Time.UTC(), Reason: raw.Header.Get(headerAsideReason),
		Subject: raw.Header.Get(headerAsideSubject), Data: raw.Data, Headers: map[string][]string{},
	}
	origin, _ := strconv.ParseUint(raw.Header.Get(headerAsideSeq), 10, 64) // both were written by SetAside
	a.PublishedAt, _ = time.Parse(time.RFC3339Nano, raw.Header.Get(headerAsidePublished))
	a.Origin = webhook.Sequence(origin)
	a.Ours = a.Origin.Stream() == webhook.Own || b.isOurs(a.PublishedAt)
	a.Tenant, a.Type = b.opts.Namespace.SplitEventSubject(a.Subject)
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
