package fanout_test

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/fanout"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// stage is a fan-out with a real nats-server and a real database. The test decides the outcome of the deliveries.
type stage struct {
	testenv.Stage

	t     *testing.T
	hooks *index.Index
	types *schema.Checks
	sub   *bus.Subscription
	seen  *asked

	// unanswered is the number of look-ups of deliveries that still fail.
	unanswered atomic.Int64

	// watch reads tenants from the database. A test that wants an outdated index does not run it.
	watch *store.Watch
	// refresher, if not nil, is used instead of watch.
	refresher interface {
		Refresh(ctx context.Context) error
		StaleAt() string
	}

	mu        sync.Mutex
	dues      []webhook.Due
	parked    []webhook.Due
	rejected  []*whispererv1.RejectedEvent
	stale     []*whispererv1.StaleFanout
	tell      chan struct{} // if not nil, Stale facts are stored only after it is closed
	repeated  int
	unasked   int
	evaluator *fanout.Evaluator
	fanout    *fanout.Fanout
	units     uint64
	failed    []error
	putOff    int
	// deliver decides the outcome of a delivery; nil settles it at once.
	deliver func(due webhook.Due, settled func(error), slow func())
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Stage: testenv.NewStage(t), t: t, hooks: index.New(nil), types: schema.NewChecks(func(string) json.RawMessage { return nil }, zap.NewNop())}
	s.seen = &asked{LedgerStore: s.DB.Ledger}
	var err error
	s.hooks.SetTenant("acme", true)
	s.watch, err = s.DB.Hooks.Watch(store.WatchOptions{Hooks: added{s.hooks}, Log: zap.NewNop()})
	require.NoError(t, err)
	return s
}

// added adds the database's hooks and tenants to the index, beside those of the test.
type added struct{ *index.Index }

func (x added) Replace(hooks []*webhook.Hook, names []string) {
	for _, name := range names {
		x.SetTenant(name, true)
	}
	for _, h := range hooks {
		x.Put(*h)
	}
}

func (x added) SetTenant(name string, there bool) {
	if there {
		x.Index.SetTenant(name, true)
	}
}

func (x added) PutBacklog(uuid.UUID) {}

// know runs the watch until the test ends.
func (s *stage) know() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.watch.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// start runs the fan-out. stop ends it and waits until all events are settled.
func (s *stage) start(slots int) (stop func()) {
	s.t.Helper()
	var err error
	s.sub, err = s.Bus.Subscribe(s.t.Context(), bus.Fanout, bus.Room{Messages: 64})
	require.NoError(s.t, err)
	refresher := s.refresher
	if refresher == nil {
		refresher = s.watch
	}
	if s.evaluator == nil {
		s.evaluator = fanout.NewEvaluator(0, 1, s, zap.NewNop())
	}
	s.fanout = fanout.New(fanout.Deps{
		Hooks: s.hooks, Refresher: refresher, Types: s.types, Deliverer: s, Seen: s.seen, History: ledger.NewReader(lookUps{s.DB.Ledger, s}, s.DB.History, s.Bus), Tries: s.DB.Leases, Worker: "w-1", Rejecter: s, Bus: s.Bus, Evaluator: s.evaluator, Observer: s, Log: zap.NewNop(), Slots: slots,
	})
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		s.fanout.Run(ctx, s.sub)
	}()
	stop = sync.OnceFunc(func() {
		s.sub.Stop()
		<-ended
	})
	s.t.Cleanup(func() {
		cancel()
		stop()
	})
	return stop
}

// lookUps is a ledger whose first look-ups fail.
type lookUps struct {
	*store.LedgerStore
	s *stage
}

func (l lookUps) Recorded(ctx context.Context, keys []store.DeliveryKey) (map[uuid.UUID]store.Recorded, error) {
	if l.s.unanswered.Add(-1) >= 0 {
		return nil, store.ErrUnavailable
	}
	return l.LedgerStore.Recorded(ctx, keys)
}

func (s *stage) Deliver(due webhook.Due, bodies *envelope.Bodies, settled func(error), slow func()) {
	if _, err := bodies.Get(webhook.FormatOMS, nil); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.dues = append(s.dues, due)
	deliver := s.deliver
	s.mu.Unlock()
	if deliver == nil {
		settled(nil)
		return
	}
	deliver(due, settled, slow)
}

func (s *stage) Park(due *webhook.Due, _ webhook.Reason, settled func(error)) {
	s.mu.Lock()
	s.parked = append(s.parked, *due)
	s.mu.Unlock()
	settled(nil)
}

func (s *stage) Rejected(r *whispererv1.RejectedEvent, stored func()) {
	s.mu.Lock()
	s.rejected = append(s.rejected, r)
	s.mu.Unlock()
	stored()
}

func (s *stage) Stale(told *whispererv1.StaleFanout, stored func()) {
	s.mu.Lock()
	s.stale = append(s.stale, told)
	tell := s.tell
	s.mu.Unlock()
	go func() {
		if tell != nil {
			<-tell
		}
		stored()
	}()
}

func (s *stage) FannedOut(string, int) {}

func (s *stage) FilterCost(units uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.units += units
}

func (*stage) TransformFailed(*webhook.Hook, *webhook.Event, error) {}

func (s *stage) FilterFailed(_ *webhook.Hook, _ *webhook.Event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, err)
}

func (s *stage) PutOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putOff++
}

func (s *stage) EventRejected(string, string) {}

func (s *stage) EventRepeated() {
	s.mu.Lock()
	s.repeated++
	s.mu.Unlock()
}

func (s *stage) Unasked(events int) {
	s.mu.Lock()
	s.unasked += events
	s.mu.Unlock()
}

func (s *stage) delivered() []webhook.Due {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]webhook.Due(nil), s.dues...)
}

// count returns the number of deliveries made.
func (s *stage) count() int { return len(s.delivered()) }

// publish publishes events of type order.created with these bodies.
func (s *stage) publish(bodies ...string) {
	s.t.Helper()
	events := make([]bus.Outgoing, len(bodies))
	for i, body := range bodies {
		events[i] = bus.Outgoing{Tenant: "acme", Type: "order.created", Body: []byte(body)}
	}
	require.NoError(s.t, s.Bus.PublishEvents(s.t.Context(), events))
}

// awaitSettled waits until every event is settled.
func (s *stage) awaitSettled() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		lag, err := s.Bus.Lag(s.t.Context(), bus.Fanout)
		return err == nil && lag.Settled == lag.Last && lag.InFlight == 0
	}, time.Minute, 5*time.Millisecond)
}

func (s *stage) hook(types ...string) webhook.Hook {
	h := testenv.Hook(s.t, "https://example.com/", func(h *webhook.Hook) {
		h.ID, h.Tenant, h.EventTypes, h.CreatedAt = uuid.New(), "acme", types, time.Now().Add(-time.Hour)
	})
	s.hooks.Put(h)
	return h
}

// record records a fact about the delivery to hook of the event with this sequence.
func (s *stage) record(seq uint64, hook uuid.UUID, f *whispererv1.DeliveryFact) {
	s.t.Helper()
	stored, err := s.Bus.Event(s.t.Context(), webhook.Sequence(seq))
	require.NoError(s.t, err)
	id := webhook.DeliveryID(hook, f.GetEventId())
	f.DeliveryId, f.HookId, f.Tenant, f.EventSeq = id[:], hook[:], "acme", seq
	f.PublishedAt, f.At = stored.PublishedAt.UnixNano(), time.Now().UnixNano()
	recorder := s.DB.Ledger.NewRecorder()
	defer recorder.Close()
	require.NoError(s.t, recorder.WriteFacts(s.t.Context(), []*whispererv1.LedgerBatch{{Facts: []*whispererv1.DeliveryFact{f}}}))
}

// recordEvent records the event with this sequence.
func (s *stage) recordEvent(seq uint64) {
	s.t.Helper()
	stored, err := s.Bus.Event(s.t.Context(), webhook.Sequence(seq))
	require.NoError(s.t, err)
	e, err := envelope.Decode(stored)
	require.NoError(s.t, err)
	recorder := s.DB.Ledger.NewRecorder()
	defer recorder.Close()
	require.NoError(s.t, recorder.WriteEvents(s.t.Context(), []webhook.Event{e}))
}

// takenElsewhere has another worker take and settle the next message. Messages that it prefetched go back to the bus.
func (s *stage) takenElsewhere(c bus.Consumer) bus.Message {
	s.t.Helper()
	other, err := s.Bus.Subscribe(s.t.Context(), c, bus.Room{Messages: 1})
	require.NoError(s.t, err)
	messages, ok := other.TakeBatch(s.t.Context(), nil, 1)
	require.True(s.t, ok)
	taken := messages[0]
	require.NoError(s.t, taken.Ack())
	other.Stop()
	for ok {
		if messages, ok = other.TakeBatch(s.t.Context(), nil, 1); ok {
			require.NoError(s.t, messages[0].HandBack(0))
		}
	}
	return taken
}
