package bus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

func TestATopologyThatIsAsItShouldBeIsNotRepaired(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	stream, err := js.Stream(t.Context(), bus.StreamOMS)
	require.NoError(t, err)
	larger := stream.CachedInfo().Config
	larger.MaxBytes *= 2
	_, err = js.UpdateStream(t.Context(), larger)
	require.NoError(t, err)

	for range 2 {
		repaired, err := b.Streams().Repair(t.Context())
		require.NoError(t, err)
		require.Empty(t, repaired)
	}
	stream, err = js.Stream(t.Context(), bus.StreamOMS)
	require.NoError(t, err)
	require.Equal(t, larger.MaxBytes, stream.CachedInfo().Config.MaxBytes, "an operator's size stays")
}

func TestWhatAnotherHandChangedIsTakenBack(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	for _, name := range []string{bus.StreamOMS, bus.StreamRetries, bus.StreamLedger} {
		stream, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		changed := stream.CachedInfo().Config
		changed.MaxAge, changed.MaxMsgs, changed.Duplicates = time.Hour, 10_000, time.Minute
		_, err = js.UpdateStream(t.Context(), changed)
		require.NoError(t, err)
	}
	for stream, name := range map[string]bus.Consumer{bus.StreamOMS: bus.Fanout, bus.StreamLedger: bus.FactRecorder} {
		consumer, err := js.Consumer(t.Context(), stream, string(name))
		require.NoError(t, err)
		changed := consumer.CachedInfo().Config
		changed.MaxAckPending, changed.MaxDeliver = 1, 3
		_, err = js.UpdateConsumer(t.Context(), stream, changed)
		require.NoError(t, err)
	}
	require.NoError(t, js.DeleteConsumer(t.Context(), bus.StreamRetries, string(bus.Retry)))

	repaired, err := b.Streams().Repair(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []bus.Repaired{
		{Name: bus.StreamOMS},
		{Name: string(bus.Fanout)},
		{Name: bus.StreamRetries},
		{Name: string(bus.Retry), Gone: true},
		{Name: bus.StreamLedger},
		{Name: string(bus.FactRecorder)},
	}, repaired)
	stream, err := js.Stream(t.Context(), bus.StreamOMS)
	require.NoError(t, err)
	require.Zero(t, stream.CachedInfo().Config.MaxAge)
	require.EqualValues(t, -1, stream.CachedInfo().Config.MaxMsgs)
	consumer, err := js.Consumer(t.Context(), bus.StreamOMS, string(bus.Fanout))
	require.NoError(t, err)
	require.Equal(t, bus.MaxInHand(bus.Fanout), consumer.CachedInfo().Config.MaxAckPending)
	require.Equal(t, -1, consumer.CachedInfo().Config.MaxDeliver)
	repaired, err = b.Streams().Repair(t.Context())
	require.NoError(t, err)
	require.Empty(t, repaired)
}

func TestAStreamThatIsDeletedIsMadeAgain(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	sub := subscribe(t, b, bus.Fanout, 10)
	require.NoError(t, js.DeleteStream(t.Context(), bus.StreamOMS))
	repaired, err := b.Streams().Repair(t.Context())
	require.NoError(t, err)
	require.Equal(t, []bus.Repaired{
		{Name: bus.StreamOMS, Gone: true},
		{Name: string(bus.Fanout), Gone: true},
	}, repaired[:2])
	require.Len(t, repaired, 3+bus.DefaultPartitions)
	require.Contains(t, repaired, bus.Repaired{Name: fanoutOf(b), Gone: true})
	require.Contains(t, repaired, bus.Repaired{Name: string(bus.EventRecorder), Gone: true})
	publish(t, b, 1)
	m := next(t, sub)
	require.False(t, m.Older, "nobody can have had it")
	require.NoError(t, m.Ack())
}

func TestAConsumerThatIsMadeAgainGoesOnAndTellsWhatMayHaveBeenHandedOut(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	sub := subscribe(t, b, bus.Fanout, 100)
	const done, waiting = 5, 3
	publish(t, b, done)
	for range done {
		m := next(t, sub)
		require.False(t, m.Older)
		require.NoError(t, m.Ack())
	}
	require.Eventually(t, func() bool {
		lag, err := b.Lag(t.Context(), bus.Fanout)
		return err == nil && lag.Settled == done
	}, time.Minute, 10*time.Millisecond)
	repaired, err := b.Streams().Repair(t.Context())
	require.NoError(t, err)
	require.Empty(t, repaired)

	require.NoError(t, js.DeleteConsumer(t.Context(), bus.StreamOMS, fanoutOf(b)))
	publish(t, b, waiting)
	repaired, err = b.Streams().Repair(t.Context())
	require.NoError(t, err)
	require.Equal(t, []bus.Repaired{{Name: fanoutOf(b), Gone: true}}, repaired)
	for i := range waiting {
		m := next(t, sub)
		require.Equal(t, fmt.Sprint(i), string(m.Data), "what was settled does not come again")
		require.True(t, m.Older, "another worker may have had it")
		require.NoError(t, m.Ack())
	}
	require.NoError(t, b.Streams().Ensure(t.Context()), "the next program that starts finds it in order")
	consumer, err := js.Consumer(t.Context(), bus.StreamOMS, fanoutOf(b))
	require.NoError(t, err)
	require.Equal(t, jetstream.DeliverByStartSequencePolicy, consumer.CachedInfo().Config.DeliverPolicy)
	publish(t, b, 1)
	m := next(t, sub)
	require.False(t, m.Older)
	require.NoError(t, m.Ack())
}
