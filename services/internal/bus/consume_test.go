package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

func TestStoppingStillGivesWhatWasTaken(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	publish(t, b, 100)
	sub := subscribe(t, b, bus.Fanout, 16)
	first := next(t, sub)
	require.NoError(t, first.Ack())
	inFlight := func() uint64 {
		lag, err := b.Lag(t.Context(), bus.Fanout)
		require.NoError(t, err)
		return lag.InFlight
	}
	require.Eventually(t, func() bool { return inFlight() == 15 }, time.Minute, 10*time.Millisecond, "it takes ahead")
	sub.Stop()
	sub.Stop()
	taken := 1
	for batch, more := sub.TakeBatch(t.Context(), nil, 5); more; batch, more = sub.TakeBatch(t.Context(), batch, 5) {
		for _, m := range batch {
			require.Equal(t, fmt.Sprint(taken), string(m.Data))
			require.NoError(t, m.Ack())
			taken++
		}
	}
	require.Less(t, taken, 60, "it has stopped taking")
	require.Eventually(t, func() bool { return inFlight() == 0 }, time.Minute, 10*time.Millisecond, "nothing is lost in between")

	other := subscribe(t, b, bus.Fanout, 16)
	for ; taken < 100; taken++ {
		m := next(t, other)
		require.Equal(t, fmt.Sprint(taken), string(m.Data))
		require.False(t, m.Redelivered())
		require.NoError(t, m.Ack())
	}
}

func TestLingeringLetsMessagesShareABatch(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	sub := subscribe(t, b, bus.Fanout, 16)
	sub.Linger(bus.Linger{Quiet: 5 * time.Second, Most: time.Minute})
	taken := make(chan int)
	go func() {
		batch, _ := sub.TakeBatch(t.Context(), nil, 16)
		taken <- len(batch)
	}()
	for handed := range uint64(3) { // each after the one before has arrived
		publish(t, b, 1)
		require.Eventually(t, func() bool {
			lag, err := b.Lag(t.Context(), bus.Fanout)
			return err == nil && lag.InFlight == handed+1
		}, time.Minute, time.Millisecond)
	}
	require.Equal(t, 3, <-taken)
}

func TestLingeringEndsWhereMuchIsKept(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	large := make([]byte, b.MaxPayload()-1024)
	sub, err := b.Subscribe(t.Context(), bus.Fanout, bus.Room{Messages: 16, Bytes: 2 * b.MaxPayload()})
	require.NoError(t, err)
	t.Cleanup(sub.Stop)
	sub.Linger(bus.Linger{Quiet: time.Hour, Most: time.Hour})
	require.NoError(t, b.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "acme", Type: "order.created", Body: large}, {Tenant: "acme", Type: "order.created", Body: large}}))
	batch, _ := sub.TakeBatch(t.Context(), nil, 16)
	require.NotEmpty(t, batch)
}

func TestFactsThatSomebodyWaitsForDoNotLinger(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	sub := subscribe(t, b, bus.FactRecorder, 16)
	sub.Linger(bus.Linger{Quiet: time.Hour, Most: time.Hour})
	taken := make(chan int)
	go func() {
		for {
			batch, more := sub.TakeBatch(t.Context(), nil, 4)
			if !more {
				return
			}
			taken <- len(batch)
		}
	}()
	tell := func(state webhook.DeliveryState, first bool) {
		t.Helper()
		require.NoError(t, b.PublishFacts(t.Context(), uuid.NewString(), &whispererv1.LedgerBatch{
			Facts: []*whispererv1.DeliveryFact{{State: string(webhook.Delivered), First: true}, {State: string(state), First: first}},
		}))
	}
	for _, one := range []struct {
		state webhook.DeliveryState
		first bool
	}{{webhook.Parked, true}, {webhook.Waiting, true}, {webhook.Dead, true}, {webhook.Delivered, false}} {
		tell(webhook.Delivered, true)
		tell(one.state, one.first)
		for n := 0; n < 2; {
			n += <-taken
		}
	}
	for range 4 {
		tell(webhook.Delivered, true)
	}
	require.Equal(t, 4, <-taken, "as many as may be taken at once")
}

// The test publishes more than is taken, so that messages wait everywhere: with the worker, in the channel and before
// it.
func TestMessagesThatTakeLongStayWithTheirWorker(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	const n = 40
	publish(t, b, n)
	busy := subscribe(t, b, bus.Fanout, 16)
	held := []bus.Message{next(t, busy), next(t, busy)}
	// what the first has no room for goes to the second, and what it holds does not
	other := subscribe(t, b, bus.Fanout, 2*n)
	rest := map[string]bool{}
	long, cancel := context.WithTimeout(t.Context(), 33*time.Second) // twice the consumer's ackWait
	defer cancel()
	var batch []bus.Message
	for more := true; more; {
		for _, m := range batch {
			require.False(t, m.Redelivered(), "message %s", m.Data)
			require.NoError(t, m.Ack())
			rest[string(m.Data)] = true
		}
		batch, more = other.TakeBatch(long, batch, n)
	}
	require.Less(t, len(rest), n-2)
	for len(rest)+len(held) < n {
		held = append(held, next(t, busy))
	}
	for _, m := range held {
		require.False(t, m.Redelivered(), "message %s", m.Data)
		require.False(t, rest[string(m.Data)], "message %s went to both", m.Data)
		require.NoError(t, m.Ack())
	}
	none(t, busy, 200*time.Millisecond)
	require.Eventually(t, func() bool {
		lag, err := b.Lag(t.Context(), bus.Fanout)
		require.NoError(t, err)
		return lag == bus.Lag{Settled: n, Handed: n, Last: n, Stored: n}
	}, time.Minute, 10*time.Millisecond)
}

func TestWhatIsHandedBackComesAgainAfterItsDelay(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	publish(t, b, 2)
	sub := subscribe(t, b, bus.Fanout, 8)
	first, second := next(t, sub), next(t, sub)
	require.EqualValues(t, 1, first.Deliveries)
	require.NoError(t, second.Ack())
	at := time.Now()
	require.NoError(t, first.HandBack(time.Second))
	again := next(t, sub)
	require.GreaterOrEqual(t, time.Since(at), 900*time.Millisecond)
	require.Equal(t, first.Seq, again.Seq)
	require.Equal(t, first.PublishedAt, again.PublishedAt)
	require.EqualValues(t, 2, again.Deliveries)
	require.True(t, again.Redelivered())
	require.NoError(t, again.HandBack(0))
	last := next(t, sub)
	require.EqualValues(t, 3, last.Deliveries)
	require.NoError(t, last.Ack())
	none(t, sub, 300*time.Millisecond)
}

// patience lowers the consumer's ackWait, so that the server gives up on messages as if it did not hear from the
// worker.
func patience(t *testing.T, b *bus.Bus, js jetstream.JetStream, wait time.Duration) {
	t.Helper()
	consumer, err := js.Consumer(t.Context(), bus.StreamOMS, fanoutOf(b))
	require.NoError(t, err)
	cfg := consumer.CachedInfo().Config
	cfg.AckWait = wait
	_, err = js.UpdateConsumer(t.Context(), bus.StreamOMS, cfg)
	require.NoError(t, err)
}

func TestAMessageThatComesAgainWhileItIsWorkedOnIsTakenOnce(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	patience(t, b, js, 200*time.Millisecond)
	publish(t, b, 2)
	sub := subscribe(t, b, bus.Fanout, 8)
	first := next(t, sub)
	handedOut := func() uint64 {
		consumer, err := js.Consumer(t.Context(), bus.StreamOMS, fanoutOf(b))
		require.NoError(t, err)
		return consumer.CachedInfo().Delivered.Consumer
	}
	require.Eventually(t, func() bool { return handedOut() >= 8 }, time.Minute, 10*time.Millisecond, "the server hands both out again and again")

	second := next(t, sub)
	require.Equal(t, "1", string(second.Data))
	require.True(t, second.Redelivered(), "who takes it late is told that it was handed out before")
	patience(t, b, js, time.Minute) // otherwise it may be redelivered while the ack is on its way
	none(t, sub, time.Second)
	require.NoError(t, first.Ack())
	require.NoError(t, second.Ack())
	require.Eventually(t, func() bool {
		lag, err := b.Lag(t.Context(), bus.Fanout)
		require.NoError(t, err)
		return lag == bus.Lag{Settled: 2, Handed: 2, Last: 2, Stored: 2}
	}, time.Minute, 10*time.Millisecond)
	none(t, sub, time.Second)
}

func TestAMessageOfANewStreamIsAnotherOne(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	publish(t, b, 1)
	sub := subscribe(t, b, bus.Fanout, 8)
	before := next(t, sub)
	require.NoError(t, js.DeleteStream(t.Context(), bus.StreamOMS))
	require.NoError(t, b.Streams().Ensure(t.Context()))
	publish(t, b, 1)

	after := next(t, sub)
	require.Equal(t, before.Seq, after.Seq, "it counts from 1 again")
	require.NoError(t, before.Ack(), "of which nobody hears")
	none(t, sub, 300*time.Millisecond)
	require.NoError(t, after.Ack())
	require.Eventually(t, func() bool {
		lag, err := b.Lag(t.Context(), bus.Fanout)
		require.NoError(t, err)
		return lag == bus.Lag{Settled: 1, Handed: 1, Last: 1, Stored: 1}
	}, time.Minute, 10*time.Millisecond)
}

func TestABatchIsWhatIsThere(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	sub := subscribe(t, b, bus.Fanout, 32)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	batch, more := sub.TakeBatch(ctx, nil, 5)
	require.False(t, more, "the caller gave up")
	require.Empty(t, batch)

	publish(t, b, 1)
	batch, more = sub.TakeBatch(t.Context(), batch, 5)
	require.True(t, more)
	require.Len(t, batch, 1, "it does not wait for more")
	require.NoError(t, batch[0].Ack())

	publish(t, b, 20)
	require.Eventually(t, func() bool {
		lag, err := b.Lag(t.Context(), bus.Fanout)
		return err == nil && lag.Pending == 0
	}, time.Minute, 5*time.Millisecond)
	sub.Stop()
	sizes := []int{}
	for batch, more = sub.TakeBatch(t.Context(), batch, 8); more; batch, more = sub.TakeBatch(t.Context(), batch, 8) {
		for i := range batch {
			require.NoError(t, batch[i].Ack())
		}
		sizes = append(sizes, len(batch))
	}
	require.Equal(t, []int{8, 8, 4}, sizes)
	_, more = sub.TakeBatch(t.Context(), nil, 8)
	require.False(t, more, "it stays ended")
}

func TestLagTellsWhereAConsumerIs(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	lag := func() bus.Lag {
		l, err := b.Lag(t.Context(), bus.Fanout)
		require.NoError(t, err)
		return l
	}
	require.Equal(t, bus.Lag{}, lag())
	publish(t, b, 10)
	require.Eventually(t, func() bool { return lag() == bus.Lag{Pending: 10, Last: 10, Stored: 10} }, time.Minute, 10*time.Millisecond)

	sub := subscribe(t, b, bus.Fanout, 64)
	var messages []bus.Message
	for range 10 {
		messages = append(messages, next(t, sub))
	}
	require.Equal(t, bus.Lag{InFlight: 10, Handed: 10, Last: 10, Stored: 10}, lag())
	for _, i := range []int{0, 1, 3} { // 2 is still in progress
		require.NoError(t, messages[i].Ack())
	}
	require.Eventually(t, func() bool { return lag() == bus.Lag{InFlight: 7, Settled: 2, Handed: 10, Last: 10, Stored: 10} }, time.Minute, 10*time.Millisecond)
	for _, i := range []int{2, 4, 5, 6, 7, 8, 9} {
		require.NoError(t, messages[i].Ack())
	}
	require.Eventually(t, func() bool { return lag() == bus.Lag{Settled: 10, Handed: 10, Last: 10, Stored: 10} }, time.Minute, 10*time.Millisecond)
}

func TestASubscriptionHoldsNoMoreBytesThanItHasRoomFor(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	const n, size, room = 40, 1 << 20, 18 << 20
	events := make([]bus.Outgoing, n)
	for i := range events {
		events[i] = bus.Outgoing{Tenant: "acme", Type: "order.created", Body: make([]byte, size)}
	}
	require.NoError(t, b.PublishEvents(t.Context(), events))
	sub, err := b.Subscribe(t.Context(), bus.EventRecorder, bus.Room{Messages: n, Bytes: room})
	require.NoError(t, err)
	t.Cleanup(sub.Stop)
	var open []bus.Message
	for taken := range n {
		for taken+len(open) < n && (len(open) == 0 || !open[0].Crowds()) { // messages come until there is no room for another of the largest size
			batch, _ := sub.TakeBatch(t.Context(), nil, n)
			open = append(open, batch...)
		}
		require.Less(t, len(open)*size, room, "taken and not settled")
		require.NoError(t, open[0].Ack()) // the room that one settled message frees is used without waiting for the others
		open = open[1:]
	}
}

func TestWhatNobodyHasHeardOfIsNotDone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lag  bus.Lag
		done bool
	}{
		"settled":                              {bus.Lag{Settled: 5, Handed: 9, Pending: 1, InFlight: 4, Stored: 5}, true},
		"handed out":                           {bus.Lag{Settled: 4, Handed: 5, InFlight: 1, Stored: 1}, false},
		"handed out and settled, but for gaps": {bus.Lag{Settled: 3, Handed: 5, Stored: 1}, true},
		"stored, and not heard of yet":         {bus.Lag{Settled: 4, Handed: 4, Stored: 1}, false},
		"purged":                               {bus.Lag{Settled: 4, Handed: 4}, true},
	} {
		require.Equal(t, c.done, c.lag.Done(5), name)
	}
}
