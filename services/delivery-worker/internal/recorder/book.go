package recorder

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// book is what one recorder writes of one kind.
type book struct {
	*Recorder

	sub   *bus.Subscription
	what  string
	write func(context.Context, []bus.Message) error
	// limit is how many messages go into one transaction, most of them where the database is quick. patience is how long
	// it may take.
	limit, most int
	patience    time.Duration
	// written counts messages. refused has, by their sequence, those that the database said no to, and what written was
	// when it did so first.
	written uint64
	refused map[uint64]uint64
}

// maxRefused bounds the memory of what was refused; who is forgotten is set aside later.
const maxRefused = 10_000

// record writes the messages and acks each that is written or set aside. It returns the others with the reason, which is
// not about them, and nothing where the database took what it could be given.
func (b *book) record(ctx context.Context, messages []bus.Message) (left []bus.Message, err error) {
	for len(messages) > 0 {
		err := b.try(ctx, messages)
		var unreadable *unreadableError
		switch {
		case err == nil:
			return nil, nil
		case errors.As(err, &unreadable): // by anybody who is as old as this program
			one := messages[unreadable.at : unreadable.at+1]
			if !b.setAside(ctx, &one[0], err) {
				b.sub.HandBack(one, again)
			}
			messages = slices.Concat(messages[:unreadable.at], messages[unreadable.at+1:])
		case !store.Refused(err):
			return messages, err
		default:
			return b.oneByOne(ctx, messages)
		}
	}
	return nil, nil
}

// try writes the messages together and acks them.
func (b *book) try(ctx context.Context, messages []bus.Message) error {
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	if err := b.write(limited, messages); err != nil {
		if limited.Err() != nil && ctx.Err() == nil { // less may be written in that time
			if b.limit == 1 {
				b.patience = min(2*b.patience, mostPatience)
			}
			b.limit = max(1, b.limit/4)
		}
		return err
	}
	b.observer.Recorded(b.what, len(messages), time.Since(started))
	b.written += uint64(len(messages))
	b.limit, b.patience = min(2*b.limit, b.most), writeTime
	for i := range messages {
		delete(b.refused, messages[i].Seq)
	}
	b.sub.Ack(messages)
	return nil
}

// oneByOne finds the messages that the others of their batch suffer from. What is refused is tried once more when others
// were written: only then is it known that it is the message.
func (b *book) oneByOne(ctx context.Context, messages []bus.Message) (left []bus.Message, err error) {
	written := b.written
	b.noteRefused(messages)
	for round := range 2 {
		var refused []bus.Message
		for i := range messages {
			err := b.try(ctx, messages[i:i+1])
			switch {
			case err == nil:
			case !store.Refused(err):
				return slices.Concat(refused, messages[i:]), err
			case b.guilty(&messages[i]) && b.setAside(ctx, &messages[i], err):
			default:
				b.log.Warn("ledger entry refused by PostgreSQL: retrying, set aside if other entries succeed",
					zap.String("what", b.what), zap.Uint64("seq", messages[i].Seq), trace.Message(messages[i].Header), zap.Error(err))
				refused = append(refused, messages[i])
			}
		}
		if messages = refused; round == 0 && b.written == written {
			break // nothing was written, so there is nothing to be learnt
		}
	}
	b.sub.HandBack(messages, again)
	return nil, nil
}

// noteRefused keeps that the messages were refused, together or each.
func (b *book) noteRefused(messages []bus.Message) {
	if len(b.refused) >= maxRefused {
		clear(b.refused)
	}
	for i := range messages {
		if _, known := b.refused[messages[i].Seq]; !known {
			b.refused[messages[i].Seq] = b.written
		}
	}
}

// guilty reports whether another message was written since this one was refused first.
func (b *book) guilty(m *bus.Message) bool {
	before, known := b.refused[m.Seq]
	return known && b.written > before
}

// setAside keeps the message whole where it can be put back from, and acks it then; false means that it has to come again.
func (b *book) setAside(ctx context.Context, m *bus.Message, cause error) bool {
	if err := b.bus.SetAside(ctx, b.what, m, cause.Error()); err != nil {
		b.log.Error("failed to set ledger entry aside, retrying", zap.String("what", b.what), zap.Uint64("seq", m.Seq), trace.Message(m.Header), zap.Error(err))
		return false
	}
	b.log.Error("ledger entry set aside: see `whisperer ledger set-aside list`",
		zap.String("what", b.what), zap.Uint64("seq", m.Seq), trace.Message(m.Header), zap.Error(cause))
	b.observer.SetAside(b.what)
	delete(b.refused, m.Seq)
	b.sub.Ack([]bus.Message{*m})
	return true
}

// stand gives everything to others and takes nothing until the database can be written again.
func (b *book) stand(ctx context.Context, left []bus.Message, cause error) {
	b.sub.Pause()
	defer b.sub.Resume()
	b.sub.HandBack(left, 0)
	if ctx.Err() != nil {
		return
	}
	b.log.Warn("failed to write the ledger: entries return to other workers until it succeeds",
		zap.String("what", b.what), zap.Int("messages", len(left)), zap.Error(cause))
	began := time.Now()
	logged := began
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.sub.Stopping():
			return
		case <-time.After(again):
		}
		err := b.probe(ctx)
		if err == nil {
			b.log.Info("ledger writes succeed again", zap.String("what", b.what), zap.Duration("after", time.Since(began)))
			return
		}
		if time.Since(logged) >= logPause && err.Error() != cause.Error() { // another reason than the one that was logged last
			logged, cause = time.Now(), err
			b.log.Warn("failed to write the ledger, still retrying", zap.String("what", b.what), zap.Duration("for", time.Since(began)), zap.Error(err))
		}
	}
}

func (b *book) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	return b.writer.Probe(ctx)
}
