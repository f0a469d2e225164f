package bus_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// One operation is one message of 1 KiB that is taken and acked.
func BenchmarkTake(b *testing.B) {
	for _, prefetch := range []int{64, 256, 2000} {
		b.Run(fmt.Sprintf("prefetch=%d", prefetch), func(b *testing.B) {
			conn, err := bus.Connect(b.Context(), bus.Options{URL: testenv.NATS(b), Log: zap.NewNop()})
			require.NoError(b, err)
			b.Cleanup(conn.Close)
			require.NoError(b, conn.EnsureTopology(b.Context()))
			events := make([]bus.Outgoing, 1000)
			for i := range events {
				events[i] = bus.Outgoing{Tenant: "acme", Type: "order.created", Body: make([]byte, 1024)}
			}
			for done := 0; done < b.N; done += len(events) {
				require.NoError(b, conn.PublishEvents(b.Context(), events))
			}
			sub, err := conn.Subscribe(b.Context(), bus.Fanout, bus.Room{Messages: prefetch})
			require.NoError(b, err)
			b.Cleanup(sub.Stop)
			b.SetBytes(1024)
			b.ResetTimer()
			var batch []bus.Message
			for done := 0; done < b.N; done += len(batch) {
				batch, _ = sub.TakeBatch(b.Context(), batch, 64)
				for i := range batch {
					require.NoError(b, batch[i].Ack())
				}
			}
		})
	}
}
