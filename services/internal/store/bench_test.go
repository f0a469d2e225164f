package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// One operation writes one fact with its attempt, in transactions of 1,000.
func BenchmarkWriteFacts(b *testing.B) {
	for _, name := range []string{"of new deliveries", "of known deliveries"} {
		b.Run(name, func(b *testing.B) {
			ring, err := seal.ParseRing(seal.NewKey())
			require.NoError(b, err)
			db, err := store.Open(testenv.Postgres(b), 2, ring)
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, db.Close()) })
			r := db.Ledger.NewRecorder()
			b.Cleanup(r.Close)
			deliveries := make([]delivery, b.N)
			for i := range deliveries {
				deliveries[i] = newDelivery()
			}
			if name == "of new deliveries" {
				b.ResetTimer()
				writeAll(b, r, deliveries, webhook.Delivered, 1, 200)
				return
			}
			writeAll(b, r, deliveries, webhook.Waiting, 1, 500)
			b.ResetTimer()
			writeAll(b, r, deliveries, webhook.Delivered, 2, 200)
		})
	}
}

func writeAll(b *testing.B, r *store.Recorder, deliveries []delivery, state webhook.DeliveryState, attempts, status uint32) {
	b.Helper()
	for len(deliveries) > 0 {
		n := min(1000, len(deliveries))
		batch := &whispererv1.LedgerBatch{}
		for _, d := range deliveries[:n] {
			batch.Facts = append(batch.Facts, d.fact(state, attempts, int(attempts), answered(status), func(f *whispererv1.DeliveryFact) { f.First = attempts == 1 }))
		}
		require.NoError(b, r.WriteFacts(b.Context(), []*whispererv1.LedgerBatch{batch}))
		deliveries = deliveries[n:]
	}
}

// One operation of "seen" looks up a batch of 8 events, and one of "written" records an event alone, with partitions for a month.
// For comparison, one of "nothing" runs the cheapest possible query.
func BenchmarkEvents(b *testing.B) {
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(b, err)
	url := testenv.Postgres(b)
	db, err := store.Open(url, 2, ring)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	plain, err := sqlx.Open("postgres", url)
	require.NoError(b, err)
	b.Cleanup(func() { plain.Close() })
	_, err = plain.ExecContext(b.Context(), `SELECT whisperer_ensure_day(current_date - n) FROM generate_series(-3, 30) n`)
	require.NoError(b, err)
	events := make([]store.Published, 8)
	for i := range events {
		events[i] = store.Published{EventKey: store.EventKey{Tenant: "default", ID: "e-" + strconv.Itoa(i)}, At: time.Now()}
	}
	b.Run("seen", func(b *testing.B) {
		for b.Loop() {
			_, err := db.Ledger.SeenEvents(b.Context(), events)
			require.NoError(b, err)
		}
	})
	b.Run("written", func(b *testing.B) {
		r := db.Ledger.NewRecorder()
		b.Cleanup(r.Close)
		for n := uint64(1); b.Loop(); n++ {
			at := time.Now()
			require.NoError(b, r.WriteEvents(b.Context(), []webhook.Event{{
				ID: uuid.NewString(), Tenant: "default", Type: "order.created", Time: at, PublishedAt: at, Seq: webhook.Sequence(n), Data: []byte(`{"order": 1}`),
			}}))
		}
	})
	b.Run("nothing", func(b *testing.B) {
		for b.Loop() {
			var one int
			require.NoError(b, plain.GetContext(b.Context(), &one, `SELECT 1`))
		}
	})
}
