package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/schema"
	"github.com/whisperer-oms/whisperer/pkg/seal"
	"github.com/whisperer-oms/whisperer/pkg/testenv"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/fanout"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// stage is a fan-out between a real nats-server and a real database. The attempts are the test's.
type stage struct {
	t     *testing.T
	bus   *bus.Bus
	db    *postgres.DB
	hooks *index.Index
	types *schema.Checks
	sub   *bus.Subscription

	mu       sync.Mutex
	dues     []webhook.Due
	rejected []*whispererv1.RejectedEvent
	repeated int
	// deliver is what becomes of a delivery; nil settles it at once.
	deliver func(due webhook.Due, settled func(error), slow func())
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	s := &stage{t: t, hooks: index.New(nil), types: schema.NewChecks(func(string) json.RawMessage { return nil }, zap.NewNop())}
	s.db, err = postgres.Open(testenv.Postgres(t), 4, ring)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.db.Close()) })
	s.bus, err = bus.Connect(t.Context(), bus.Options{URL: testenv.NATS(t), Name: t.Name(), Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(s.bus.Close)
	require.NoError(t, s.bus.EnsureTopology(t.Context()))
	s.hooks.PutTenant("acme")
	return s
}

// start runs the fan-out; stop ends taking and waits until all is settled.
func (s *stage) start(slots int) (stop func()) {
	s.t.Helper()
	var err error
	s.sub, err = s.bus.Subscribe(s.t.Context(), bus.Fanout, 64)
	require.NoError(s.t, err)
	f := fanout.New(fanout.Deps{
		Hooks: s.hooks, Types: s.types, Deliverer: s, Seen: s.db, History: ledger.NewReader(s.db, s.bus), Tries: s.db, Worker: "w-1", Rejecter: s, Observer: s, Log: zap.NewNop(), Slots: slots,
	})
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		f.Run(ctx, s.sub)
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

func (s *stage) Rejected(r *whispererv1.RejectedEvent, stored func()) {
	s.mu.Lock()
	s.rejected = append(s.rejected, r)
	s.mu.Unlock()
	stored()
}

func (s *stage) FannedOut(int)        {}
func (s *stage) EventRejected(string) {}

func (s *stage) EventRepeated() {
	s.mu.Lock()
	s.repeated++
	s.mu.Unlock()
}

func (s *stage) delivered() []webhook.Due {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]webhook.Due(nil), s.dues...)
}

// publish publishes bodies on order.created.
func (s *stage) publish(bodies ...string) {
	s.t.Helper()
	events := make([]bus.Outgoing, len(bodies))
	for i, body := range bodies {
		events[i] = bus.Outgoing{Tenant: "acme", Type: "order.created", Body: []byte(body)}
	}
	require.NoError(s.t, s.bus.PublishEvents(s.t.Context(), events))
}

// awaitSettled waits until every event is settled.
func (s *stage) awaitSettled() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		lag, err := s.bus.Lag(s.t.Context(), bus.Fanout)
		return err == nil && lag.Settled == lag.Last && lag.InFlight == 0
	}, 15*time.Second, 5*time.Millisecond)
}

func (s *stage) hook(types ...string) webhook.Hook {
	config, err := webhook.ParseConfig(nil)
	require.NoError(s.t, err)
	h := webhook.Hook{ID: uuid.New(), Tenant: "acme", EventTypes: types, Config: config, Status: webhook.Active, CreatedAt: time.Now().Add(-time.Hour)}
	s.hooks.Put(h)
	return h
}

func TestAnEventGoesToAllHooksThatWantIt(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	one, two := s.hook("order.*"), s.hook("order.created")
	s.hook("order.updated")
	s.start(16)
	s.publish(`{"event_id":"e-1","data":{"id":1}}`)
	s.awaitSettled()
	dues := s.delivered()
	require.Len(t, dues, 2)
	got := map[uuid.UUID]webhook.Due{}
	for _, due := range dues {
		got[due.Hook.ID] = due
	}
	for _, h := range []webhook.Hook{one, two} {
		due := got[h.ID]
		require.Equal(t, webhook.DeliveryID(h.ID, "e-1"), due.ID)
		require.Equal(t, `{"id":1}`, string(due.Event.Data))
		require.EqualValues(t, 1, due.Event.Seq)
		require.Zero(t, due.Attempts)
		require.False(t, due.Unknown)
	}
}

func TestAnEventNobodyWantsIsSettled(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.start(16)
	s.publish(`1`, `2`)
	s.awaitSettled()
	require.Empty(t, s.delivered())
	require.Empty(t, s.rejected)
}

func TestWhatIsNoEventIsPutAsideAtOnceAndHurtsNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	s.start(16)
	large := `{"data":` + string(make([]byte, 100<<10))
	s.publish(`1`, `{"data":`, `2`, `{"event_id":"a.b","data":1}`, large, `3`)
	require.NoError(t, s.bus.PublishEvents(t.Context(), []bus.Outgoing{{
		Tenant: "nobody", Type: "order.created", Body: []byte(`4`), Header: map[string]string{"X-A": "b"},
	}}))
	s.awaitSettled()
	require.Len(t, s.delivered(), 3)
	want := map[uint64]string{2: "unreadable", 4: "bad_field", 5: "unreadable", 7: "unknown_tenant"}
	require.Len(t, s.rejected, len(want))
	for _, r := range s.rejected {
		require.Equal(t, want[r.GetSeq()], r.GetReason())
		require.NotEmpty(t, r.GetDetail())
		if r.GetSeq() == 5 {
			require.EqualValues(t, len(large), r.GetSize())
			require.Len(t, r.GetRaw(), 64<<10)
		}
		if r.GetSeq() == 7 {
			require.Equal(t, "oms.nobody.order.created", r.GetSubject())
			require.Equal(t, "4", string(r.GetRaw()))
			require.Equal(t, "X-A: b", r.GetHeaders()[0].GetName()+": "+r.GetHeaders()[0].GetValue())
		}
	}
}

func TestOneIDIsOneEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	s.start(16)
	s.publish(`{"event_id":"e-1","data":1}`, `{"event_id":"e-1","data":1}`, `{"event_id":"e-1","data":2}`, `{"event_id":"e-2","data":1}`)
	s.publish(`{"event_id":"e-1","event_time":"2026-01-01T00:00:00Z","data":1}`)
	s.awaitSettled()
	require.Len(t, s.delivered(), 2)
	require.Equal(t, 2, s.repeated)
	require.Len(t, s.rejected, 1)
	require.EqualValues(t, 3, s.rejected[0].GetSeq())
	require.Equal(t, "id_conflict", s.rejected[0].GetReason())
}

func TestAnotherWorkersEventsAreKnownFromTheLedger(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	s.publish(`{"event_id":"e-1","data":1}`, `{"event_id":"e-1","data":1}`, `{"event_id":"e-1","data":2}`)
	stored, err := s.bus.Event(t.Context(), 1)
	require.NoError(t, err)
	e, err := envelope.Decode(envelope.Published{Tenant: "acme", Type: "order.created", Body: stored.Data, Seq: 1, PublishedAt: stored.PublishedAt})
	require.NoError(t, err)
	recorder := s.db.NewRecorder()
	defer recorder.Close()
	require.NoError(t, recorder.WriteEvents(t.Context(), []webhook.Event{e}))
	// another worker has settled the first one
	other, err := s.bus.Subscribe(t.Context(), bus.Fanout, 1)
	require.NoError(t, err)
	messages, ok := other.TakeBatch(t.Context(), nil, 1)
	require.True(t, ok)
	require.NoError(t, messages[0].Ack())
	other.Stop()
	for ok {
		if messages, ok = other.TakeBatch(t.Context(), nil, 1); ok {
			require.NoError(t, messages[0].HandBack(0))
		}
	}

	s.start(16)
	s.awaitSettled()
	require.Empty(t, s.delivered())
	require.Equal(t, 1, s.repeated)
	require.Len(t, s.rejected, 1)
}

func TestEventsGoOnWithoutTheLedger(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	require.NoError(t, s.db.Close())
	s.start(16)
	s.publish(`1`, `2`, `3`)
	s.awaitSettled()
	require.Len(t, s.delivered(), 3)
}

func TestAnEventThatCouldNotBeSettledComesAgainForWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	good, bad := s.hook("*"), s.hook("*")
	var failed sync.Once
	s.deliver = func(due webhook.Due, settled func(error), _ func()) {
		var err error
		if due.Hook.ID == bad.ID {
			failed.Do(func() { err = errors.New("not settled") })
		}
		settled(err)
	}
	s.publish(`{"event_id":"e-1","data":1}`)
	stored, err := s.bus.Event(t.Context(), 1)
	require.NoError(t, err)
	recorder := s.db.NewRecorder()
	defer recorder.Close()
	id, hook := webhook.DeliveryID(good.ID, "e-1"), good.ID
	require.NoError(t, recorder.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Facts: []*whispererv1.DeliveryFact{{
		DeliveryId: id[:], HookId: hook[:], Tenant: "acme", EventId: "e-1", PublishedAt: stored.PublishedAt.UnixNano(), State: string(webhook.Delivered),
		Attempts: 1, At: time.Now().UnixNano(),
	}}}}))
	s.start(16)
	s.awaitSettled()
	dues := s.delivered()
	require.Len(t, dues, 3)
	require.Equal(t, bad.ID, dues[2].Hook.ID, "what was recorded is not sent again")
	require.True(t, dues[2].Unknown)
	require.Zero(t, s.repeated, "it is not taken for a repetition of itself")
}

func TestADeliveryWhoseSecondWorkerDiedTooIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	hook := s.hook("*")
	var failed sync.Once
	s.deliver = func(_ webhook.Due, settled func(error), _ func()) {
		var err error
		failed.Do(func() { err = errors.New("not settled") })
		settled(err)
	}
	s.publish(`{"event_id":"e-1","data":1}`)
	stored, err := s.bus.Event(t.Context(), 1)
	require.NoError(t, err)
	recorder := s.db.NewRecorder()
	defer recorder.Close()
	id := webhook.DeliveryID(hook.ID, "e-1")
	require.NoError(t, recorder.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Facts: []*whispererv1.DeliveryFact{{
		DeliveryId: id[:], HookId: hook.ID[:], Tenant: "acme", EventId: "e-1", PublishedAt: stored.PublishedAt.UnixNano(), State: string(webhook.Waiting),
		Reason: string(webhook.ReasonUnknown), Attempts: 1, At: time.Now().UnixNano(),
	}}}}))
	s.start(16)
	s.awaitSettled()
	dues := s.delivered()
	require.Len(t, dues, 2)
	require.True(t, dues[1].Unknown)
	require.Equal(t, 1, dues[1].Attempts, "the attempt that it told of is not told of again")
}

// handedOut lets workers take the first event and give it back, so many times.
func (s *stage) handedOut(times int) {
	s.t.Helper()
	victim, err := s.bus.Subscribe(s.t.Context(), bus.Fanout, 1)
	require.NoError(s.t, err)
	for range times {
		messages, ok := victim.TakeBatch(s.t.Context(), nil, 1)
		for ok && messages[0].Seq != 1 {
			require.NoError(s.t, messages[0].HandBack(0))
			messages, ok = victim.TakeBatch(s.t.Context(), nil, 1)
		}
		require.NoError(s.t, messages[0].HandBack(0))
	}
	victim.Stop()
	for messages, ok := victim.TakeBatch(s.t.Context(), nil, 1); ok; messages, ok = victim.TakeBatch(s.t.Context(), nil, 1) {
		require.NoError(s.t, messages[0].HandBack(0))
	}
}

func TestAnEventThatKillsItsWorkersIsPutAside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	hook := s.hook("*")
	s.publish(`1`, `2`)
	s.handedOut(5)
	stored, err := s.bus.Event(t.Context(), 1)
	require.NoError(t, err)
	recorder := s.db.NewRecorder()
	defer recorder.Close()
	begun := webhook.DeliveryID(hook.ID, "e-1")
	require.NoError(t, recorder.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Facts: []*whispererv1.DeliveryFact{{
		DeliveryId: begun[:], HookId: hook.ID[:], Tenant: "acme", EventId: "e-1", EventSeq: 1, PublishedAt: stored.PublishedAt.UnixNano(),
		State: string(webhook.Waiting), Reason: string(webhook.ReasonUnknown), Attempts: 1, At: time.Now().UnixNano(),
	}}}}))
	// as the worker did that died of it in the last try
	_, first, err := s.db.AcquireLease(t.Context(), fmt.Sprintf("try:1:%d", stored.PublishedAt.UnixNano()), "w-0", time.Nanosecond)
	require.NoError(t, err)
	require.True(t, first)
	s.start(16)
	s.awaitSettled()
	require.Len(t, s.rejected, 1)
	require.Equal(t, "poison", s.rejected[0].GetReason())
	require.EqualValues(t, 1, s.rejected[0].GetSeq())
	key := postgres.DeliveryKey{ID: begun, PublishedAt: stored.PublishedAt}
	recorded, err := s.db.Recorded(t.Context(), []postgres.DeliveryKey{key})
	require.NoError(t, err)
	require.Equal(t, webhook.Dead, recorded[begun].State, "the sweep does not try again what was begun")
}

func TestAnEventThatOnlyWaitedWhileWorkersDiedIsDelivered(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	s.publish(`1`, `2`)
	s.handedOut(20)
	s.start(16)
	s.awaitSettled()
	require.Empty(t, s.rejected)
	require.Len(t, s.delivered(), 2)
}

func TestSlotsBoundTheQuickDeliveries(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	type held struct {
		settled func(error)
		slow    func()
	}
	under := make(chan held, 100)
	s.deliver = func(_ webhook.Due, settled func(error), slow func()) { under <- held{settled, slow} }
	stop := s.start(2)
	for n := range 6 {
		s.publish(fmt.Sprint(n))
	}
	first, second := <-under, <-under
	require.Never(t, func() bool { return len(under) > 0 }, 200*time.Millisecond, 10*time.Millisecond, "both slots are taken")
	first.slow() // one that takes long gives its slot to others
	third := <-under
	require.Never(t, func() bool { return len(under) > 0 }, 100*time.Millisecond, 10*time.Millisecond)
	first.settled(nil) // and has no other to give
	require.Never(t, func() bool { return len(under) > 0 }, 100*time.Millisecond, 10*time.Millisecond)
	second.settled(nil)
	fourth := <-under
	third.settled(nil)
	fifth := <-under
	fourth.settled(nil)
	sixth := <-under

	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	fifth.settled(nil)
	require.Never(t, func() bool {
		select {
		case <-stopped:
			return true
		default:
			return false
		}
	}, 1500*time.Millisecond, 50*time.Millisecond, "it waits for what is under way")
	sixth.settled(nil)
	<-stopped
	s.awaitSettled()
}

func TestAnEventThatDoesNotFitTheSchemaOfItsTypeIsRejectedWhereItsTenantWantsSo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	check := webhook.CheckedType{
		Tenant: "acme", Name: "order.created", Check: webhook.SchemaReject, Since: time.Now().Add(-time.Minute), Schema: []byte(`{"required": ["id"]}`),
	}
	s.types.ReplaceTypes([]webhook.CheckedType{check})
	s.start(16)
	s.publish(`{"event_id":"e-1","data":{"secret":1}}`, `{"event_id":"e-2","data":{"id":1}}`)
	s.awaitSettled()
	check.Check = webhook.SchemaWarn
	s.types.ReplaceTypes([]webhook.CheckedType{check})
	s.publish(`{"event_id":"e-1","data":{"id":1}}`, `{"event_id":"e-3","data":{}}`)
	s.awaitSettled()

	var delivered []string
	for _, due := range s.delivered() {
		delivered = append(delivered, due.Event.ID)
	}
	require.Equal(t, []string{"e-2", "e-1", "e-3"}, delivered, "what was rejected is no event: its id is free")
	require.Len(t, s.rejected, 1)
	require.Equal(t, "schema", s.rejected[0].GetReason())
	require.Contains(t, s.rejected[0].GetDetail(), `lacks "id"`)
	require.EqualValues(t, len(`{"event_id":"e-1","data":{"secret":1}}`), s.rejected[0].GetSize())
}
