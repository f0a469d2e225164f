package fanout_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

func TestALedgerThatHangsIsNotAskedUntilItAnswersAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.DB.MakeTenant(t, "acme")
	s.hook("*")
	s.publish(event("old"))
	s.recordEvent(1)
	s.takenElsewhere(bus.EventRecorder)
	s.takenElsewhere(bus.Fanout)
	plain, err := sql.Open("postgres", s.DB.URL)
	require.NoError(t, err)
	defer plain.Close()
	hold, err := plain.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer hold.Rollback()
	_, err = hold.ExecContext(t.Context(), `LOCK TABLE events IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)

	s.start(16)
	for n := range 20 {
		s.publish(event(fmt.Sprint("a", n)))
		s.awaitSettled()
	}
	require.Equal(t, 20, s.count(), "events go on")
	require.Less(t, s.seen.events.Load(), int64(10), "no event waits for a ledger that does not answer; it is probed")
	s.mu.Lock()
	require.Equal(t, 20, s.unasked, "each is counted")
	s.mu.Unlock()

	require.NoError(t, hold.Rollback())
	require.Eventually(t, func() bool {
		before := s.repeats()
		s.publish(event("old"))
		s.awaitSettled()
		return s.repeats() > before
	}, time.Minute, 100*time.Millisecond, "it is asked again")
}

func (s *stage) repeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repeated
}
