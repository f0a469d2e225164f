package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/publisher/outbox"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// BenchmarkDrain measures the time per event of 1 KiB of a relay with a backlog.
func BenchmarkDrain(b *testing.B) {
	db := testenv.DB(b)
	_, err := db.ExecContext(b.Context(), outbox.Schema)
	require.NoError(b, err)
	s, err := natsd.Start(b.Context(), natsd.Options{StoreDir: b.TempDir(), Port: natsd.RandomPort})
	require.NoError(b, err)
	defer s.Shutdown(b.Context())
	looking, err := bus.Connect(b.Context(), bus.Options{URL: s.ClientURL(), Name: "bench", Log: zap.NewNop()})
	require.NoError(b, err)
	defer looking.Close()
	require.NoError(b, looking.Streams().Ensure(b.Context()))
	p, err := publisher.New(b.Context(), publisher.Options{URL: s.ClientURL(), Name: "relay"})
	require.NoError(b, err)
	defer p.Close()
	_, err = db.ExecContext(b.Context(), `INSERT INTO whisperer_outbox (id, type, body)
		SELECT 'n' || i, 'order.created', convert_to('{"event_id":"n' || i || '","data":"' || repeat('x', 1000) || '"}', 'UTF8')
		FROM generate_series(1, $1) i`, b.N)
	require.NoError(b, err)
	left := b.N
	ctx, drained := context.WithCancel(b.Context())
	defer drained()
	relay := outbox.New(outbox.Options{
		DB: db, Publisher: p, Failed: func(err error) { b.Error(err) },
		Published: func(n int, _ time.Duration) {
			if left -= n; left == 0 {
				drained()
			}
		},
	})
	b.ResetTimer()
	relay.Run(ctx)
}
