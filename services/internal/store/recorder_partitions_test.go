package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

func TestPartitionsAreMadeWhenTheyAreNeeded(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	at := func(published time.Time) *whispererv1.DeliveryFact {
		return newDelivery().fact(webhook.Delivered, 1, 1, answered(200), func(f *whispererv1.DeliveryFact) { f.PublishedAt = published.UnixNano() })
	}
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	batch := batchOf(at(midnight.Add(-time.Microsecond)), at(midnight), at(midnight.AddDate(0, 0, 1).Add(-time.Microsecond)), at(noon.AddDate(1, 0, 0)))
	batch.Rejected = []*whispererv1.RejectedEvent{{Seq: 1, PublishedAt: noon.AddDate(0, 1, 0).UnixNano(), Reason: "unreadable", Raw: []byte("x"), Size: 1}}
	write(t, recorder(t, db), batch)
	write(t, recorder(t, db), batch) // another recorder finds them recorded
	var got []string
	require.NoError(t, plain.SelectContext(t.Context(), &got, `
		SELECT tableoid::regclass::text || ' ' || count(*) FROM deliveries GROUP BY tableoid ORDER BY 1`))
	require.Equal(t, []string{"deliveries_20260301 1", "deliveries_20260302 2", "deliveries_20270301 1"}, got)
	require.NoError(t, plain.SelectContext(t.Context(), &got, `SELECT tableoid::regclass::text FROM rejected_events`))
	require.Equal(t, []string{"rejected_events_20260401"}, got)
}

func TestManyCanMakeThePartitionsOfADay(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	const n = 6
	errs := make(chan error, n)
	for range n {
		r := recorder(t, db)
		go func() {
			errs <- r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{batchOf(newDelivery().fact(webhook.Parked, 0, 1))})
		}()
	}
	for range n {
		require.NoError(t, <-errs)
	}
	var count int
	require.NoError(t, plain.GetContext(t.Context(), &count, `SELECT count(*) FROM deliveries_20260301`))
	require.Equal(t, n, count)
}

func TestAPartitionThatWasDroppedIsMadeAgain(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	r := recorder(t, db)
	d := newDelivery()
	write(t, r, batchOf(d.fact(webhook.Parked, 0, 1)))
	n, _, err := db.Ledger.DropDays(t.Context(), noon.AddDate(0, 0, 1), noon.AddDate(0, 0, 1))
	require.NoError(t, err)
	require.Equal(t, 4, n)
	late := []*whispererv1.LedgerBatch{batchOf(d.fact(webhook.Parked, 0, 2))}
	require.Error(t, r.WriteFacts(t.Context(), late))
	require.NoError(t, r.WriteFacts(t.Context(), late), "what comes again finds a place")
	require.Equal(t, "parked", stored(t, plain, d).State)
}
