package fanout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

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
	s.know()
	s.start(16)
	large := `{"data":` + string(make([]byte, 100<<10))
	s.publish(`1`, `{"data":`, `2`, `{"event_id":"a\nb","data":1}`, large, `3`)
	require.NoError(t, s.Bus.PublishEvents(t.Context(), []bus.Outgoing{{
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
	s.recordEvent(1)
	s.takenElsewhere(bus.Fanout)

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
	require.NoError(t, s.DB.Close())
	s.start(16)
	s.publish(`1`, `2`, `3`)
	s.awaitSettled()
	require.Len(t, s.delivered(), 3)
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
	first.slow() // a slow delivery gives up its slot
	third := <-under
	require.Never(t, func() bool { return len(under) > 0 }, 100*time.Millisecond, 10*time.Millisecond)
	first.settled(nil) // and has no second slot to give up
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
