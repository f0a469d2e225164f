package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestLookingUpEventsGoesByTheIndexOfAPartitionThatWasEmpty(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	_, err := plain.ExecContext(t.Context(), `SELECT whisperer_ensure_day('`+noon.Format(time.DateOnly)+`')`)
	require.NoError(t, err)
	partition := "events_" + noon.Format("20060102")
	_, err = plain.ExecContext(t.Context(), `VACUUM ANALYZE `+partition) // now it is known to be empty
	require.NoError(t, err)
	key := []postgres.EventKey{{Tenant: "default", ID: "e-1"}}
	for seq := range uint64(2) { // the plan is made by the first
		seen, err := db.SeenEvents(t.Context(), key, noon.Add(-24*time.Hour))
		require.NoError(t, err)
		require.Len(t, seen, int(seq))
		require.NoError(t, recorder(t, db).WriteEvents(t.Context(), []webhook.Event{anEvent("e-1", 1, 0)}))
	}
	require.NoError(t, db.Close()) // which tells how it read
	var read struct {
		Whole   int64 `db:"seq_scan"`
		ByIndex int64 `db:"idx_scan"`
	}
	require.Eventually(t, func() bool {
		err := plain.GetContext(t.Context(), &read, `SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = $1`, partition)
		return err == nil && read.ByIndex > 0
	}, 10*time.Second, 50*time.Millisecond)
	require.Zero(t, read.Whole)
}
