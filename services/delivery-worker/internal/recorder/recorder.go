// Package recorder writes the ledger to Postgres: facts from the LEDGER stream, events from the OMS stream. Messages
// are acked after the commit.
package recorder

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/schema"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

const (
	// factBatches and eventBatch bound what goes into one transaction.
	factBatches = 32
	eventBatch  = 1000
	// linger lets an event be delivered before it is recorded: nobody waits for its record, and where little happens its
	// transaction would take the processors from the delivery.
	linger = 10 * time.Millisecond
	// again is how long a recorder waits after Postgres could not be written.
	again = time.Second
)

// writer is implemented by *postgres.Recorder.
type writer interface {
	WriteFacts(ctx context.Context, batches []*whispererv1.LedgerBatch) error
	WriteEvents(ctx context.Context, events []webhook.Event) error
}

// observer counts.
type observer interface {
	Recorded(what string, n int, took time.Duration)
	Unrecordable(what string)
	OffSchema(events int)
}

// checker is implemented by *schema.Checks.
type checker interface {
	Find(tenant, eventType string) *schema.Check
}

// Recorder writes with one connection; run as many as the database likes.
type Recorder struct {
	writer   writer
	types    checker
	observer observer
	log      *zap.Logger
}

// New makes a recorder.
func New(w writer, types checker, o observer, log *zap.Logger) *Recorder {
	return &Recorder{writer: w, types: types, observer: o, log: log}
}

// RunFacts writes facts until the subscription has ended or ctx is done.
func (r *Recorder) RunFacts(ctx context.Context, sub *bus.Subscription) {
	r.run(ctx, sub, "facts", factBatches, func(ctx context.Context, messages []bus.Message) error {
		batches := make([]*whispererv1.LedgerBatch, 0, len(messages))
		for _, m := range messages {
			b := &whispererv1.LedgerBatch{}
			if err := proto.Unmarshal(m.Data, b); err != nil {
				r.log.Error("facts cannot be read", zap.Uint64("seq", m.Seq), zap.Error(err))
				r.observer.Unrecordable("facts")
				continue
			}
			batches = append(batches, b)
		}
		return r.writer.WriteFacts(ctx, batches)
	})
}

// RunEvents writes events until the subscription has ended or ctx is done. What is no event is the fan-out's to reject;
// events that the schema of their type has something against are marked.
func (r *Recorder) RunEvents(ctx context.Context, sub *bus.Subscription) {
	sub.Linger(linger)
	r.run(ctx, sub, "events", eventBatch, func(ctx context.Context, messages []bus.Message) error {
		events, marked := make([]webhook.Event, 0, len(messages)), 0
		for _, m := range messages {
			tenant, eventType := bus.SplitEventSubject(m.Subject)
			e, err := envelope.Decode(envelope.Published{
				Tenant: tenant, Type: eventType, Headers: m.Headers(), Body: m.Data, Seq: m.Seq, PublishedAt: m.PublishedAt,
			})
			if err != nil || !r.check(&e) {
				continue
			}
			if events = append(events, e); len(e.SchemaProblems) > 0 {
				marked++
			}
		}
		if len(events) == 0 {
			return nil
		}
		if err := r.writer.WriteEvents(ctx, events); err != nil {
			return err
		}
		r.observer.OffSchema(marked)
		return nil
	})
}

// check marks the event with what the schema of its type has against it; false means that the fan-out rejects it.
func (r *Recorder) check(e *webhook.Event) bool {
	check := r.types.Find(e.Tenant, e.Type)
	var invalid *webhook.ValidationError
	if !errors.As(check.Problems(e.Data), &invalid) {
		return true
	}
	e.SchemaProblems = invalid.Fields
	return !check.Rejects(e.PublishedAt)
}

func (r *Recorder) run(ctx context.Context, sub *bus.Subscription, what string, limit int, write func(context.Context, []bus.Message) error) {
	var messages []bus.Message
	for more := true; more; {
		messages, more = sub.TakeBatch(ctx, messages, limit)
		if len(messages) == 0 {
			continue
		}
		started := time.Now()
		err := write(ctx, messages)
		if err == nil {
			r.observer.Recorded(what, len(messages), time.Since(started))
			r.ack(messages)
			continue
		}
		r.log.Warn("ledger could not be written", zap.String("what", what), zap.Int("messages", len(messages)), zap.Error(err))
		if len(messages) > 1 && !errors.Is(err, postgres.ErrUnavailable) && ctx.Err() == nil {
			r.oneByOne(ctx, what, messages, write)
			continue
		}
		r.giveBack(ctx, what, messages, err)
	}
}

// oneByOne finds the message that the others of its batch suffer from.
func (r *Recorder) oneByOne(ctx context.Context, what string, messages []bus.Message, write func(context.Context, []bus.Message) error) {
	for i := range messages {
		one := messages[i : i+1]
		if err := write(ctx, one); err != nil {
			r.giveBack(ctx, what, one, err)
			continue
		}
		r.ack(one)
	}
}

// unrecordableAfter is how often a message that Postgres refuses is tried before it is put aside.
const unrecordableAfter = 5

// giveBack lets the messages come again; one that Postgres refuses again and again, while it takes others, is put aside.
func (r *Recorder) giveBack(ctx context.Context, what string, messages []bus.Message, cause error) {
	if len(messages) == 1 && messages[0].Deliveries >= unrecordableAfter && !errors.Is(cause, postgres.ErrUnavailable) && ctx.Err() == nil {
		r.log.Error("ledger entry cannot be recorded", zap.String("what", what), zap.Uint64("seq", messages[0].Seq), zap.Error(cause))
		r.observer.Unrecordable(what)
		r.ack(messages)
		return
	}
	for i := range messages {
		if err := messages[i].HandBack(again); err != nil {
			r.log.Warn("ledger entry could not be handed back", zap.Error(err))
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(again):
	}
}

func (r *Recorder) ack(messages []bus.Message) {
	for i := range messages {
		if err := messages[i].Ack(); err != nil {
			r.log.Warn("ledger entry could not be acked", zap.Error(err))
			return
		}
	}
}
