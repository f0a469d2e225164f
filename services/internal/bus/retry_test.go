package bus_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

// published is the publication time of the events of these retries.
var published = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

func retryOf(hook, delivery uuid.UUID, attempts uint32) *whispererv1.Retry {
	return &whispererv1.Retry{HookId: hook[:], DeliveryId: delivery[:], Attempts: attempts, Tenant: "acme", PublishedAt: published.UnixNano()}
}

func readRetry(t *testing.T, m bus.Message) *whispererv1.Retry {
	t.Helper()
	var r whispererv1.Retry
	require.NoError(t, proto.Unmarshal(m.Data, &r))
	return &r
}

func TestARetryComesAtItsTimeAndNeverEarlier(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	sub := subscribe(t, b, bus.Retry, 16)
	start := time.Now()
	const n = 20
	due := map[string]time.Time{}
	hook := uuid.New()
	for i := range n {
		delivery := uuid.New()
		at := start.Add(1500*time.Millisecond + time.Duration(i)*73*time.Millisecond)
		due[delivery.String()] = at
		require.NoError(t, b.Retries().Schedule(t.Context(), at, retryOf(hook, delivery, 1)))
	}
	for range n {
		m := next(t, sub)
		now := time.Now()
		require.Equal(t, "retry.due."+hook.String(), m.Subject)
		delivery, err := uuid.FromBytes(readRetry(t, m).GetDeliveryId())
		require.NoError(t, err)
		at, ok := due[delivery.String()]
		require.True(t, ok, "each comes once")
		delete(due, delivery.String())
		require.False(t, now.Before(at), "early by %s", at.Sub(now))
		require.Less(t, now.Sub(at), 30*time.Second)
		require.NoError(t, m.Ack())
		scheduled, err := b.Retries().Scheduled(t.Context(), hook, delivery, published)
		require.NoError(t, err)
		require.False(t, scheduled)
	}
	none(t, sub, 200*time.Millisecond)
}

func TestARetryThatIsDueAlreadyComesAtOnce(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	sub := subscribe(t, b, bus.Retry, 16)
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(-time.Hour), retryOf(uuid.New(), uuid.New(), 3)))
	m := next(t, sub)
	require.EqualValues(t, 3, readRetry(t, m).GetAttempts())
	require.NoError(t, m.Ack())
}

func TestAnIDThatIsUsedAgainLaterHasARetryOfItsOwn(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	hook, delivery, later := uuid.New(), uuid.New(), published.Add(25*time.Hour)
	scheduled := func(at time.Time) bool {
		found, err := b.Retries().Scheduled(t.Context(), hook, delivery, at)
		require.NoError(t, err)
		return found
	}
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(5*time.Second), retryOf(hook, delivery, 7)))
	require.True(t, scheduled(published))
	require.False(t, scheduled(later))
	second := retryOf(hook, delivery, 1)
	second.PublishedAt = later.UnixNano()
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(time.Hour), second))
	require.True(t, scheduled(published))
	require.True(t, scheduled(later))
	sub := subscribe(t, b, bus.Retry, 16)
	m := next(t, sub)
	require.EqualValues(t, 7, readRetry(t, m).GetAttempts(), "the first one's, at its time")
	require.NoError(t, m.Ack())
	require.NoError(t, b.Retries().Purge(t.Context(), hook))
	require.False(t, scheduled(later))
}

func TestARetryOfAnOldWorkerIsFound(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	hook, delivery := uuid.New(), uuid.New()
	data, err := proto.Marshal(retryOf(hook, delivery, 1))
	require.NoError(t, err)
	_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: "retry.at." + hook.String() + "." + delivery.String(), Data: data, Header: nats.Header{
		"Nats-Schedule": {"@at " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)}, "Nats-Schedule-Target": {"retry.due." + hook.String()},
	}})
	require.NoError(t, err)
	for at, want := range map[time.Time]bool{published: true, published.Add(25 * time.Hour): false} {
		found, err := b.Retries().Scheduled(t.Context(), hook, delivery, at)
		require.NoError(t, err)
		require.Equal(t, want, found)
	}
}

func TestSchedulingAgainReplaces(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	sub := subscribe(t, b, bus.Retry, 16)
	hook, delivery := uuid.New(), uuid.New()
	for attempts := range uint32(5) {
		require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(5*time.Second), retryOf(hook, delivery, attempts)))
	}
	scheduled, err := b.Retries().Scheduled(t.Context(), hook, delivery, published)
	require.NoError(t, err)
	require.True(t, scheduled)
	scheduled, err = b.Retries().Scheduled(t.Context(), hook, uuid.New(), published)
	require.NoError(t, err)
	require.False(t, scheduled)
	s, err := js.Stream(t.Context(), "RETRIES")
	require.NoError(t, err)
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.Msgs)

	m := next(t, sub)
	require.EqualValues(t, 4, readRetry(t, m).GetAttempts(), "the last one counts")
	require.NoError(t, m.Ack())
	none(t, sub, 1500*time.Millisecond)
}

func TestARetryMayBePutForwardOrBack(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	sub := subscribe(t, b, bus.Retry, 16)
	hook, sooner, later := uuid.New(), uuid.New(), uuid.New()
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(time.Hour), retryOf(hook, sooner, 1)))
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(5*time.Second), retryOf(hook, later, 1)))
	at := time.Now().Add(6 * time.Second)
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now(), retryOf(hook, sooner, 2)))
	require.NoError(t, b.Retries().Schedule(t.Context(), at, retryOf(hook, later, 2)))
	first := next(t, sub)
	require.Equal(t, sooner[:], readRetry(t, first).GetDeliveryId())
	second := next(t, sub)
	require.Equal(t, later[:], readRetry(t, second).GetDeliveryId())
	require.False(t, time.Now().Before(at))
}

func TestRetriesSurviveTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := server(t, dir, natsd.RandomPort)
	b := connect(t, s.ClientURL())
	require.NoError(t, b.Streams().Ensure(t.Context()))
	hook, missed, later := uuid.New(), uuid.New(), uuid.New()
	at := time.Now().Add(3 * time.Second)
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(300*time.Millisecond), retryOf(hook, missed, 1)))
	require.NoError(t, b.Retries().Schedule(t.Context(), at, retryOf(hook, later, 1)))
	b.Close()
	shutdown(t, s)
	<-time.After(500 * time.Millisecond) // one becomes due while nobody is connected

	s = server(t, dir, natsd.RandomPort)
	t.Cleanup(func() { shutdown(t, s) })
	b = connect(t, s.ClientURL())
	require.NoError(t, b.Streams().Ensure(t.Context()))
	sub := subscribe(t, b, bus.Retry, 16)
	first := next(t, sub)
	require.Equal(t, missed[:], readRetry(t, first).GetDeliveryId())
	require.NoError(t, first.Ack())
	second := next(t, sub)
	require.Equal(t, later[:], readRetry(t, second).GetDeliveryId())
	require.False(t, time.Now().Before(at))
	require.NoError(t, second.Ack())
	none(t, sub, 200*time.Millisecond)
}

func TestARetryWithoutItsIDsIsRefused(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	id := uuid.New()
	require.Error(t, b.Retries().Schedule(t.Context(), time.Now(), &whispererv1.Retry{DeliveryId: id[:]}))
	require.Error(t, b.Retries().Schedule(t.Context(), time.Now(), &whispererv1.Retry{HookId: id[:], DeliveryId: id[:5]}))
}
