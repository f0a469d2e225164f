package recorder_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/recorder"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// stage is a recorder with a real nats-server and a real database. The test can make writes fail.
type stage struct {
	*store.Recorder
	testenv.Stage

	t     *testing.T
	types *schema.Checks

	mu       sync.Mutex
	away     int // number of writes that fail as if there were no database
	writes   int
	recorded map[string]int
	marked   int
	aside    map[string]int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Stage: testenv.NewStage(t), t: t, types: schema.NewChecks(catalogue.SchemaOf, zap.NewNop()), recorded: map[string]int{}, aside: map[string]int{}}
	s.Recorder = s.DB.Ledger.NewRecorder()
	t.Cleanup(s.Close)
	return s
}

// as makes the recorder connect with a role of its own, which has the privileges it needs.
func (s *stage) as(role string) {
	s.t.Helper()
	s.exec(`CREATE ROLE ` + role + ` LOGIN PASSWORD 'x'`)
	s.t.Cleanup(func() {
		_, _ = s.plain().ExecContext(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role)
	})
	require.NoError(s.t, s.DB.Ledger.EnsureDay(s.t.Context(), noon))
	s.exec(`GRANT ALL ON ALL TABLES IN SCHEMA public TO ` + role)
	s.exec(`GRANT ALL ON SCHEMA public TO ` + role)
	at, err := url.Parse(s.DB.URL)
	require.NoError(s.t, err)
	query := at.Query()
	query.Set("user", role)
	at.RawQuery, at.User = query.Encode(), nil
	db, err := store.Open(at.String(), 4, s.DB.Ring)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = db.Close() })
	s.Recorder = db.Ledger.NewRecorder()
	s.t.Cleanup(s.Close)
}

func (s *stage) plain() *sql.DB {
	s.t.Helper()
	db, err := sql.Open("postgres", s.DB.URL)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *stage) exec(statement string) {
	s.t.Helper()
	_, err := s.plain().ExecContext(s.t.Context(), statement)
	require.NoError(s.t, err)
}

func (s *stage) WriteFacts(ctx context.Context, batches []*whispererv1.LedgerBatch) error {
	s.mu.Lock()
	s.away--
	s.writes++
	away := s.away >= 0
	s.mu.Unlock()
	if away {
		return fmt.Errorf("write facts: %w", store.ErrUnavailable)
	}
	return s.Recorder.WriteFacts(ctx, batches)
}

func (s *stage) Probe(ctx context.Context) error {
	s.mu.Lock()
	s.writes++
	s.mu.Unlock()
	return s.Recorder.Probe(ctx)
}

func (s *stage) Recorded(what string, n int, _ time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorded[what] += n
}

func (s *stage) OffSchema(events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marked += events
}

func (s *stage) SetAside(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aside[what]++
}

func (s *stage) start(c bus.Consumer) {
	s.t.Helper()
	sub, err := s.Bus.Subscribe(s.t.Context(), c, bus.Room{Messages: 64})
	require.NoError(s.t, err)
	r := recorder.New(s, s.Bus, s.types, s, zap.NewNop())
	run := r.RunFacts
	if c == bus.EventRecorder {
		run = r.RunEvents
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx, sub)
	}()
	s.t.Cleanup(func() {
		sub.Stop()
		cancel()
		<-ended
	})
}

func (s *stage) awaitSettled(c bus.Consumer) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		lag, err := s.Bus.Lag(s.t.Context(), c)
		return err == nil && lag.Settled == lag.Last && lag.InFlight == 0
	}, time.Minute, 10*time.Millisecond)
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tell publishes a batch with one fact about a new delivery.
func (s *stage) tell(state string) store.DeliveryKey {
	s.t.Helper()
	id, hook := uuid.New(), uuid.New()
	require.NoError(s.t, s.Bus.PublishFacts(s.t.Context(), uuid.NewString(), &whispererv1.LedgerBatch{Facts: []*whispererv1.DeliveryFact{{
		DeliveryId: id[:], HookId: hook[:], Tenant: "default", EventId: "e", EventType: "order.created", PublishedAt: noon.UnixNano(),
		State: state, At: noon.UnixNano(),
	}}}))
	return store.DeliveryKey{ID: id, PublishedAt: noon}
}

func (s *stage) inTheLedger(keys []store.DeliveryKey) int {
	s.t.Helper()
	found, err := s.DB.Ledger.Recorded(s.t.Context(), keys)
	require.NoError(s.t, err)
	return len(found)
}

func TestFactsAreAckedOnceTheyAreWritten(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.away = 2
	keys := make([]store.DeliveryKey, 100)
	for i := range keys {
		keys[i] = s.tell(string(webhook.Parked))
	}
	s.start(bus.FactRecorder)
	s.awaitSettled(bus.FactRecorder)
	require.Equal(t, 100, s.inTheLedger(keys), "although the database was away at first")
	require.Equal(t, map[string]int{"facts": 100}, s.recorded)
	require.Empty(t, s.aside)
}

func TestAMessageThatCannotBeWrittenIsSetAsideWholeAndHurtsNobody(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var keys []store.DeliveryKey
	for i := range 10 {
		if i == 4 {
			s.tell("flying")
		}
		keys = append(keys, s.tell(string(webhook.Parked)))
	}
	s.start(bus.FactRecorder)
	require.Eventually(t, func() bool { return s.inTheLedger(keys) == 10 }, time.Minute, 10*time.Millisecond, "its neighbours do not wait for it")
	s.awaitSettled(bus.FactRecorder)
	require.Equal(t, map[string]int{"facts": 1}, s.aside)
	list := s.asideNow()
	require.Len(t, list, 1)
	require.Contains(t, list[0].Reason, "deliveries_state_check")
	require.NotEmpty(t, list[0].Headers["Nats-Msg-Id"], "an event has no other id than this one, perhaps")
	b := &whispererv1.LedgerBatch{}
	require.NoError(t, proto.Unmarshal(list[0].Data, b))
	require.Equal(t, "flying", b.GetFacts()[0].GetState())
}

func TestAMessageIsNotSetAsideBeforeAnotherWasWritten(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.tell("flying")
	s.start(bus.FactRecorder)
	s.refused(1, 3)
	require.Empty(t, s.asideNow(), "nobody knows whether it is the message or the database")
	key := s.tell(string(webhook.Parked))
	s.awaitSettled(bus.FactRecorder)
	require.Equal(t, 1, s.inTheLedger([]store.DeliveryKey{key}))
	require.Len(t, s.asideNow(), 1)
}

// refused waits until message seq was tried at least this often.
func (s *stage) refused(seq uint64, times int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.writes >= times }, time.Minute, 10*time.Millisecond, seq)
}

func (s *stage) asideNow() []bus.SetAside {
	s.t.Helper()
	list, err := s.Bus.Aside().List(s.t.Context(), 0, 1000)
	require.NoError(s.t, err)
	for i := range list {
		list[i], err = s.Bus.Aside().Get(s.t.Context(), list[i].Seq) // lists do not contain the data
		require.NoError(s.t, err)
	}
	return list
}

func TestWhatCannotBeDecodedIsSetAside(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	require.NoError(t, s.Bus.PublishFacts(t.Context(), "x", &whispererv1.LedgerBatch{Worker: "w"}))
	first := s.tell(string(webhook.Parked))
	testenv.PublishRaw(t, s.NATS, "ledger.facts", []byte("\xff\xffnonsense"))
	last := s.tell(string(webhook.Parked))
	s.start(bus.FactRecorder)
	s.awaitSettled(bus.FactRecorder)
	require.Equal(t, 2, s.inTheLedger([]store.DeliveryKey{first, last}))
	list := s.asideNow()
	require.Len(t, list, 1)
	require.Equal(t, "\xff\xffnonsense", string(list[0].Data))
	require.Contains(t, list[0].Reason, "decoded")
	require.EqualValues(t, 3, list[0].Origin)
}

func TestNothingIsSetAsideWhileTheDatabaseRefusesEverything(t *testing.T) {
	t.Parallel()
	for name, how := range map[string][2]string{
		"no right to insert":   {`REVOKE INSERT ON deliveries FROM "ROLE"`, `GRANT INSERT ON deliveries TO "ROLE"`},
		"a table is not there": {`ALTER TABLE deliveries RENAME TO gone`, `ALTER TABLE gone RENAME TO deliveries`},
		"it may only be read":  {`ALTER ROLE "ROLE" SET default_transaction_read_only = on`, `ALTER ROLE "ROLE" SET default_transaction_read_only = off`},
		"everything is refused by a trigger": {
			`ALTER TABLE deliveries ADD CONSTRAINT never CHECK (tenant = 'nobody') NOT VALID`,
			`ALTER TABLE deliveries DROP CONSTRAINT never`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			role := "recorder_" + strings.ReplaceAll(uuid.NewString(), "-", "")
			s.as(role)
			s.exec(strings.ReplaceAll(how[0], `"ROLE"`, role))
			var keys []store.DeliveryKey
			for range 20 {
				keys = append(keys, s.tell(string(webhook.Parked)))
			}
			s.start(bus.FactRecorder)
			s.refused(0, 3)
			require.Empty(t, s.asideNow())
			s.exec(strings.ReplaceAll(how[1], `"ROLE"`, role))
			s.awaitSettled(bus.FactRecorder)
			require.Equal(t, 20, s.inTheLedger(keys))
			require.Empty(t, s.asideNow())
		})
	}
}

func TestAStuckRecorderLetsOthersWriteWhatItHas(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	hold, err := s.plain().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer hold.Rollback()
	_, err = hold.ExecContext(t.Context(), `LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	for range 100 {
		s.tell(string(webhook.Parked))
	}
	s.start(bus.FactRecorder)
	require.Eventually(t, func() bool {
		lag, err := s.Bus.Lag(t.Context(), bus.FactRecorder)
		return err == nil && lag.InFlight > 0
	}, time.Minute, time.Millisecond)
	began := time.Now()
	other, err := s.Bus.Subscribe(t.Context(), bus.FactRecorder, bus.Room{Messages: 200, Bytes: 64 << 20})
	require.NoError(t, err)
	t.Cleanup(other.Stop)
	got := map[uint64]bool{}
	for len(got) < 100 {
		messages, ok := other.TakeBatch(t.Context(), nil, 200)
		require.True(t, ok)
		for i := range messages {
			got[messages[i].Seq] = true
			require.NoError(t, messages[i].Ack())
		}
	}
	require.Less(t, time.Since(began), 15*time.Second)
}

func TestEventsAreWrittenAndWhatIsNoneIsPassedOver(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	events := make([]bus.Outgoing, 50)
	for i := range events {
		events[i] = bus.Outgoing{Tenant: "default", Type: "order.created", Body: fmt.Appendf(nil, `{"event_id":"e-%d","data":{"n": %d}}`, i, i)}
	}
	events[20].Body = []byte(`{"data":`)
	require.NoError(t, s.Bus.PublishEvents(t.Context(), events))
	s.start(bus.EventRecorder)
	s.awaitSettled(bus.EventRecorder)
	for i := range events {
		stored, err := s.Bus.Event(t.Context(), webhook.Sequence(i+1))
		require.NoError(t, err)
		e, err := s.DB.History.GetEvent(t.Context(), "default", fmt.Sprintf("e-%d", i), stored.PublishedAt)
		if i == 20 {
			require.ErrorIs(t, err, webhook.ErrNotFound)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf(`{"n": %d}`, i), string(e.Data))
	}
	require.Equal(t, 50, s.recorded["events"])
}

func TestEventsAreMarkedThatTheSchemaOfTheirTypeHasSomethingAgainst(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ago := time.Now().Add(-time.Minute)
	s.types.ReplaceTypes([]webhook.CheckedType{
		{Tenant: "default", Name: "my.warned", Check: webhook.SchemaWarn, Since: ago, Schema: []byte(`{"required": ["id"]}`)},
		{Tenant: "default", Name: "my.refused", Check: webhook.SchemaReject, Since: ago, Schema: []byte(`{"required": ["id"]}`)},
		{Tenant: "default", Name: "my.new", Check: webhook.SchemaReject, Since: time.Now().Add(time.Hour), Schema: []byte(`{"required": ["id"]}`)},
	})
	var events []bus.Outgoing
	for i, eventType := range []string{"my.warned", "my.refused", "my.new", "my.own"} {
		for j, data := range []string{`{}`, `{"id":1}`} {
			events = append(events, bus.Outgoing{Tenant: "default", Type: eventType, Body: fmt.Appendf(nil, `{"event_id":"e-%d%d","data":%s}`, i, j, data)})
		}
	}
	require.NoError(t, s.Bus.PublishEvents(t.Context(), events))
	s.start(bus.EventRecorder)
	s.awaitSettled(bus.EventRecorder)

	got := map[string]int{}
	for i := range 4 {
		for j := range 2 {
			id := fmt.Sprintf("e-%d%d", i, j)
			if e, err := s.DB.History.FindEvent(t.Context(), "default", id); err == nil {
				got[id] = len(e.SchemaProblems)
			}
		}
	}
	require.Equal(t, map[string]int{"e-00": 1, "e-01": 0, "e-11": 0, "e-20": 1, "e-21": 0, "e-30": 0, "e-31": 0}, got,
		"what the fan-out rejects is not among the events")
	require.Equal(t, 2, s.marked)
}
