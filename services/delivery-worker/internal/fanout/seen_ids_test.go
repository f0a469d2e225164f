package fanout_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// asked counts the events about which the ledger is asked.
type asked struct {
	*store.LedgerStore

	events atomic.Int64
}

func (a *asked) SeenEvents(ctx context.Context, events []store.Published) (map[store.EventKey]store.SeenEvent, error) {
	a.events.Add(int64(len(events)))
	return a.LedgerStore.SeenEvents(ctx, events)
}

// event returns a body with the id.
func event(id string) string { return fmt.Sprintf(`{"event_id":%q,"data":1}`, id) }

// publishUntilNew publishes events until the worker recognizes one as new without asking the ledger.
func (s *stage) publishUntilNew(prefix string) (published int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		before := s.seen.events.Load()
		published++
		s.publish(event(fmt.Sprint(prefix, published)))
		s.awaitSettled()
		return s.seen.events.Load() == before
	}, time.Minute, 10*time.Millisecond)
	return published
}

func TestTheOnlyWorkerAsksForNoNewEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.DB.MakeTenant(t, "acme")
	s.hook("*")
	s.publish(event("old"))
	s.recordEvent(1)
	s.takenElsewhere(bus.EventRecorder)
	s.takenElsewhere(bus.Fanout)

	s.start(16)
	n := s.publishUntilNew("a")
	require.Equal(t, n, s.count())
	s.publish(event("old"), event("a1"), event(fmt.Sprint("a", n)))
	s.awaitSettled()
	require.Equal(t, n, s.count(), "one of the ledger and two of this worker's own")
	require.Equal(t, 3, s.repeated)

	require.NoError(t, s.DB.Close())
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
	const more = 200 // more than the worker has room for while deliveries are held
	events := make([]string, more)
	for i := range events {
		events[i] = event(fmt.Sprint("b", i))
	}
	s.publish(events...)
	settle := <-held
	theirs := s.takenElsewhere(bus.Fanout)
	require.False(t, theirs.Redelivered())
	s.recordEvent(theirs.Seq)
	s.mu.Lock()
	s.deliver = nil
	s.mu.Unlock()
	settle(nil)
	s.awaitSettled()
	require.Equal(t, n+more-1, s.count())

	s.publish(string(theirs.Data))
	s.awaitSettled()
	require.Equal(t, n+more-1, s.count())
	require.Equal(t, 1, s.repeated)
	before := s.seen.events.Load()
	s.publish(event("c"))
	s.awaitSettled()
	require.Equal(t, before+1, s.seen.events.Load())
}
