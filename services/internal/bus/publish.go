package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Headers with a meaning to JetStream (ADR-4, ADR-51).
const (
	headerMsgID          = nats.MsgIdHdr
	headerSchedule       = "Nats-Schedule"
	headerScheduleTarget = "Nats-Schedule-Target"
	// headerMayWait marks facts that nobody waits for. Batches without it are recorded at once, and so are those of
	// workers that do not know the header.
	headerMayWait = "Whisperer-May-Wait"
)

// PublishFacts returns when the batch is stored in the ledger. The id lets JetStream recognize a retry of the same
// batch.
func (b *Bus) PublishFacts(ctx context.Context, id string, batch *whispererv1.LedgerBatch) error {
	data, err := proto.Marshal(batch)
	if err != nil {
		return fmt.Errorf("encode facts: %w", err)
	}
	msg := &nats.Msg{Subject: b.opts.Namespace.Subject(ledgerSubject), Data: data, Header: nats.Header{headerMsgID: []string{id}}}
	if mayWait(batch) {
		msg.Header[headerMayWait] = []string{"1"}
	}
	ctx, cancel := context.WithTimeout(ctx, broker.PublishDeadline)
	defer cancel()
	if _, err := b.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("publish facts: %w", err)
	}
	return nil
}

// mayWait reports whether the batch only holds deliveries that succeeded at the first attempt. A drainer, or a person
// who asked for an attempt, may wait for any other fact.
func mayWait(batch *whispererv1.LedgerBatch) bool {
	return !slices.ContainsFunc(batch.GetFacts(), func(f *whispererv1.DeliveryFact) bool {
		return !f.GetFirst() || f.GetState() != string(webhook.Delivered)
	})
}

// PublishOwn returns when JetStream has stored an event of our own.
func (b *Bus) PublishOwn(ctx context.Context, e Outgoing) error {
	msg := b.Message(&e)
	msg.Subject = b.opts.Namespace.OwnSubject(e.Tenant, e.Type)
	if err := b.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("publish %s: %w", e.Type, err)
	}
	return nil
}

// Event reads an event from its stream again. It returns webhook.ErrNotFound if the stream does not hold it any more,
// or was recreated since.
func (b *Bus) Event(ctx context.Context, at webhook.Sequence) (envelope.Published, error) {
	stream, err := b.stream(ctx, nameOf(at.Stream()))
	if err != nil {
		return envelope.Published{}, err
	}
	msg, err := stream.GetMsg(ctx, at.Number())
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return envelope.Published{}, missing(ctx, stream, at.Number())
	case err != nil:
		return envelope.Published{}, fmt.Errorf("read event %d: %w", at.Number(), err)
	}
	return b.event(b.published(msg.Subject), msg.Header, msg.Data, at, msg.Time), nil
}

// event converts a message of a stream of events, given the subject that it was published to.
func (b *Bus) event(subject string, headers nats.Header, body []byte, at webhook.Sequence, stored time.Time) envelope.Published {
	tenant, eventType := b.opts.Namespace.SplitEventSubject(subject)
	return envelope.Published{
		Tenant: tenant, Type: eventType, Headers: headers, Body: body, Seq: at, PublishedAt: stored.UTC().Truncate(time.Microsecond),
		Ours: at.Stream() == webhook.Own || b.isOurs(stored), SourcesSince: b.opts.SourcesSince,
	}
}

// missing decides what it means that a message was not found. Any replica may have answered, even one that lags
// behind. Only the leader knows the stream's first and last sequence, so a sequence between the two is an error to be
// retried.
func missing(ctx context.Context, stream jetstream.Stream, seq uint64) error {
	info, err := stream.Info(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("look up event %d: %w", seq, err)
	case seq < info.State.FirstSeq || seq > info.State.LastSeq:
		return fmt.Errorf("event %d: %w", seq, webhook.ErrNotFound)
	default:
		return fmt.Errorf("read event %d: a replica does not have it, although the stream holds %d to %d", seq, info.State.FirstSeq, info.State.LastSeq)
	}
}

// Tell publishes to a subject outside of our streams. It returns when a stream has stored the message. If no stream
// takes the subject, it returns when the server has the message, which then reaches only current subscribers.
func (b *Bus) Tell(ctx context.Context, subject, id string, header map[string]string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, broker.PublishDeadline)
	defer cancel()
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{headerMsgID: []string{id}}}
	for name, value := range header {
		msg.Header[name] = []string{value}
	}
	_, err := b.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		if err = b.nc.PublishMsg(msg); err == nil {
			err = b.nc.FlushWithContext(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", subject, err)
	}
	return nil
}
