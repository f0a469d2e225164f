package fanout_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

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
	s.record(1, good.ID, &whispererv1.DeliveryFact{EventId: "e-1", State: string(webhook.Delivered), Attempts: 1})
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
	s.record(1, hook.ID, &whispererv1.DeliveryFact{
		EventId: "e-1", State: string(webhook.Waiting), Reason: string(webhook.ReasonUnknown), Attempts: 1,
	})
	s.start(16)
	s.awaitSettled()
	dues := s.delivered()
	require.Len(t, dues, 2)
	require.True(t, dues[1].Unknown)
	require.Equal(t, 1, dues[1].Attempts, "the attempt that it told of is not told of again")
}

// A delivery that one worker began and that a second took over is not forgotten when the second dies too, even if the hook no
// longer wants such events.
func TestADeliveryThatWasBegunGoesOnThoughItsHookWantsOtherEventsNow(t *testing.T) {
	t.Parallel()
	for name, stays := range map[string]bool{"another hook wants it": true, "no hook wants it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			hook := s.hook("package.created")
			if stays {
				s.hook("*")
			}
			s.publish(`{"event_id":"e-1","data":1}`)
			s.record(1, hook.ID, &whispererv1.DeliveryFact{
				EventId: "e-1", State: string(webhook.Waiting), Reason: string(webhook.ReasonUnknown), Attempts: 1,
			})
			s.handedOut(1, 1)
			s.start(16)
			s.awaitSettled()
			s.mu.Lock()
			defer s.mu.Unlock()
			require.Len(t, s.parked, 1)
			require.Equal(t, hook.ID, s.parked[0].Hook.ID)
			require.Equal(t, 1, s.parked[0].Attempts)
		})
	}
}

func TestWhatWasDeliveredBeforeItsConsumerWasMadeAgainWaitsForTheLedger(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	known, missed := s.hook("*"), s.hook("*")
	s.publish(`{"event_id":"e-1","data":1}`)
	s.record(1, known.ID, &whispererv1.DeliveryFact{EventId: "e-1", State: string(webhook.Delivered), Attempts: 1})
	for _, name := range s.Bus.Streams().Durables(bus.Fanout) {
		testenv.RemoveConsumer(t, s.NATS, bus.StreamOMS, name)
	}
	require.NoError(t, s.Bus.Streams().Ensure(t.Context()))
	s.unanswered.Store(2)
	s.start(16)
	s.awaitSettled()
	require.Negative(t, s.unanswered.Load(), "it is asked until it answers")
	dues := s.delivered()
	require.Len(t, dues, 1)
	require.Equal(t, missed.ID, dues[0].Hook.ID)
}

// handedOut lets workers take the event with this sequence, and hand it back, this many times.
func (s *stage) handedOut(seq uint64, times int) {
	s.t.Helper()
	victim, err := s.Bus.Subscribe(s.t.Context(), bus.Fanout, bus.Room{Messages: 1})
	require.NoError(s.t, err)
	for range times {
		messages, ok := victim.TakeBatch(s.t.Context(), nil, 1)
		for ok && messages[0].Seq != seq {
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
	s.handedOut(1, 5)
	stored, err := s.Bus.Event(t.Context(), 1)
	require.NoError(t, err)
	begun := webhook.DeliveryID(hook.ID, "e-1")
	s.record(1, hook.ID, &whispererv1.DeliveryFact{
		EventId: "e-1", State: string(webhook.Waiting), Reason: string(webhook.ReasonUnknown), Attempts: 1,
		Attempt: &whispererv1.AttemptFact{Number: 1, StartedAt: time.Now().UnixNano(), Outcome: string(webhook.Unknown), Url: hook.TargetURL},
	})
	// note both last tries, as workers do that then crash
	for _, try := range []string{"try", "try alone"} {
		_, first, err := s.DB.Leases.Acquire(t.Context(), fmt.Sprintf("%s:1:%d", try, stored.PublishedAt.UnixNano()), "w-0", time.Nanosecond)
		require.NoError(t, err)
		require.True(t, first)
	}
	s.start(16)
	s.awaitSettled()
	require.Len(t, s.rejected, 1)
	require.Equal(t, "poison", s.rejected[0].GetReason())
	require.EqualValues(t, 1, s.rejected[0].GetSeq())
	delivery, attempts, err := s.DB.History.GetDelivery(t.Context(), "acme", begun)
	require.NoError(t, err)
	require.Equal(t, webhook.Dead, delivery.State, "the sweep does not try again what was begun")
	require.Equal(t, 2, delivery.Attempts)
	require.Len(t, attempts, 2, "that of the last try may have been made")
	require.Equal(t, webhook.Unknown, attempts[1].Outcome)
	require.Equal(t, hook.TargetURL, attempts[1].URL)
}

func TestAnEventThatOnlyWaitedWhileWorkersDiedIsDelivered(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	s.publish(`1`, `2`)
	s.handedOut(1, 20)
	s.start(16)
	s.awaitSettled()
	require.Empty(t, s.rejected)
	require.Len(t, s.delivered(), 2)
}

// Two events were delivered often, and a worker crashed while it tried both. Now each is tried without the other, and the
// harmless one survives.
func TestAnEventThatWasInHandBesideADeadlyOneIsTriedAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	s.publish(`1`, `2`)
	for _, seq := range []uint64{1, 2} {
		s.handedOut(seq, 5)
		stored, err := s.Bus.Event(t.Context(), webhook.Sequence(seq))
		require.NoError(t, err)
		_, first, err := s.DB.Leases.Acquire(t.Context(), fmt.Sprintf("try:%d:%d", seq, stored.PublishedAt.UnixNano()), "w-0", time.Nanosecond)
		require.NoError(t, err)
		require.True(t, first)
	}
	var open atomic.Int32
	s.deliver = func(_ webhook.Due, settled func(error), _ func()) {
		if open.Add(1) > 1 {
			t.Error("two are tried at once")
		}
		go func() {
			_, err := s.Bus.Lag(t.Context(), bus.Fanout) // gives the other one time to start
			open.Add(-1)
			settled(err)
		}()
	}
	s.start(16)
	s.awaitSettled()
	require.Empty(t, s.rejected)
	require.Len(t, s.delivered(), 2)
}
