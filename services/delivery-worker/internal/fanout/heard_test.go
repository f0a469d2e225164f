package fanout_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/testenv"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// asked counts the events that the ledger is asked for.
type asked struct {
	*testenv.Store

	events atomic.Int64
}

func (a *asked) SeenEvents(ctx context.Context, events []postgres.Published) (map[postgres.EventKey]postgres.SeenEvent, error) {
	a.events.Add(int64(len(events)))
	return a.Store.SeenEvents(ctx, events)
}

// event is a body with the id.
func event(id string) string { return fmt.Sprintf(`{"event_id":%q,"data":1}`, id) }

// recordEvent records the event with this sequence.
func (s *stage) recordEvent(seq uint64) {
	s.t.Helper()
	stored, err := s.bus.Event(s.t.Context(), seq)
	require.NoError(s.t, err)
	e, err := envelope.Decode(envelope.Published{Tenant: "acme", Type: "order.created", Body: stored.Data, Seq: seq, PublishedAt: stored.PublishedAt})
	require.NoError(s.t, err)
	recorder := s.db.NewRecorder()
	defer recorder.Close()
	require.NoError(s.t, recorder.WriteEvents(s.t.Context(), []webhook.Event{e}))
}

// takeRecorded settles what is there for the recorder of events.
func (s *stage) takeRecorded(n int) {
	s.t.Helper()
	sub, err := s.bus.Subscribe(s.t.Context(), bus.EventRecorder, n)
	require.NoError(s.t, err)
	defer sub.Stop()
	for n > 0 {
		batch, ok := sub.TakeBatch(s.t.Context(), nil, n)
		require.True(s.t, ok)
		for i := range batch {
			require.NoError(s.t, batch[i].Ack())
		}
		n -= len(batch)
	}
}

// publishUntilNew publishes events until the ledger is not asked for one.
func (s *stage) publishUntilNew(prefix string) (published int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		before := s.seen.events.Load()
		published++
		s.publish(event(fmt.Sprint(prefix, published)))
		s.awaitSettled()
		return s.seen.events.Load() == before
	}, 30*time.Second, 10*time.Millisecond)
	return published
}

func TestTheOnlyWorkerAsksForNoNewEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.db.MakeTenant(t, "acme")
	s.hook("*")
	s.publish(event("old"))
	s.recordEvent(1)
	s.takeRecorded(1)
	other, err := s.bus.Subscribe(t.Context(), bus.Fanout, 1) // another worker got the first one, and is gone
	require.NoError(t, err)
	batch, ok := other.TakeBatch(t.Context(), nil, 1)
	require.True(t, ok)
	require.NoError(t, batch[0].Ack())
	other.Stop()
	for ok {
		_, ok = other.TakeBatch(t.Context(), nil, 1)
	}

	s.start(16)
	n := s.publishUntilNew("a")
	require.Equal(t, n, s.count())
	s.publish(event("old"), event("a1"), event(fmt.Sprint("a", n)))
	s.awaitSettled()
	require.Equal(t, n, s.count(), "one of the ledger and two of this worker's own")
	require.Equal(t, 3, s.repeated)

	require.NoError(t, s.db.Close())
	before := s.seen.events.Load()
	s.publish(event("b1"), event("b2"), event("b1"))
	s.awaitSettled()
	require.Equal(t, n+2, s.count())
	require.Equal(t, 4, s.repeated)
	require.Equal(t, before+1, s.seen.events.Load())
}

func TestAWorkerThatMissedAnEventAsksAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	s.start(1)
	n := s.publishUntilNew("a")
	held := make(chan func(error), 1)
	s.mu.Lock()
	s.deliver = func(_ webhook.Due, settled func(error), _ func()) { held <- settled }
	s.mu.Unlock()
	const more = 200 // than it has room for, while it cannot deliver
	events := make([]string, more)
	for i := range events {
		events[i] = event(fmt.Sprint("b", i))
	}
	s.publish(events...)
	settle := <-held
	other, err := s.bus.Subscribe(t.Context(), bus.Fanout, 1)
	require.NoError(t, err)
	batch, ok := other.TakeBatch(t.Context(), nil, 1)
	require.True(t, ok)
	theirs := batch[0]
	require.False(t, theirs.Redelivered())
	s.recordEvent(theirs.Seq)
	require.NoError(t, theirs.Ack())
	other.Stop()
	lost := 1
	for ok {
		if batch, ok = other.TakeBatch(t.Context(), nil, 1); ok {
			require.NoError(t, batch[0].Ack())
			lost++
		}
	}
	s.mu.Lock()
	s.deliver = nil
	s.mu.Unlock()
	settle(nil)
	s.awaitSettled()
	require.Equal(t, n+more-lost, s.count())

	s.publish(string(theirs.Data))
	s.awaitSettled()
	require.Equal(t, n+more-lost, s.count())
	require.Equal(t, 1, s.repeated)
	before := s.seen.events.Load()
	s.publish(event("c"))
	s.awaitSettled()
	require.Equal(t, before+1, s.seen.events.Load())
}
