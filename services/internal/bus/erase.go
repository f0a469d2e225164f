package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Wiped is the result of erasing a message.
type Wiped int

// The results of erasing a message.
const (
	// Absent: there is no such message.
	Absent Wiped = iota
	// Overwritten: the message is deleted, and its bytes in the server's files are overwritten.
	Overwritten
	// Deleted: the message is deleted, but its bytes stay in the server's files until the server compacts them.
	Deleted
	// Kept: the stream was created by an earlier release and does not allow deleting single messages.
	Kept
)

// EraseEvent overwrites an event in its stream, provided that the message was stored at publishedAt.
func (b *Bus) EraseEvent(ctx context.Context, at webhook.Sequence, publishedAt time.Time) (Wiped, error) {
	stream, err := b.stream(ctx, nameOf(at.Stream()))
	if err != nil {
		return Absent, err
	}
	msg, err := stream.GetMsg(ctx, at.Number())
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Absent, nil
	case err != nil:
		return Absent, fmt.Errorf("read event %d: %w", at.Number(), err)
	case !msg.Time.UTC().Truncate(time.Microsecond).Equal(publishedAt): // the stream was recreated since
		return Absent, nil
	}
	return wipe(ctx, stream, at.Number())
}

// each calls do with each message of a subject, the oldest first.
func (b *Bus) each(ctx context.Context, name, subject string, do func(jetstream.Stream, *jetstream.RawStreamMsg) error) error {
	stream, err := b.stream(ctx, name)
	if err != nil {
		return err
	}
	for next := uint64(1); ; {
		msg, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subject))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		if err := do(stream, msg); err != nil {
			return err
		}
		next = msg.Sequence + 1
	}
}

// Erase erases from the messages that are set aside. event reports whether an event is to be erased. facts removes
// what is to be erased from a batch and reports whether it removed anything; the rest of the batch is set aside
// again.
func (x Aside) Erase(ctx context.Context, event func(*SetAside) (bool, error), facts func(*whispererv1.LedgerBatch) (bool, error)) (map[Wiped]int64, error) {
	counts := map[Wiped]int64{}
	err := x.b.each(ctx, StreamAside, x.b.opts.Namespace.Subject(asidePrefix+">"), func(stream jetstream.Stream, msg *jetstream.RawStreamMsg) error {
		a := x.message(msg)
		if a.What == AsideFacts {
			var batch whispererv1.LedgerBatch
			if proto.Unmarshal(a.Data, &batch) != nil {
				return nil //nolint:nilerr // what cannot be read is left to a newer program
			}
			if some, err := facts(&batch); err != nil || !some {
				return err
			}
			if err := x.replace(ctx, msg, &batch); err != nil {
				return err
			}
		} else if gone, err := event(&a); err != nil || !gone {
			return err
		}
		done, err := wipe(ctx, stream, msg.Sequence)
		counts[done]++
		return err
	})
	return counts, err
}

// replace sets the remaining facts of a message aside again, as a message of their own.
func (x Aside) replace(ctx context.Context, msg *jetstream.RawStreamMsg, batch *whispererv1.LedgerBatch) error {
	data, err := proto.Marshal(batch)
	if err != nil {
		return fmt.Errorf("encode facts: %w", err)
	}
	out := &nats.Msg{Subject: msg.Subject, Data: data, Header: nats.Header{}}
	for name, values := range msg.Header {
		if !strings.HasPrefix(name, "Nats-") {
			out.Header[name] = slices.Clone(values)
		}
	}
	out.Header.Set(headerMsgID, fmt.Sprintf("erased:%d", msg.Sequence))
	return x.b.PublishMsg(ctx, out)
}

// wipe overwrites a message.
func wipe(ctx context.Context, stream jetstream.Stream, seq uint64) (Wiped, error) {
	if stream.CachedInfo().Config.DenyDelete {
		return Kept, nil
	}
	err := stream.SecureDeleteMsg(ctx, seq)
	if err == nil {
		return Overwritten, nil
	}
	if _, there := stream.GetMsg(ctx, seq); errors.Is(there, jetstream.ErrMsgNotFound) { // another program deleted it first
		return Absent, nil
	}
	return Absent, fmt.Errorf("erase message %d of stream %s: %w", seq, stream.CachedInfo().Config.Name, err)
}
