// Package fanout reads each event once, finds the hooks that match it, and delivers it to all of them in parallel. An event is
// acknowledged only when each of its deliveries is settled.
package fanout

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

const (
	// batch is the number of events for which one query to the ledger is made.
	batch = 64
	// lookUp is the time limit of the query that checks whether event ids were seen before. No event waits longer for it.
	lookUp = 250 * time.Millisecond
	// askAgain is the interval between queries to a ledger that could not answer.
	askAgain = time.Second
	// askFor is how long a worker keeps an event that waits for the ledger's answer.
	askFor = 10 * time.Second
	// late is the age from which an event may also have been given to another worker, because this worker was suspended or cut
	// off and sent the bus no sign of life.
	late = 15 * time.Second
	// poisonAfter is the number of deliveries after which an event is suspected of crashing the workers that handle it.
	poisonAfter = 5
	// tryTime is the length of the lease for one try of a poison candidate. After that, another try counts as a new one.
	tryTime = time.Second
	// rawLimit is how much of a rejected body is kept.
	rawLimit = 64 << 10
)

// errNotSettled makes the bus redeliver an event.
var errNotSettled = errors.New("event is not settled")

// refresher is implemented by *store.Watch, which keeps the index current.
type refresher interface {
	Refresh(ctx context.Context) error
	StaleAt() (snapshot string)
}

// deliverer makes an event's attempts, or parks its deliveries.
type deliverer interface {
	Deliver(due webhook.Due, bodies *envelope.Bodies, settled func(error), slow func())
	Park(due *webhook.Due, reason webhook.Reason, settled func(error))
}

// seen is implemented by *store.LedgerStore.
type seen interface {
	SeenEvents(ctx context.Context, events []store.Published) (map[store.EventKey]store.SeenEvent, error)
	EventIDs(ctx context.Context, since time.Time, limit int, take func(store.EventKey)) (all bool, err error)
	GiveUp(ctx context.Context, seq webhook.Sequence, publishedAt time.Time) error
}

// rejecter is implemented by *ledger.Writer.
type rejecter interface {
	Rejected(r *whispererv1.RejectedEvent, stored func())
	Stale(s *whispererv1.StaleFanout, stored func())
}

// observer counts what happens to events.
type observer interface {
	FannedOut(tenant string, deliveries int)
	EventRejected(tenant, reason string)
	EventRepeated()
	Unasked(events int)
}

// Deps are a Fanout's collaborators; all but Traces are required.
type Deps struct {
	Hooks     *index.Index
	Refresher refresher
	Types     *schema.Checks
	Deliverer deliverer
	Seen      seen
	History   *ledger.Reader
	// Tries grants a lease for each try of an event that is suspected of crashing workers. A lease's fence counts its holders.
	Tries     lease.Store
	Rejecter  rejecter
	Bus       *bus.Bus
	Evaluator *Evaluator
	Observer  observer
	Log       *zap.Logger
	// From is the stream from which the events come.
	From webhook.Stream
	// Worker is this worker's name as a holder of leases in Tries.
	Worker string
	// DailyIDs is roughly the number of event ids per day that are kept, at 10 bits each, to recognize new ids without the
	// ledger. 0 means as many as a busy worker needs.
	DailyIDs uint
	// Slots bounds the deliveries in progress. Deliveries that wait for their hook, or take long, do not count.
	Slots int
	// Traces receives a span for each event; nil for none.
	Traces *trace.Tracer
}

// Fanout turns events into deliveries.
type Fanout struct {
	Deps
	slots  chan struct{}
	recent recent
	seen   *seenIDs // nil if the ledger is asked for every id
	// unasked reports that the ledger is not queried at present, because it does not answer.
	unasked atomic.Bool
	tried   *semaphore.Weighted // held by the poison candidates being tried; one that is tried alone holds all of it
	open    sync.WaitGroup
	lives   context.Context //nolint:containedctx // that of Run, for those who work for it

	mu     sync.Mutex
	ending context.Context //nolint:containedctx // ends when nothing more is taken
	end    context.CancelFunc
	// unknown holds the events whose tenant this worker does not know. lookingUp reports that lookUpTenants is running.
	unknown   []taken
	lookingUp bool
}

// New returns a Fanout.
func New(d Deps) *Fanout {
	f := &Fanout{Deps: d, slots: make(chan struct{}, d.Slots), tried: semaphore.NewWeighted(alone), lives: context.Background()}
	f.ending, f.end = context.WithCancel(context.Background())
	if d.From == webhook.OMS { // our own events are few: filters for their ids are not worth the memory
		f.seen = newSeenIDs(cmp.Or(d.DailyIDs, dayOfIDs))
	}
	return f
}

// Run fans out events until the subscription has ended, then waits until all of them are settled. When ctx ends, unsettled
// events are abandoned.
func (f *Fanout) Run(ctx context.Context, sub *bus.Subscription) {
	f.lives = ctx
	if f.seen != nil {
		f.open.Go(func() { f.readSeenIDs(f.ending) })
	}
	var messages []bus.Message
	for more := true; more; {
		messages, more = sub.TakeBatch(ctx, messages, batch)
		f.take(ctx, messages)
	}
	f.mu.Lock()
	f.end()
	f.mu.Unlock()
	f.open.Wait()
}

// enter registers work that Run waits for, until leave is called. It returns false if the fan-out is ending.
func (f *Fanout) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending.Err() != nil {
		return false
	}
	f.open.Add(1)
	return true
}

func (f *Fanout) leave() { f.open.Done() }

// taken is a message that could be decoded, with what the fan-out has found out about its event.
type taken struct {
	msg    *bus.Message
	event  *webhook.Event
	digest [32]byte
	// hooks are the hooks that the event goes to, once it is matched. stale is the snapshot up to which this worker knew the
	// hooks when it matched the event, if other workers may no longer have waited for it; otherwise it is empty.
	hooks []*webhook.Hook
	stale string
	again bool // the event was postponed and has come again
}

func (f *Fanout) take(ctx context.Context, messages []bus.Message) {
	list := make([]*bus.Message, 0, len(messages))
	for i := range messages {
		m := messages[i] // a copy: the slice is reused before the message is settled
		if m.Deliveries > poisonAfter {
			f.open.Go(func() { f.tryPoisonCandidate(ctx, &m) })
			continue
		}
		list = append(list, &m)
	}
	f.handle(ctx, list)
}

func (f *Fanout) handle(ctx context.Context, messages []*bus.Message) {
	events := make([]taken, 0, len(messages))
	for _, m := range messages {
		e, ok := f.read(m)
		switch {
		case !ok:
		case !f.Hooks.HasTenant(e.Tenant):
			f.lookUpTenant(taken{msg: m, event: e})
		case f.fits(m, e):
			events = append(events, taken{msg: m, event: e, digest: e.Digest()})
		}
	}
	f.goOn(ctx, events)
}

// goOn fans out events whose tenant is known, except those whose id was seen before.
func (f *Fanout) goOn(ctx context.Context, events []taken) {
	if len(events) == 0 {
		return
	}
	known := f.known(ctx, events)
	var found []taken
	for _, t := range events {
		key := store.EventKey{Tenant: t.event.Tenant, ID: t.event.ID}
		if first, ok := f.first(key, t, known); ok {
			if !bytes.Equal(first.Digest, t.digest[:]) {
				f.reject(t.msg, t.event, envelope.IDConflict, "an event with this id and another body was published within 24 hours")
				continue
			}
			f.Observer.EventRepeated()
			t.msg.Settle(nil)
			continue
		}
		if m, ok := f.match(ctx, t); ok {
			found = append(found, m)
		}
	}
	f.fanOutAll(ctx, found)
}

// read decodes a message. If it does not contain an event, read rejects it.
func (f *Fanout) read(m *bus.Message) (*webhook.Event, bool) {
	published := m.Published()
	e, err := envelope.Decode(published)
	var rejected *envelope.RejectedError
	switch {
	case errors.As(err, &rejected):
		f.reject(m, nil, rejected.Reason, rejected.Error())
		return nil, false
	case err != nil:
		f.reject(m, nil, envelope.Unreadable, err.Error())
		return nil, false
	}
	return &e, true
}

// fits reports whether an event may pass the schema check of its type. If not, fits rejects the event.
func (f *Fanout) fits(m *bus.Message, e *webhook.Event) bool {
	if check := f.Types.Find(e.Tenant, e.Type); check.Rejects(e.PublishedAt) {
		if err := check.Problems(e.Data); err != nil {
			f.reject(m, e, envelope.OffSchema, "the data does not fit the schema of its type: "+err.Error())
			return false
		}
	}
	return true
}

// fanOutAll delivers events to the hooks that match them. Events that may have been delivered before are checked against the
// ledger, so that recorded deliveries are not repeated.
func (f *Fanout) fanOutAll(ctx context.Context, events []taken) {
	var older, fresh []taken
	for _, t := range events {
		switch {
		case t.msg.Redelivered() || t.again && len(t.hooks) > 0:
			f.open.Go(func() { f.resume(ctx, t) }) // the ledger may take a while to answer
		case t.msg.Older: // most of these were delivered before their consumer was re-created
			older = append(older, t)
		default:
			fresh = append(fresh, t)
		}
	}
	if len(older) > 0 {
		f.open.Go(func() { f.resume(ctx, older...) })
	}
	recorded := f.recorded(ctx, fresh)
	for _, t := range fresh {
		f.deliver(t, dues(t, recorded), nil)
	}
}

// dues returns an event's deliveries that are not recorded, or that are recorded as begun but not finished.
func dues(t taken, recorded map[uuid.UUID]store.Recorded) []webhook.Due {
	list := make([]webhook.Due, 0, len(t.hooks))
	for _, h := range t.hooks {
		due := webhook.FirstDue(h, t.event)
		before, known := recorded[due.ID]
		if known && !before.Interrupted() {
			continue
		}
		due.Attempts, due.Unknown = before.Attempts, known || t.msg.Redelivered()
		due.First = !due.Unknown
		list = append(list, due)
	}
	return list
}

// deliver makes an event's deliveries, parks interrupted ones left over from earlier, and finishes the event when all of them
// are settled.
func (f *Fanout) deliver(t taken, dues, left []webhook.Due) {
	f.Observer.FannedOut(t.event.Tenant, len(dues))
	if len(dues)+len(left) == 0 {
		f.finish(t, nil)
		return
	}
	f.open.Add(1)
	span := f.begin(t, len(dues))
	bodies := envelope.NewBodies(t.event)
	var failed atomic.Bool
	var open atomic.Int64
	open.Store(int64(len(dues) + len(left)))
	settled := func(err error) {
		if err != nil {
			failed.Store(true)
		}
		if open.Add(-1) > 0 {
			return
		}
		if failed.Load() {
			span.Fail("not_settled")
			f.finish(t, errNotSettled)
		} else {
			f.finish(t, nil)
		}
		span.End()
		f.open.Done()
	}
	for i := range left {
		f.Deliverer.Park(&left[i], webhook.ReasonHookUnknown, settled)
	}
	for _, due := range dues {
		f.slots <- struct{}{}
		release := sync.OnceFunc(func() { <-f.slots })
		f.Deliverer.Deliver(due, bodies, func(err error) {
			release()
			settled(err)
		}, release)
	}
}

// begin starts the span of an event's fan-out, which ends when all of its deliveries are settled. The span is the parent of the
// attempts, including retries, because these carry the event's traceparent.
func (f *Fanout) begin(t taken, deliveries int) trace.Span {
	if !f.Traces.On() {
		return trace.Span{}
	}
	span := f.Traces.Start(trace.Consumer, "fan out", t.event.Traceparent, t.event.Tracestate,
		trace.String("messaging.system", "nats"), trace.String("messaging.destination.name", t.msg.Subject),
		trace.String("messaging.operation.type", "process"), trace.String("messaging.operation.name", "fan out"),
		trace.String("messaging.consumer.group.name", "fanout"), trace.String("messaging.message.id", t.event.ID),
		trace.Int("messaging.message.body.size", len(t.msg.Data)),
		trace.String("whisperer.tenant", t.event.Tenant), trace.String("whisperer.event.id", t.event.ID),
		trace.String("whisperer.event.type", t.event.Type), trace.Int("whisperer.deliveries", deliveries))
	t.event.Traceparent = span.Traceparent()
	return span
}

// reject records a message as a rejected event and then acknowledges it. e is nil if the message could not be decoded.
func (f *Fanout) reject(m *bus.Message, e *webhook.Event, reason envelope.Reason, detail string) {
	tenant, about := m.Published().Tenant, trace.Message(m.Header)
	if e != nil {
		about = trace.Event(e)
	}
	known := tenant
	if !f.Hooks.HasTenant(tenant) { // the publisher may have made the name up: keep it out of the metrics
		known = ""
	}
	f.Observer.EventRejected(known, string(reason))
	f.Log.Warn("event rejected", about, zap.Uint64("seq", m.Seq), zap.String("subject", m.Subject), zap.String("reason", string(reason)),
		zap.String("detail", detail))
	r := &whispererv1.RejectedEvent{
		Seq: uint64(m.Place()), PublishedAt: m.PublishedAt.UnixNano(), Subject: m.Subject, Tenant: tenant, Reason: string(reason),
		Detail: detail, Raw: m.Data[:min(len(m.Data), rawLimit)], Size: uint32(len(m.Data)), //nolint:gosec // bounded by the bus
	}
	for name, values := range m.Headers() {
		for _, v := range values {
			r.Headers = append(r.Headers, &whispererv1.Header{Name: name, Value: v})
		}
	}
	f.open.Add(1)
	f.Rejecter.Rejected(r, func() {
		m.Settle(nil)
		f.open.Done()
	})
}
