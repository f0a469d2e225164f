package store_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// The locks of a migrating program that is cut off are soon released, even if a proxy between it and the database keeps the
// connection open.
func TestAProgramThatIsCutOffWhileItMigratesLetsAnotherMigrate(t *testing.T) {
	t.Parallel()
	for name, words := range map[string][]string{
		"between statements": {"CREATE TABLE deliveries"},
		"between migrations": {"INSERT INTO goose_db_version", "BEGIN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := testenv.EmptyPostgres(t)
			var mu sync.Mutex
			cut, left := make(chan struct{}), words
			away := leading(t, database, func(said []byte, _ io.Writer) bool {
				mu.Lock()
				defer mu.Unlock()
				if bytes.Contains(said, []byte(left[0])) {
					if left = left[1:]; len(left) == 0 {
						close(cut)
						<-t.Context().Done()
					}
				}
				return true
			})
			go func() { _, _ = store.Migrate(t.Context(), away) }()
			reached(t, cut)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			_, err := store.Migrate(ctx, database)
			require.NoError(t, err)
		})
	}
}

// A statement of a migration may take any time, but ends with its program.
func TestALongMigrationEndsWithItsProgram(t *testing.T) {
	t.Parallel()
	database := testenv.EmptyPostgres(t)
	long := fstest.MapFS{"1_long.sql": {Data: []byte("-- +goose Up\nSELECT pg_sleep(3600);\n")}}
	way := testenv.WayTo(t, database)
	ended := make(chan error, 1)
	go func() { ended <- store.MigrateFrom(t.Context(), way.URL, long) }()
	_, plain := at(t, database)
	soon(t, func() bool {
		var n int
		require.NoError(t, plain.Get(&n, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`))
		return n == 1
	})
	way.Mend()
	require.Error(t, <-ended)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, err := store.Migrate(ctx, database)
	require.NoError(t, err)
}

func TestAMigrationMayDoWithoutATransaction(t *testing.T) {
	t.Parallel()
	database := testenv.EmptyPostgres(t)
	require.NoError(t, store.MigrateFrom(t.Context(), database, fstest.MapFS{"1_index.sql": {Data: []byte(strings.Join([]string{
		"-- +goose NO TRANSACTION", "-- +goose Up", "CREATE TABLE things (n int);", "CREATE INDEX CONCURRENTLY things_n ON things (n);",
	}, "\n"))}}))
	_, plain := at(t, database)
	var valid bool
	require.NoError(t, plain.Get(&valid, `SELECT indisvalid FROM pg_index WHERE indexrelid = 'things_n'::regclass`))
	require.True(t, valid)
}

func reached(t *testing.T, cut chan struct{}) {
	t.Helper()
	select {
	case <-cut:
	case <-time.After(time.Minute):
		require.Fail(t, "it was never cut off")
	}
}
