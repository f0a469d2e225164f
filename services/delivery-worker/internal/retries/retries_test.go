package retries_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/retries"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// stage takes due retries from a real nats-server, with a real database. The test decides the outcome of the attempts.
type stage struct {
	testenv.Stage

	t     *testing.T
	hooks *index.Index
	event webhook.Event
	hook  webhook.Hook

	mu       sync.Mutex
	made     []webhook.Due
	finished []string
	// fail is the number of deliveries that fail to be settled.
	fail int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Stage: testenv.NewStage(t), t: t, hooks: index.New(nil)}
	s.hook = testenv.Hook(t, "https://example.com/", func(h *webhook.Hook) { h.ID, h.Tenant = uuid.New(), "acme" })
	s.hooks.Put(s.hook)
	require.NoError(t, s.Bus.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "acme", Type: "order.created", Body: []byte(`{"event_id":"e-1","data":{"id":1}}`)}}))
	stored, err := s.Bus.Event(t.Context(), 1)
	require.NoError(t, err)
	s.event, err = envelope.Decode(stored)
	require.NoError(t, err)
	return s
}

func (s *stage) start() {
	s.t.Helper()
	sub, err := s.Bus.Subscribe(s.t.Context(), bus.Retry, bus.Room{Messages: 16})
	require.NoError(s.t, err)
	r := retries.New(retries.Deps{
		Hooks: s.hooks, Deliverer: s, History: ledger.NewReader(s.DB.Ledger, s.DB.History, s.Bus), Bus: s.Bus, Log: zap.NewNop(), Slots: 4,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx, sub)
	}()
	s.t.Cleanup(func() {
		sub.Stop()
		cancel()
		<-ended
	})
}

func (s *stage) Deliver(due webhook.Due, _ *envelope.Bodies, settled func(error), _ func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, due)
	if s.fail > 0 {
		s.fail--
		settled(errors.New("not settled"))
		return
	}
	settled(nil)
}

func (s *stage) Park(due *webhook.Due, reason webhook.Reason, settled func(error)) {
	s.Finish(due, webhook.Parked, reason, settled)
}

func (s *stage) Finish(due *webhook.Due, state webhook.DeliveryState, reason webhook.Reason, settled func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = append(s.finished, due.Hook.ID.String()+" "+string(state)+" "+string(reason))
	settled(nil)
}

// id returns the delivery's id.
func (s *stage) id() uuid.UUID { return webhook.DeliveryID(s.hook.ID, s.event.ID) }

// schedule schedules the retry after two attempts. It is due now.
func (s *stage) schedule(edit func(r *whispererv1.Retry)) {
	s.t.Helper()
	id, hook := s.id(), s.hook.ID
	r := &whispererv1.Retry{
		DeliveryId: id[:], HookId: hook[:], Tenant: "acme", Attempts: 2, RoundAttempts: 2, RoundStartedAt: s.event.PublishedAt.UnixNano() + 1000,
		EventSeq: uint64(s.event.Seq), PublishedAt: s.event.PublishedAt.UnixNano(), EventId: s.event.ID, Event: envelope.ToProto(&s.event),
	}
	if edit != nil {
		edit(r)
	}
	require.NoError(s.t, s.Bus.Retries().Schedule(s.t.Context(), time.Now(), r))
}

// record records that the delivery got into the state after this many attempts.
func (s *stage) record(state webhook.DeliveryState, attempts uint32, nextAt time.Time) {
	s.t.Helper()
	id, hook := s.id(), s.hook.ID
	f := &whispererv1.DeliveryFact{
		DeliveryId: id[:], HookId: hook[:], Tenant: "acme", EventId: "e-1", EventSeq: 1, EventType: "order.created",
		PublishedAt: s.event.PublishedAt.UnixNano(), State: string(state), Attempts: attempts, At: time.Now().UnixNano(),
	}
	if !nextAt.IsZero() {
		f.NextAt = nextAt.UnixNano()
	}
	r := s.DB.Ledger.NewRecorder()
	defer r.Close()
	require.NoError(s.t, r.WriteFacts(s.t.Context(), []*whispererv1.LedgerBatch{{Facts: []*whispererv1.DeliveryFact{f}}}))
}

// awaitSettled waits until no retry is due or in progress.
func (s *stage) awaitSettled() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		lag, err := s.Bus.Lag(s.t.Context(), bus.Retry)
		return err == nil && lag.Settled > 0 && lag.Pending+lag.InFlight == 0
	}, time.Minute, 5*time.Millisecond)
}

func TestADueRetryGoesOnWhereItsDeliveryStood(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.start()
	s.schedule(func(r *whispererv1.Retry) { r.Replay = true })
	s.awaitSettled()
	require.Equal(t, []webhook.Due{{
		ID: s.id(), Hook: s.hooks.Get(s.hook.ID), Event: &s.event, Attempts: 2, Replay: true,
		Round: webhook.Round{Retries: 2, StartedAt: s.event.PublishedAt.Add(time.Microsecond), PublishedAt: s.event.PublishedAt},
	}}, s.made)
}

func TestAnEventThatDoesNotTravelIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, trimmed := range map[string]bool{"from the event log": false, "from the ledger, when the log was trimmed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			if trimmed {
				recorder := s.DB.Ledger.NewRecorder()
				defer recorder.Close()
				require.NoError(t, recorder.WriteEvents(t.Context(), []webhook.Event{s.event}))
			}
			s.start()
			s.schedule(func(r *whispererv1.Retry) {
				r.Event = nil
				if trimmed {
					r.EventSeq = 99
					_, err := s.Bus.Event(t.Context(), 99)
					require.Error(t, err)
				}
			})
			s.awaitSettled()
			require.Len(t, s.made, 1)
			require.Equal(t, s.event, *s.made[0].Event)
		})
	}
}

func TestARetryWhoseEventIsNotKeptEnds(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(r *whispererv1.Retry){
		"neither the log nor the ledger has it":                   func(r *whispererv1.Retry) { r.EventSeq = 99 },
		"the log was lost, and has another tenant's at its place": func(r *whispererv1.Retry) { r.Tenant = "globex" },
		"the log was lost, and has a later one at its place":      func(r *whispererv1.Retry) { r.EventId = "e-0" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.start()
			s.schedule(func(r *whispererv1.Retry) {
				r.Event = nil
				edit(r)
			})
			s.awaitSettled()
			require.Empty(t, s.made)
			require.Equal(t, []string{s.hook.ID.String() + " dead payload_gone"}, s.finished)
		})
	}
}

func TestWhatTheLedgerKnowsIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	tests := map[string]struct {
		state     webhook.DeliveryState
		attempts  uint32
		nextAt    time.Time
		made      int
		scheduled bool
	}{
		"delivered by then":                             {webhook.Delivered, 3, time.Time{}, 0, false},
		"dead by then":                                  {webhook.Dead, 2, time.Time{}, 0, false},
		"cancelled by then":                             {webhook.Cancelled, 2, time.Time{}, 0, false},
		"parked by then, for a drainer":                 {webhook.Parked, 2, time.Time{}, 0, false},
		"parked by then, after another attempt":         {webhook.Parked, 3, time.Time{}, 0, false},
		"waiting for the next, which was not scheduled": {webhook.Waiting, 3, soon, 0, true},
		"waiting for this one":                          {webhook.Waiting, 2, soon, 1, false},
		"begun again by a worker that died as well":     {webhook.Waiting, 3, time.Time{}, 1, false},
		"known to have had fewer attempts":              {webhook.Waiting, 1, soon, 1, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.record(test.state, test.attempts, test.nextAt)
			s.start()
			s.schedule(nil)
			s.awaitSettled()
			require.Len(t, s.made, test.made)
			scheduled, err := s.Bus.Retries().Scheduled(t.Context(), s.hook.ID, s.id(), s.event.PublishedAt)
			require.NoError(t, err)
			require.Equal(t, test.scheduled, scheduled)
		})
	}
}

func TestARetryWhoseHookSeemsGoneOrDisabledIsParked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(s *stage)
	}{
		"gone": {func(s *stage) { s.hooks.Remove(s.hook.ID) }},
		"disabled": {func(s *stage) {
			s.hook.Status = webhook.Disabled
			s.hooks.Put(s.hook)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			test.change(s)
			s.start()
			s.schedule(nil)
			s.awaitSettled()
			require.Empty(t, s.made)
			require.Equal(t, []string{s.hook.ID.String() + " parked hook_unknown"}, s.finished)
		})
	}
}

func TestARetryThatCouldNotBeSettledComesAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.fail = 1
	s.start()
	s.schedule(nil)
	s.awaitSettled()
	require.Len(t, s.made, 2)
	require.False(t, s.made[0].Unknown)
	require.True(t, s.made[1].Unknown, "nobody knows what became of the first")
	require.Equal(t, 2, s.made[1].Attempts)
}

func TestRetriesGoOnWithoutTheLedger(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	require.NoError(t, s.DB.Close())
	s.start()
	s.schedule(nil)
	s.awaitSettled()
	require.Len(t, s.made, 1)
}
