// Package fanout takes each event once, finds the hooks that it goes to, and delivers it to all of them in parallel. An event is
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
	// batch is the number of events that one query to the ledger looks up.
	batch = 64
	// lookUp bounds the query whether an id was seen before: an event does not wait longer for it.
	lookUp = 250 * time.Millisecond
	// askAgain is the interval between queries to a ledger that could not answer.
	askAgain = time.Second
	// askFor is for how long a worker keeps an event that waits for the ledger.
	askFor = 10 * time.Second
	// late is the age from which another worker may have got the event as well, because the bus had no sign of life from this one
	// while it was suspended or cut off.
	late = 15 * time.Second
	// poisonAfter is how often an event may come before it is suspected to kill its workers.
	poisonAfter = 5
	// tryTime is the time after which another try of a poison candidate counts as a new one.
	tryTime = time.Second
	// rawLimit is how much of a rejected body is kept.
	rawLimit = 64 << 10
)

// errNotSettled causes an event to be redelivered.
var errNotSettled = errors.New("event is not settled")

// refresher is implemented by *store.Watch, which keeps the index current.
type refresher interface {
	Refresh(ctx context.Context) error
	StaleAt() (snapshot string)
}

// deliverer makes the attempts.
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

// rejecter is the ledger's writer.
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
	// Tries has the leases of events that are tried again; a lease's fence counts its holders.
	Tries     lease.Store
	Rejecter  rejecter
	Bus       *bus.Bus
	Evaluator *Evaluator
	Observer  observer
	Log       *zap.Logger
	// From is the stream that the events come from.
	From webhook.Stream
	// Worker is the holder of the leases in Tries.
	Worker string
	// DailyIDs is roughly the number of event ids per day that are kept, at 10 bits each, to recognise new ones without the ledger; 0
	// means as many as a busy worker needs.
	DailyIDs uint
	// Slots bounds the deliveries in progress that neither wait for their hook nor are slow.
	Slots int
	// Traces gets a span for each event; nil for none.
	Traces *trace.Tracer
}

// Fanout turns events into deliveries.
type Fanout struct {
	Deps
	slots  chan struct{}
	recent recent
	seen   *seenIDs // nil where the ledger is asked for every id
	// unasked reports that the ledger is not queried at present, because it does not answer.
	unasked atomic.Bool
	tried   *semaphore.Weighted // of the events that came too often; one that is tried alone takes all of it
	open    sync.WaitGroup
	lives   context.Context //nolint:containedctx // that of Run, for those who work for it

	mu     sync.Mutex
	ending context.Context //nolint:containedctx // ends when nothing more is taken
	end    context.CancelFunc
	// unknown are events whose tenant is not known, lookingUp says that somebody looks their tenants up.
	unknown   []taken
	lookingUp bool
}

// New returns a Fanout.
func New(d Deps) *Fanout {
	f := &Fanout{Deps: d, slots: make(chan struct{}, d.Slots), tried: semaphore.NewWeighted(alone), lives: context.Background()}
	f.ending, f.end = context.WithCancel(context.Background())
	if d.From == webhook.OMS { // of what we publish ourselves there is little, and its ids are not worth the memory
		f.seen = newSeenIDs(cmp.Or(d.DailyIDs, dayOfIDs))
	}
	return f
}

// Run takes events until the subscription has ended, then waits until all of them are settled. When ctx ends, they are abandoned.
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

// enter registers work for the fan-out, until leave is called; it returns false if the fan-out is ending.
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

// taken is a message that could be read.
type taken struct {
	msg    *bus.Message
	event  *webhook.Event
	digest [32]byte
	// hooks are those that the event goes to, once it is matched; stale is the snapshot up to which this worker knew of hooks, if
	// other workers may no longer have waited for it.
	hooks []*webhook.Hook
	stale string
	again bool // the event was put off
}

func (f *Fanout) take(ctx context.Context, messages []bus.Message) {
	list := make([]*bus.Message, 0, len(messages))
	for i := range messages {
		m := messages[i] // settled long after the batch is used again
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

// goOn continues with events of known tenants.
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

// read decodes a message, and rejects it if it is not an event.
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

// fits reports whether an event may pass the schema check of its type, and rejects it otherwise.
func (f *Fanout) fits(m *bus.Message, e *webhook.Event) bool {
	if check := f.Types.Find(e.Tenant, e.Type); check.Rejects(e.PublishedAt) {
		if err := check.Problems(e.Data); err != nil {
			f.reject(m, e, envelope.OffSchema, "the data does not fit the schema of its type: "+err.Error())
			return false
		}
	}
	return true
}

// fanOutAll delivers events to all matching hooks, except deliveries that are already recorded.
func (f *Fanout) fanOutAll(ctx context.Context, events []taken) {
	var older, fresh []taken
	for _, t := range events {
		switch {
		case t.msg.Redelivered() || t.again && len(t.hooks) > 0:
			f.open.Go(func() { f.resume(ctx, t) }) // asking the ledger may take a while
		case t.msg.Older: // most of them were delivered before their consumer was made again
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

// dues returns the deliveries of an event that are not recorded, or recorded only as begun.
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

// deliver makes an event's deliveries, parks interrupted ones left over from earlier, and settles the message when all are settled.
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

// begin starts the span of an event's fan-out, which ends when all of its deliveries are settled. It is the parent of their attempts,
// including retries, because these carry the event.
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

// reject rejects the contents of a message; the event is nil if they cannot be read.
func (f *Fanout) reject(m *bus.Message, e *webhook.Event, reason envelope.Reason, detail string) {
	tenant, about := m.Published().Tenant, trace.Message(m.Header)
	if e != nil {
		about = trace.Event(e)
	}
	known := tenant
	if !f.Hooks.HasTenant(tenant) { // anybody may have made it up
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
