package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
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

// ScheduleRetry returns when the retry is stored, to become due at the given time. It replaces an earlier schedule of
// the same delivery of the same event. If an event id is used again after a long time, that is another event although
// the delivery ids are the same, so neither retry replaces the other.
func (b *Bus) ScheduleRetry(ctx context.Context, due time.Time, retry *whispererv1.Retry) error {
	hook, delivery, err := retryIDs(retry)
	if err != nil {
		return err
	}
	return b.schedule(ctx, due, retry, hook, delivery)
}

// PutOff stores that an event of the event log, or of our own, is to be fanned out later. It returns when that is
// stored. Calling it again replaces the earlier time.
func (b *Bus) PutOff(ctx context.Context, until time.Time, e *webhook.Event) error {
	id := webhook.DeliveryID(uuid.Nil, e.Tenant+" "+e.ID)
	return b.schedule(ctx, until, &whispererv1.Retry{
		DeliveryId: id[:], HookId: uuid.Nil[:], Tenant: e.Tenant, EventId: e.ID, EventSeq: uint64(e.Seq), PublishedAt: e.PublishedAt.UnixNano(),
		DueAt: until.UnixNano(),
	}, putOffOf(e.Tenant), id)
}

// putOffOf returns the id that takes the hook's place in the subjects of a tenant's postponed events.
func putOffOf(tenant string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte("put off "+tenant)) }

// HasPutOff reports whether events of the tenant are postponed, or are being fanned out after a postponement.
func (b *Bus) HasPutOff(ctx context.Context, tenant string) (bool, error) {
	stream, err := b.stream(ctx, StreamRetries)
	if err != nil {
		return false, err
	}
	for _, subject := range []string{retryAtPrefix + putOffOf(tenant).String() + ".>", retryDuePrefix + putOffOf(tenant).String()} {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(b.opts.Namespace.Subject(subject)))
		if err != nil {
			return false, fmt.Errorf("count events of tenant %s that are put off: %w", tenant, err)
		}
		if len(info.State.Subjects) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// schedule publishes a retry that is moved to the hook's due subject at the given time.
func (b *Bus) schedule(ctx context.Context, due time.Time, retry *whispererv1.Retry, hook, delivery uuid.UUID) error {
	publishedAt := time.Unix(0, retry.GetPublishedAt())
	data, err := proto.Marshal(retry)
	if err != nil {
		return fmt.Errorf("encode retry: %w", err)
	}
	msg := &nats.Msg{Subject: b.retryAtSubject(hook, delivery, publishedAt), Data: data, Header: nats.Header{
		// formatted here: the client's own option drops the fraction, so the message would fire up to a second early
		headerSchedule:       []string{"@at " + due.UTC().Format(time.RFC3339Nano)},
		headerScheduleTarget: []string{b.opts.Namespace.Subject(retryDuePrefix + hook.String())},
	}}
	if err := b.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("schedule retry of delivery %s: %w", delivery, err)
	}
	return nil
}

// RetryScheduled reports whether a retry of the delivery is scheduled, for the event that was published at
// publishedAt. Earlier releases scheduled by a subject without that time, so it checks that subject too.
func (b *Bus) RetryScheduled(ctx context.Context, hook, delivery uuid.UUID, publishedAt time.Time) (bool, error) {
	stream, err := b.stream(ctx, StreamRetries)
	if err != nil {
		return false, err
	}
	for _, subject := range []string{b.retryAtSubject(hook, delivery, publishedAt), b.oldRetryAtSubject(hook, delivery)} {
		msg, err := stream.GetLastMsgForSubject(ctx, subject)
		var retry whispererv1.Retry
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			continue
		case err != nil:
			return false, fmt.Errorf("look up retry of delivery %s: %w", delivery, err)
		case proto.Unmarshal(msg.Data, &retry) == nil && retry.GetPublishedAt() == publishedAt.UnixNano():
			return true, nil
		}
	}
	return false, nil
}

// PurgeRetries removes all scheduled retries of a hook.
func (b *Bus) PurgeRetries(ctx context.Context, hook uuid.UUID) error {
	stream, err := b.stream(ctx, StreamRetries)
	if err != nil {
		return err
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(b.opts.Namespace.Subject(retryAtPrefix+hook.String()+".>"))); err != nil {
		return fmt.Errorf("purge retries of hook %s: %w", hook, err)
	}
	return nil
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

func (b *Bus) retryAtSubject(hook, delivery uuid.UUID, publishedAt time.Time) string {
	return b.oldRetryAtSubject(hook, delivery) + "." + strconv.FormatInt(publishedAt.UnixMicro(), 10)
}

// oldRetryAtSubject returns the subject used by earlier releases, which did not tell apart events with the same id.
func (b *Bus) oldRetryAtSubject(hook, delivery uuid.UUID) string {
	return b.opts.Namespace.Subject(retryAtPrefix + hook.String() + "." + delivery.String())
}

func retryIDs(r *whispererv1.Retry) (hook, delivery uuid.UUID, err error) {
	if hook, err = uuid.FromBytes(r.GetHookId()); err != nil {
		return hook, delivery, fmt.Errorf("read hook id of retry: %w", err)
	}
	if delivery, err = uuid.FromBytes(r.GetDeliveryId()); err != nil {
		return hook, delivery, fmt.Errorf("read delivery id of retry: %w", err)
	}
	return hook, delivery, nil
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
