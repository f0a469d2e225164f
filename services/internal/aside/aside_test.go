package aside_test

import (
	"database/sql"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// stage has a real nats-server and a real database, and sets messages aside.
type stage struct {
	*aside.Desk
	testenv.Stage

	t     *testing.T
	plain *sql.DB
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Stage: testenv.NewStage(t), t: t}
	s.plain = testenv.Plain(t, s.DB.URL)
	s.Desk = aside.NewDesk(func() (*bus.Bus, error) { return s.Bus, nil }, s.DB.DB, zap.NewNop())
	return s
}

// facts sets facts aside, one for a delivery in each of the states, and returns their keys.
func (s *stage) facts(states ...string) []store.DeliveryKey {
	s.t.Helper()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	keys := make([]store.DeliveryKey, len(states))
	for i, state := range states {
		id, hook := uuid.New(), uuid.New()
		keys[i] = store.DeliveryKey{ID: id, PublishedAt: noon}
		require.NoError(s.t, s.Bus.PublishFacts(s.t.Context(), uuid.NewString(), &whispererv1.LedgerBatch{Facts: []*whispererv1.DeliveryFact{{
			DeliveryId: id[:], HookId: hook[:], Tenant: "default", EventId: "e", EventType: "order.created", PublishedAt: noon.UnixNano(),
			State: state, At: noon.UnixNano(),
		}}}))
	}
	testenv.SetAside(s.t, s.Bus, bus.FactRecorder, bus.AsideFacts, len(states))
	return keys
}

// events sets events aside that have the given ids only as message ids.
func (s *stage) events(eventType string, ids ...string) {
	s.t.Helper()
	list := make([]bus.Outgoing, len(ids))
	for i, id := range ids {
		list[i] = bus.Outgoing{Tenant: "default", Type: eventType, ID: id, Body: []byte(`{"n":1}`)}
	}
	require.NoError(s.t, s.Bus.PublishEvents(s.t.Context(), list))
	testenv.SetAside(s.t, s.Bus, bus.EventRecorder, bus.AsideEvents, len(ids))
}

func (s *stage) numbers() []uint64 {
	s.t.Helper()
	list, err := s.List(s.t.Context(), 0, 1000)
	require.NoError(s.t, err)
	count, err := s.Count(s.t.Context())
	require.NoError(s.t, err)
	require.Len(s.t, list, int(count))
	numbers := make([]uint64, len(list))
	for i, e := range list {
		numbers[i] = e.Seq
		require.Nil(s.t, e.Data, "lists are of many")
		require.NotZero(s.t, e.Size)
	}
	return numbers
}

func (s *stage) recorded(keys ...store.DeliveryKey) int {
	s.t.Helper()
	found, err := s.DB.Ledger.Recorded(s.t.Context(), keys)
	require.NoError(s.t, err)
	return len(found)
}

// audited returns the entries of the audit log by number, the oldest first.
func (s *stage) audited() []string {
	s.t.Helper()
	list, _, err := s.DB.Access.ListAudit(s.t.Context(), "", store.AuditFilter{Kind: "ledger_entry"}, store.Page{Limit: 1000})
	require.NoError(s.t, err)
	var out []string
	for _, e := range slices.Backward(list) {
		require.Equal(s.t, store.Actor("somebody"), e.Actor)
		require.Equal(s.t, "ledger_entry.put_back", e.Action)
		out = append(out, e.Subject)
	}
	return out
}

func TestWhatIsTakenNowIsRecordedAndWhatIsNotStays(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	keys := s.facts("parked", "flying", "delivered")
	s.events("order.created", "only-the-message-says", "e-2")
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, s.numbers())

	got, err := s.PutBack(t.Context(), "somebody", []uint64{3, 2, 77, 0}, 0)
	require.NoError(t, err)
	require.Equal(t, 1, got.PutBack)
	require.Equal(t, 3, got.Stay)
	require.Equal(t, uint64(2), got.Kept[0].Number)
	require.ErrorContains(t, got.Kept[0].Err, "deliveries_state_check")
	require.Equal(t, uint64(77), got.Kept[1].Number)
	require.ErrorIs(t, got.Kept[1].Err, bus.ErrNotSetAside)
	require.ErrorIs(t, got.Kept[2].Err, bus.ErrNotSetAside)
	require.Equal(t, []uint64{1, 2, 4, 5}, s.numbers())
	require.Equal(t, 1, s.recorded(keys...))

	got, err = s.PutAllBack(t.Context(), "somebody", 0)
	require.NoError(t, err)
	require.Equal(t, 3, got.PutBack)
	require.Equal(t, 1, got.Stay)
	require.Equal(t, []uint64{2}, s.numbers(), "one that is refused keeps nothing else")
	require.Equal(t, 2, s.recorded(keys...))
	for _, id := range []string{"only-the-message-says", "e-2"} {
		e, err := s.DB.History.FindEvent(t.Context(), "default", id)
		require.NoError(t, err)
		require.JSONEq(t, `{"n":1}`, string(e.Data))
		require.NotZero(t, e.Seq, "it keeps its place")
	}
	require.Equal(t, []string{"3", "1", "4", "5"}, s.audited())

	_, err = s.plain.ExecContext(t.Context(), `ALTER TABLE deliveries DROP CONSTRAINT deliveries_state_check`)
	require.NoError(t, err)
	got, err = s.PutAllBack(t.Context(), "somebody", 0)
	require.NoError(t, err)
	require.Equal(t, aside.Result{PutBack: 1}, got, "the cause is mended")
	require.Empty(t, s.numbers())
	require.Equal(t, 3, s.recorded(keys...))
}

// An event that the fan-out rejected because of its schema stays rejected when it is put back.
func TestAnEventThatWasRejectedMeanwhileIsNotRecorded(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, err := s.DB.Types.Declare(t.Context(), "test", "default", store.EventType{
		Name: "my.refused", Schema: []byte(`{"required": ["id"]}`), Settings: store.EventTypeSettings{Check: webhook.SchemaReject},
	})
	require.NoError(t, err)
	_, err = s.plain.ExecContext(t.Context(), `UPDATE event_type_settings SET checked_since = now() - interval '1 hour'`)
	require.NoError(t, err)
	s.events("my.refused", "e-1")
	got, err := s.PutAllBack(t.Context(), "somebody", 0)
	require.NoError(t, err)
	require.Equal(t, aside.Result{PutBack: 1}, got)
	require.Empty(t, s.numbers())
	_, err = s.DB.History.FindEvent(t.Context(), "default", "e-1")
	require.ErrorIs(t, err, webhook.ErrNotFound)
}

// An outage of PostgreSQL is not blamed on an entry, and the result counts what was put back before it.
func TestNothingIsLostWhenPostgresGoesAway(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	keys := s.facts("parked", "parked")
	_, err := s.plain.ExecContext(t.Context(), `ALTER TABLE deliveries RENAME TO gone`)
	require.NoError(t, err)
	got, err := s.PutAllBack(t.Context(), "somebody", 0)
	require.ErrorIs(t, err, aside.ErrUnavailable)
	require.Zero(t, got)
	require.Len(t, s.numbers(), 2)
	_, err = s.plain.ExecContext(t.Context(), `ALTER TABLE gone RENAME TO deliveries`)
	require.NoError(t, err)
	got, err = s.PutAllBack(t.Context(), "somebody", 0)
	require.NoError(t, err)
	require.Equal(t, 2, got.PutBack)
	require.Equal(t, 2, s.recorded(keys...))
}

func TestTimeThatRunsOutIsSaid(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.facts("parked", "parked")
	got, err := s.PutAllBack(t.Context(), "somebody", time.Nanosecond)
	require.NoError(t, err)
	require.Equal(t, aside.Result{More: true}, got)
	got, err = s.PutBack(t.Context(), "somebody", []uint64{1}, time.Nanosecond)
	require.NoError(t, err)
	require.Equal(t, aside.Result{More: true}, got)
	require.Len(t, s.numbers(), 2)
}

// Two callers who put the same entries back record each once, and neither gets an error.
func TestTwoMayPutBackAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	states := make([]string, 20)
	for i := range states {
		states[i] = "parked"
	}
	keys := s.facts(states...)
	failed := make(chan error, 2)
	for range 2 {
		go func() {
			got, err := s.PutAllBack(t.Context(), "somebody", 0)
			if err == nil && got.Stay > 0 {
				err = fmt.Errorf("%d stayed: %w", got.Stay, got.Kept[0].Err)
			}
			failed <- err
		}()
	}
	require.NoError(t, <-failed)
	require.NoError(t, <-failed)
	require.Equal(t, 20, s.recorded(keys...))
	require.Empty(t, s.numbers())
}
