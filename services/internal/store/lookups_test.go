package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestLookingUpEventsGoesByThePrimaryKeyOfAPartitionThatWasEmpty(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	_, err := plain.ExecContext(t.Context(), `SELECT whisperer_ensure_day('`+noon.Format(time.DateOnly)+`')`)
	require.NoError(t, err)
	partition := "events_" + noon.Format("20060102")
	_, err = plain.ExecContext(t.Context(), `VACUUM ANALYZE `+partition) // the statistics say now that it is empty
	require.NoError(t, err)
	again := []store.Published{{EventKey: store.EventKey{Tenant: "default", ID: "e-1"}, At: noon.Add(time.Hour)}}
	for seq := range uint64(2) { // the first one makes the plan
		seen, err := db.Ledger.SeenEvents(t.Context(), again)
		require.NoError(t, err)
		require.Len(t, seen, int(seq))
		events := make([]webhook.Event, 300)
		for i := range events {
			events[i] = anEvent("e-"+strconv.Itoa(i), uint64(i+1), 0)
		}
		require.NoError(t, recorder(t, db).WriteEvents(t.Context(), events))
	}
	require.NoError(t, db.Close()) // flushes the statistics of index use
	var read []struct {
		Index string `db:"indexrelname"`
		Rows  int64  `db:"idx_tup_read"`
	}
	require.Eventually(t, func() bool {
		err := plain.SelectContext(t.Context(), &read,
			`SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname = $1 AND idx_tup_read > 0`, partition)
		return err == nil && len(read) > 0
	}, time.Minute, 50*time.Millisecond)
	require.Len(t, read, 1, "of all indexes, only the primary key's was read")
	require.Equal(t, partition+"_pkey", read[0].Index)
}

func TestIDsOfEventsSinceATimeAreTheNewestOfAllTenants(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	run(t, plain, `INSERT INTO tenants (name) VALUES ('acme')`)
	other := anEvent("e-1", 4, 3*time.Second)
	other.Tenant = "acme"
	require.NoError(t, recorder(t, db).WriteEvents(t.Context(), []webhook.Event{
		anEvent("e-1", 1, 0), anEvent("e-2", 2, time.Second), anEvent("e-3", 3, 2*time.Second), other,
	}))
	ids := func(since time.Time, limit int) (ids []string, all bool) {
		all, err := db.Ledger.EventIDs(t.Context(), since, limit, func(key store.EventKey) { ids = append(ids, key.Tenant+"/"+key.ID) })
		require.NoError(t, err)
		return ids, all
	}
	second := noon.Add(time.Second)
	got, all := ids(second, 3)
	require.True(t, all)
	require.ElementsMatch(t, []string{"acme/e-1", "default/e-3"}, got, "later than that")
	got, all = ids(second.Add(-time.Microsecond), 3)
	require.True(t, all)
	require.Len(t, got, 3)
	got, all = ids(time.Time{}, 3)
	require.False(t, all)
	require.Len(t, got, 3)
}
