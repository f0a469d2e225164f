package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Retries gives access to deliveries and events that are scheduled for a later time.
type Retries struct{ b *Bus }

// Retries returns the bus's retries.
func (b *Bus) Retries() Retries { return Retries{b} }

// Schedule returns when the retry is stored, to become due at the given time. It replaces an earlier schedule of
// the same delivery of the same event. If an event id is used again after a long time, that is another event although
// the delivery ids are the same, so neither retry replaces the other.
func (r Retries) Schedule(ctx context.Context, due time.Time, retry *whispererv1.Retry) error {
	hook, delivery, err := retryIDs(retry)
	if err != nil {
		return err
	}
	return r.schedule(ctx, due, retry, hook, delivery)
}

// Scheduled reports whether a retry of the delivery is scheduled, for the event that was published at
// publishedAt. Earlier releases scheduled by a subject without that time, so it checks that subject too.
func (r Retries) Scheduled(ctx context.Context, hook, delivery uuid.UUID, publishedAt time.Time) (bool, error) {
	stream, err := r.b.stream(ctx, StreamRetries)
	if err != nil {
		return false, err
	}
	for _, subject := range []string{r.retryAtSubject(hook, delivery, publishedAt), r.oldRetryAtSubject(hook, delivery)} {
		if msg, err := retryAt(ctx, stream, subject, publishedAt); err != nil || msg != nil {
			return msg != nil, err
		}
	}
	return false, nil
}

// Purge removes all scheduled retries of a hook.
func (r Retries) Purge(ctx context.Context, hook uuid.UUID) error {
	stream, err := r.b.stream(ctx, StreamRetries)
	if err != nil {
		return err
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(r.b.opts.Namespace.Subject(retryAtPrefix+hook.String()+".>"))); err != nil {
		return fmt.Errorf("purge retries of hook %s: %w", hook, err)
	}
	return nil
}

// Waiting counts the deliveries that wait for their next attempt, including those that have just become due.
func (r Retries) Waiting(ctx context.Context) (uint64, error) {
	stream, err := r.b.stream(ctx, StreamRetries)
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}

// Due counts the hook's retries that are due but not settled.
func (r Retries) Due(ctx context.Context, hook uuid.UUID) (uint64, error) {
	stream, err := r.b.stream(ctx, StreamRetries)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(r.b.opts.Namespace.Subject(retryDuePrefix+hook.String())))
	if err != nil {
		return 0, fmt.Errorf("count due retries of hook %s: %w", hook, err)
	}
	var n uint64
	for _, count := range info.State.Subjects {
		n += count
	}
	return n, nil
}

// PutOff stores that an event of the event log, or of our own, is to be fanned out later. It returns when that is
// stored. Calling it again replaces the earlier time.
func (r Retries) PutOff(ctx context.Context, until time.Time, e *webhook.Event) error {
	id := webhook.DeliveryID(uuid.Nil, e.Tenant+" "+e.ID)
	return r.schedule(ctx, until, &whispererv1.Retry{
		DeliveryId: id[:], HookId: uuid.Nil[:], Tenant: e.Tenant, EventId: e.ID, EventSeq: uint64(e.Seq), PublishedAt: e.PublishedAt.UnixNano(),
		DueAt: until.UnixNano(),
	}, putOffOf(e.Tenant), id)
}

// putOffOf returns the id that takes the hook's place in the subjects of a tenant's postponed events.
func putOffOf(tenant string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte("put off "+tenant)) }

// HasPutOff reports whether events of the tenant are postponed, or are being fanned out after a postponement.
func (r Retries) HasPutOff(ctx context.Context, tenant string) (bool, error) {
	stream, err := r.b.stream(ctx, StreamRetries)
	if err != nil {
		return false, err
	}
	for _, subject := range []string{retryAtPrefix + putOffOf(tenant).String() + ".>", retryDuePrefix + putOffOf(tenant).String()} {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(r.b.opts.Namespace.Subject(subject)))
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
func (r Retries) schedule(ctx context.Context, due time.Time, retry *whispererv1.Retry, hook, delivery uuid.UUID) error {
	publishedAt := time.Unix(0, retry.GetPublishedAt())
	data, err := proto.Marshal(retry)
	if err != nil {
		return fmt.Errorf("encode retry: %w", err)
	}
	msg := &nats.Msg{Subject: r.retryAtSubject(hook, delivery, publishedAt), Data: data, Header: nats.Header{
		// formatted here: the client's own option drops the fraction, so the message would fire up to a second early
		headerSchedule:       []string{"@at " + due.UTC().Format(time.RFC3339Nano)},
		headerScheduleTarget: []string{r.b.opts.Namespace.Subject(retryDuePrefix + hook.String())},
	}}
	if err := r.b.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("schedule retry of delivery %s: %w", delivery, err)
	}
	return nil
}

// retryAt returns the scheduled retry at a subject; nil if there is none, or it is of an event published at another time. Times are
// compared in microseconds, the database's precision.
func retryAt(ctx context.Context, stream jetstream.Stream, subject string, publishedAt time.Time) (*jetstream.RawStreamMsg, error) {
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("look up retry at %s: %w", subject, err)
	}
	var retry whispererv1.Retry
	if proto.Unmarshal(msg.Data, &retry) != nil || retry.GetPublishedAt()/1000 != publishedAt.UnixMicro() {
		return nil, nil //nolint:nilnil,nilerr // it is no retry of this delivery
	}
	return msg, nil
}

// Erase overwrites the scheduled retry of a delivery.
func (r Retries) Erase(ctx context.Context, hook, delivery uuid.UUID, publishedAt time.Time) (Wiped, error) {
	stream, err := r.b.stream(ctx, StreamRetries)
	if err != nil {
		return Absent, err
	}
	result := Absent
	for _, subject := range []string{r.retryAtSubject(hook, delivery, publishedAt), r.oldRetryAtSubject(hook, delivery)} {
		msg, err := retryAt(ctx, stream, subject, publishedAt)
		if err != nil {
			return result, err
		}
		if msg == nil {
			continue
		}
		if result, err = wipe(ctx, stream, msg.Sequence); err != nil {
			return result, err
		}
		if result == Kept { // there is one message per subject
			if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
				return result, fmt.Errorf("delete retry of delivery %s: %w", delivery, err)
			}
			result = Deleted
		}
	}
	return result, nil
}

// EraseDue overwrites those of the hook's due retries for which is returns true. With uuid.Nil it searches our own
// events that wait to be published. A worker that is processing an erased retry finishes it; it is not redelivered.
func (r Retries) EraseDue(ctx context.Context, hook uuid.UUID, is func(*whispererv1.Retry) bool) (map[Wiped]int64, error) {
	subjects := []string{r.b.opts.Namespace.Subject(retryDuePrefix + hook.String())}
	if hook == uuid.Nil {
		subjects = append(subjects, r.b.opts.Namespace.Subject(retryAtPrefix+hook.String()+".>"))
	}
	counts := map[Wiped]int64{}
	for _, subject := range subjects {
		err := r.b.each(ctx, StreamRetries, subject, func(stream jetstream.Stream, msg *jetstream.RawStreamMsg) error {
			var retry whispererv1.Retry
			if proto.Unmarshal(msg.Data, &retry) != nil || !is(&retry) {
				return nil //nolint:nilerr // what cannot be read is no retry of ours
			}
			done, err := wipe(ctx, stream, msg.Sequence)
			counts[done]++
			return err
		})
		if err != nil {
			return counts, err
		}
	}
	return counts, nil
}

func (r Retries) retryAtSubject(hook, delivery uuid.UUID, publishedAt time.Time) string {
	return r.oldRetryAtSubject(hook, delivery) + "." + strconv.FormatInt(publishedAt.UnixMicro(), 10)
}

// oldRetryAtSubject returns the subject used by earlier releases, which did not tell apart events with the same id.
func (r Retries) oldRetryAtSubject(hook, delivery uuid.UUID) string {
	return r.b.opts.Namespace.Subject(retryAtPrefix + hook.String() + "." + delivery.String())
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
