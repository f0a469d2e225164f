package bus_test

import (
	"bytes"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// One operation takes and acks one message of 1 KiB.
func BenchmarkTake(b *testing.B) {
	for _, prefetch := range []int{64, 256, 2000} {
		b.Run(fmt.Sprintf("prefetch=%d", prefetch), func(b *testing.B) {
			conn, err := bus.Connect(b.Context(), bus.Options{URL: testenv.NATS(b), Log: zap.NewNop()})
			require.NoError(b, err)
			b.Cleanup(conn.Close)
			require.NoError(b, conn.Streams().Ensure(b.Context()))
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

// BenchmarkPublish measures publishing events of 1 KiB with several concurrent requests.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			conn := testenv.Bus(b)
			body := bytes.Repeat([]byte("x"), 1024)
			header := map[string]string{"Content-Type": "application/json"}
			var calls atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					events, call := make([]bus.Outgoing, n), calls.Add(1)
					for i := range events {
						events[i] = bus.Outgoing{Tenant: "default", Type: "order.created", ID: fmt.Sprintf("%d-%d", call, i), Header: header, Body: body}
					}
					if err := conn.PublishEvents(b.Context(), events); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
