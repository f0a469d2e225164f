package bus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestTheEventLogIsTrimmedButNeverPastWhatIsDoneWith(t *testing.T) {
	t.Parallel()
	b, err := bus.Connect(t.Context(), bus.Options{URL: testenv.NATS(t), Name: "test", OMSMaxBytes: 1 << 20, Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Streams().Ensure(t.Context()))
	for i := range 10 {
		require.NoError(t, b.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "default", Type: "order.created", Body: fmt.Appendf(nil, `{"n":%d}`, i)}}))
	}
	everything := bus.Trim{MaxAge: time.Nanosecond, HighWater: 0.8, LowWater: 0.7}
	n, err := b.Streams().Trim(t.Context(), everything)
	require.NoError(t, err)
	require.Zero(t, n, "nothing was fanned out or recorded")
	settle(t, b, bus.Fanout, 7)
	n, err = b.Streams().Trim(t.Context(), everything)
	require.NoError(t, err)
	require.Zero(t, n, "nothing was recorded")
	settle(t, b, bus.EventRecorder, 4)
	n, err = b.Streams().Trim(t.Context(), bus.Trim{MaxAge: time.Hour, HighWater: 0.8, LowWater: 0.7})
	require.NoError(t, err)
	require.Zero(t, n, "nothing is old, and there is room")
	require.Eventually(t, func() bool { // the server may process some acks late
		more, err := b.Streams().Trim(t.Context(), everything)
		require.NoError(t, err)
		n += more
		return n >= 4
	}, time.Minute, 10*time.Millisecond)
	require.EqualValues(t, 4, n)
}

// settle acks the first n messages of a consumer.
func settle(t *testing.T, b *bus.Bus, c bus.Consumer, n int) {
	t.Helper()
	sub, err := b.Subscribe(t.Context(), c, bus.Room{Messages: n})
	require.NoError(t, err)
	defer sub.Stop()
	var batch []bus.Message
	for done := 0; done < n; {
		batch, _ = sub.TakeBatch(t.Context(), batch, n-done)
		for i := range batch {
			require.NoError(t, batch[i].Ack())
		}
		done += len(batch)
	}
}
