// Package recorder writes the ledger to PostgreSQL: facts from the LEDGER stream, and events from the OMS stream. Messages are
// acknowledged after the commit.
package recorder

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
)

const (
	// factBatches and eventBatch bound the number of messages per transaction.
	factBatches = 32
	eventBatch  = 1000
	// eventLinger is the time for which an event is left to be delivered before it is recorded. It is short, because until then
	// other workers do not know the event's id and would deliver an event with the same id and another body. quiet and linger
	// let deliveries that succeed at the first attempt share a transaction, which costs many times as much as a row. Nobody
	// waits for these facts.
	eventLinger   = 20 * time.Millisecond
	quiet, linger = 100 * time.Millisecond, 500 * time.Millisecond
	// again is the interval between retries of a failed operation.
	again = time.Second
	// writeTime is the time limit of a transaction, because meanwhile its messages are missing from the ledger, and another
	// worker may be able to write them. probeTime is the time limit of the probe that checks whether this worker can write
	// again.
	writeTime = 10 * time.Second
	probeTime = 5 * time.Second
	// logPause is the minimum interval between log lines about failed writes.
	logPause = 5 * time.Second
	// mostPatience is the longest time that a single message may take when the database is very slow.
	mostPatience = time.Minute
)

// writer is implemented by *store.Recorder.
type writer interface {
	WriteFacts(ctx context.Context, batches []*whispererv1.LedgerBatch) error
	WriteEvents(ctx context.Context, events []webhook.Event) error
	Probe(ctx context.Context) error
}

// observer counts written messages.
type observer interface {
	Recorded(what string, n int, took time.Duration)
	SetAside(what string)
	OffSchema(events int)
}

// Recorder writes facts and events with one connection. Several may run at once.
type Recorder struct {
	writer   writer
	bus      *bus.Bus
	types    *schema.Checks
	observer observer
	log      *zap.Logger
}

// New returns a Recorder.
func New(w writer, b *bus.Bus, types *schema.Checks, o observer, log *zap.Logger) *Recorder {
	return &Recorder{writer: w, bus: b, types: types, observer: o, log: log}
}

// RunFacts writes facts until the subscription has ended or ctx is done.
func (r *Recorder) RunFacts(ctx context.Context, sub *bus.Subscription) {
	sub.Linger(bus.Linger{Quiet: quiet, Most: linger})
	r.run(ctx, sub, bus.AsideFacts, factBatches, func(ctx context.Context, messages []bus.Message) error {
		batches := make([]*whispererv1.LedgerBatch, 0, len(messages))
		for i := range messages {
			b := &whispererv1.LedgerBatch{}
			if err := proto.Unmarshal(messages[i].Data, b); err != nil {
				return &unreadableError{at: i, cause: err}
			}
			batches = append(batches, b)
		}
		return r.writer.WriteFacts(ctx, batches)
	})
}

// RunEvents writes events until the subscription has ended or ctx is done. Fan-out rejects messages that are not events; events that
// violate the schema of their type are marked.
func (r *Recorder) RunEvents(ctx context.Context, sub *bus.Subscription) {
	sub.Linger(bus.Linger{Quiet: eventLinger, Most: eventLinger})
	r.run(ctx, sub, bus.AsideEvents, eventBatch, func(ctx context.Context, messages []bus.Message) error {
		events, marked := make([]webhook.Event, 0, len(messages)), 0
		for i := range messages {
			e, err := envelope.Decode(messages[i].Published())
			if err != nil || !r.types.Find(e.Tenant, e.Type).Mark(&e) {
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

// unreadableError reports a message that cannot be decoded, by its index in the batch.
type unreadableError struct {
	at    int
	cause error
}

func (e *unreadableError) Error() string { return "it cannot be decoded: " + e.cause.Error() }

// run writes messages until the subscription has ended or ctx is done.
func (r *Recorder) run(ctx context.Context, sub *bus.Subscription, what string, limit int, write func(context.Context, []bus.Message) error) {
	b := &book{Recorder: r, sub: sub, what: what, write: write, most: limit, limit: limit, patience: writeTime, refused: map[uint64]uint64{}}
	var messages []bus.Message
	for more := true; more; {
		if messages, more = sub.TakeBatch(ctx, messages, b.limit); len(messages) == 0 {
			continue
		}
		if left, err := b.record(ctx, messages); err != nil {
			b.stand(ctx, left, err)
		}
	}
}
