package limiter_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/limiter"
)

// hooks is a minimal index.
type hooks struct{ byID sync.Map }

func (x *hooks) Get(id uuid.UUID) *webhook.Hook {
	if h, ok := x.byID.Load(id); ok {
		return h.(*webhook.Hook)
	}
	return nil
}

func (x *hooks) put(h webhook.Hook) *webhook.Hook {
	x.byID.Store(h.ID, &h)
	return &h
}

// stage is a limiter whose attempts run until the test ends them.
type stage struct {
	*limiter.Limiter
	*hooks
	t *testing.T
}

func newStage(t *testing.T) stage {
	return newStageWith(t, limiter.Breaker{MinAttempts: 10, FailureRatio: 0.7, Open: 10 * time.Second})
}

func newStageWith(t *testing.T, b limiter.Breaker) stage {
	x := &hooks{}
	r := stage{Limiter: limiter.New(b, x.Get), hooks: x, t: t}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return r
}

func (r stage) hook(concurrency int) *webhook.Hook {
	return r.put(webhook.Hook{ID: uuid.New(), Status: webhook.Active, Config: webhook.Config{Concurrency: concurrency, Ordering: webhook.OrderNone}})
}

// load makes attempts for one hook, and counts what becomes of them.
type load struct {
	started, slow atomic.Int64
	parked        sync.Map // reason -> *atomic.Int64
	end           chan error
}

func newLoad() *load { return &load{end: make(chan error)} }

func (l *load) attempt(h *webhook.Hook, edit ...func(a *limiter.Attempt)) limiter.Attempt {
	a := limiter.Attempt{Hook: h, Run: func() error {
		l.started.Add(1)
		return <-l.end
	}, Park: func(reason webhook.Reason) {
		n, _ := l.parked.LoadOrStore(reason, &atomic.Int64{})
		n.(*atomic.Int64).Add(1)
	}, Slow: func() { l.slow.Add(1) }}
	for _, e := range edit {
		e(&a)
	}
	return a
}

func (l *load) parkedFor(reason webhook.Reason) int {
	if n, ok := l.parked.Load(reason); ok {
		return int(n.(*atomic.Int64).Load())
	}
	return 0
}

func eventually(t *testing.T, what func() bool, about string) {
	t.Helper()
	require.Eventually(t, what, time.Minute, time.Millisecond, about)
}

// pace ends an attempt at each interval, until the test ends.
func (l *load) pace(t *testing.T, every time.Duration) {
	tick := time.NewTicker(every)
	done := make(chan struct{})
	t.Cleanup(func() { tick.Stop(); close(done) })
	go func() {
		for {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			select {
			case l.end <- nil:
			case <-done:
				return
			}
		}
	}()
}

func TestDeliveriesOfASlowReceiverWaitAndAllAreMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // on a busy machine they would wait for longer than they may
		r, l := newStage(t), newLoad()
		h := r.hook(2)
		l.pace(t, 2*time.Millisecond)
		const n = 600
		for range n {
			r.Enter(l.attempt(h))
		}
		eventually(t, func() bool { running, _ := r.Load(); return l.started.Load() == n && running == 0 }, "all")
		require.GreaterOrEqual(t, l.slow.Load(), int64(n/2), "what waits does not count as quick")
		require.Zero(t, l.parkedFor(webhook.ReasonConcurrency))
	})
}

func TestOneHookKeepsNoMoreThanItLeavesToTheOthers(t *testing.T) {
	t.Parallel()
	r, greedy, other := newStage(t), newLoad(), newLoad()
	h := r.hook(1)
	for range 6000 {
		r.Enter(greedy.attempt(h))
	}
	_, waiting := r.Load()
	require.Equal(t, 2048, waiting, "half of what can wait")
	require.Equal(t, 6000-1-2048, greedy.parkedFor(webhook.ReasonConcurrency), "all but the one that is under way and those that wait")

	second := r.hook(1)
	for range 500 {
		r.Enter(other.attempt(second))
	}
	require.Zero(t, other.parkedFor(webhook.ReasonConcurrency), "there is room for it")
	greedy.pace(t, 20*time.Millisecond)
	other.pace(t, 20*time.Millisecond)
}

func TestLargeEventsWaitInSmallNumbers(t *testing.T) {
	t.Parallel()
	r, l := newStage(t), newLoad()
	h := r.hook(1)
	for range 100 {
		r.Enter(l.attempt(h, func(a *limiter.Attempt) { a.Size = 1 << 20 }))
	}
	_, waiting := r.Load()
	require.InDelta(t, 8, waiting, 2, "half of 16 MiB")
	l.pace(t, 20*time.Millisecond)
}

func TestLargeEventsOfAHangingReceiverLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	r, greedy, other := newStage(t), newLoad(), newLoad()
	h := r.hook(32)
	for range 32 {
		r.Enter(greedy.attempt(h, func(a *limiter.Attempt) { a.Size = 1 << 20 }))
	}
	eventually(t, func() bool { running, _ := r.Load(); return running == 8 }, "half of 16 MiB")
	second := r.hook(32)
	for range 32 {
		r.Enter(other.attempt(second, func(a *limiter.Attempt) { a.Size = 4 << 10 }))
	}
	eventually(t, func() bool { return other.started.Load() == 32 }, "there is room for small ones")
	require.EqualValues(t, 8, greedy.started.Load())
}

func TestNothingWaitsForAReceiverThatHangs(t *testing.T) {
	t.Parallel()
	r, l := newStage(t), newLoad()
	h := r.hook(2)
	for range 10 {
		r.Enter(l.attempt(h))
	}
	eventually(t, func() bool { return l.parkedFor(webhook.ReasonConcurrency) == 8 }, "those that waited")
	r.Enter(l.attempt(h))
	require.Equal(t, 9, l.parkedFor(webhook.ReasonConcurrency), "a newcomer")
	require.Equal(t, int64(2), l.started.Load())
	eventually(t, func() bool { return l.slow.Load() == 10 }, "none counts as quick")
	close(l.end)
}

func TestWhatWaitsIsParkedWhenItsHookIsPausedOrChangedOrGone(t *testing.T) {
	t.Parallel()
	r := newStage(t)
	for name, c := range map[string]struct {
		change func(h webhook.Hook)
		reason webhook.Reason
	}{
		"paused":  {func(h webhook.Hook) { h.Status = webhook.Paused; r.put(h) }, webhook.ReasonPaused},
		"changed": {func(h webhook.Hook) { h.TargetURL = "https://elsewhere.example/"; r.put(h) }, webhook.ReasonConcurrency},
		"gone":    {func(h webhook.Hook) { r.byID.Delete(h.ID) }, webhook.ReasonConcurrency},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, l := r.hook(1), newLoad()
			for range 3 {
				r.Enter(l.attempt(h))
			}
			r.Enter(l.attempt(h, func(a *limiter.Attempt) { a.Drain = true }))
			c.change(*h)
			eventually(t, func() bool { return l.parkedFor(c.reason) == 3 }, "all that waited")
			close(l.end)
			require.Equal(t, int64(1), l.started.Load())
		})
	}
}

func TestWhatIsDrainedAndWhatIsNewTakeTurns(t *testing.T) {
	t.Parallel()
	r, l := newStage(t), newLoad()
	h := r.hook(1)
	var mu sync.Mutex
	var order []string
	enter := func(name string, drain bool) {
		r.Enter(l.attempt(h, func(a *limiter.Attempt) {
			a.Drain = drain
			a.Run = func() error {
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				return <-l.end
			}
		}))
	}
	enter("first", false)
	for range 3 {
		enter("new", false)
	}
	for range 3 {
		enter("drained", true)
	}
	close(l.end)
	eventually(t, func() bool { n, _ := r.Load(); return n == 0 }, "all have ended")
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"first", "new", "drained", "new", "drained", "new", "drained"}, order)
}

func TestLittleWaitsWhileTheWorkersHoldTooMuch(t *testing.T) {
	t.Parallel()
	r, l := newStage(t), newLoad()
	h := r.hook(4)
	l.pace(t, 20*time.Millisecond)
	for range 100 {
		r.Enter(l.attempt(h))
	}
	require.Zero(t, l.parkedFor(webhook.ReasonConcurrency))
	r.Crowd(true)
	eventually(t, func() bool { return l.parkedFor(webhook.ReasonConcurrency) > 50 }, "those that waited")
	_, waiting := r.Load()
	require.LessOrEqual(t, waiting, 4)
}

func TestABreakerOpensByNumbersAndProbesWithOne(t *testing.T) {
	t.Parallel()
	x := &hooks{}
	r := stage{Limiter: limiter.New(limiter.Breaker{MinAttempts: 4, FailureRatio: 0.5, Open: 2 * time.Second}, x.Get), hooks: x, t: t}
	h, l := r.hook(8), newLoad()
	for i := range 4 {
		r.Enter(l.attempt(h))
		if i%2 == 1 {
			l.end <- errors.New("failed")
		} else {
			l.end <- nil
		}
		eventually(t, func() bool { n, _ := r.Load(); return n == 0 }, "it has ended")
	}
	able, _ := r.Able(h)
	require.False(t, able, "half of four failed")
	r.Enter(l.attempt(h))
	require.Equal(t, 1, l.parkedFor(webhook.ReasonBreaker))
	eventually(t, func() bool { _, probing := r.Able(h); return probing }, "half open")
	r.Enter(l.attempt(h))
	r.Enter(l.attempt(h))
	require.Equal(t, 2, l.parkedFor(webhook.ReasonBreaker), "one probe")
	l.end <- nil
	eventually(t, func() bool { able, probing := r.Able(h); return able && !probing }, "closed")
}

func TestABreakerStaysOpenAndThenHalfOpenWhileItsHookIsIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newStageWith(t, limiter.Breaker{MinAttempts: 4, FailureRatio: 0.5, Open: 10 * time.Minute})
		h, l := r.hook(1), newLoad()
		for range 4 {
			r.Enter(l.attempt(h))
			l.end <- errors.New("failed")
			synctest.Wait()
		}
		<-time.After(9 * time.Minute)
		able, _ := r.Able(h)
		require.False(t, able)
		<-time.After(time.Hour)
		_, probing := r.Able(h)
		require.True(t, probing)
	})
}

func TestTheBreakerOfARemovedHookIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newStageWith(t, limiter.Breaker{MinAttempts: 4, FailureRatio: 0.5, Open: 10 * time.Second})
		h, l := r.hook(4), newLoad()
		for range 4 {
			r.Enter(l.attempt(h))
		}
		r.byID.Delete(h.ID)
		r.Forget(h.ID) // its attempts go on
		for range 4 {
			l.end <- errors.New("failed")
		}
		synctest.Wait()
		open, _ := r.Breakers()
		require.Equal(t, 1, open)
		<-time.After(time.Hour)
		open, halfOpen := r.Breakers()
		require.Zero(t, open+halfOpen)
	})
}
