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

// book writes the messages of one kind for one recorder.
type book struct {
	*Recorder

	sub   *bus.Subscription
	what  string
	write func(context.Context, []bus.Message) error
	// limit is the number of messages per transaction. It falls when a transaction takes too long, and grows to most while the
	// database is fast. patience is the time limit of a transaction.
	limit, most int
	patience    time.Duration
	// written is the number of written messages. refused holds the sequences of messages that the database refused, each with
	// the value of written at the first refusal.
	written uint64
	refused map[uint64]uint64
}

// maxRefused bounds the size of refused. A message that is dropped from it is set aside later than it could be.
const maxRefused = 10_000

// record writes the messages, and acknowledges each that is written or set aside. If writing fails for a reason other than the
// messages themselves, record returns the reason and the messages that are left.
func (b *book) record(ctx context.Context, messages []bus.Message) (left []bus.Message, err error) {
	for len(messages) > 0 {
		err := b.try(ctx, messages)
		var unreadable *unreadableError
		switch {
		case err == nil:
			return nil, nil
		case errors.As(err, &unreadable): // no worker of this version can decode it
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

// try writes the messages in one transaction and acknowledges them.
func (b *book) try(ctx context.Context, messages []bus.Message) error {
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	if err := b.write(limited, messages); err != nil {
		if limited.Err() != nil && ctx.Err() == nil { // it took too long: write fewer messages next time
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

// oneByOne finds the messages that make their batch fail. It tries a refused message once more after others were written,
// because only then is it known that the message itself is the cause.
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
			break // nothing was written, so there is nothing to learn
		}
	}
	b.sub.HandBack(messages, again)
	return nil, nil
}

// noteRefused notes that the messages were refused, together or individually.
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

// guilty reports whether another message was written since this one was first refused.
func (b *book) guilty(m *bus.Message) bool {
	before, known := b.refused[m.Seq]
	return known && b.written > before
}

// setAside stores the whole message where it can be put back from, and acknowledges it. It returns false if the message has to
// be redelivered.
func (b *book) setAside(ctx context.Context, m *bus.Message, cause error) bool {
	if err := b.bus.Aside().Add(ctx, b.what, m, cause.Error()); err != nil {
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

// stand hands all messages back, so that other workers can write them, and takes none until the database accepts writes again.
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
		if time.Since(logged) >= logPause && err.Error() != cause.Error() { // the reason has changed since it was last logged
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
