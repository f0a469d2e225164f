package fanout_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// staleAt is a watch that reports a fixed snapshot as its knowledge of hooks.
type staleAt struct {
	*store.Watch
	snapshot atomic.Pointer[string]
}

func (s *staleAt) StaleAt() string { return *s.snapshot.Load() }

// An event that was fanned out with a stale index is acknowledged only when the ledger has recorded that, even if no hook
// matched it, because newer hooks may. What counts is the snapshot when the event was matched, not when it is settled.
func TestWhatIsFannedOutByOldKnowledgeIsToldBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	known := &staleAt{Watch: s.watch}
	old, fresh := "1:7:", ""
	known.snapshot.Store(&old)
	s.refresher, s.tell = known, make(chan struct{})
	s.hook("order.created")
	settled := make(chan func(error), 1)
	s.deliver = func(_ webhook.Due, done func(error), _ func()) { settled <- done }
	began := time.Now().Add(-time.Minute)
	s.start(16)
	s.publish(`{"event_id":"wanted","data":{}}`)
	done := <-settled
	known.snapshot.Store(&fresh)
	done(nil)
	s.toldOf(1)
	known.snapshot.Store(&old)
	require.NoError(t, s.Bus.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "acme", Type: "order.unwanted", Body: []byte(`{"event_id":"unwanted","data":{}}`)}}))
	s.toldOf(2)
	lag, err := s.Bus.Lag(t.Context(), bus.Fanout)
	require.NoError(t, err)
	require.Equal(t, uint64(2), lag.InFlight)
	known.snapshot.Store(&fresh)
	close(s.tell)
	s.awaitSettled()
	s.publish(`{"event_id":"after","data":{}}`)
	(<-settled)(nil)
	s.awaitSettled()
	s.toldOf(2)
	for _, told := range s.stale {
		require.Equal(t, "acme", told.GetTenant())
		require.Equal(t, old, told.GetSnapshot())
		require.True(t, time.Unix(0, told.GetSince()).After(began))
	}
}

// toldOf waits until the ledger has been given n Stale facts.
func (s *stage) toldOf(n int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.stale) == n
	}, time.Minute, 5*time.Millisecond)
}
