package store_test

import (
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// at opens the database at the URL.
func at(t *testing.T, url string) (*store.DB, *sqlx.DB) {
	t.Helper()
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	db, err := store.Open(url, 2, ring)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	plain, err := sqlx.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plain.Close()) })
	return db, plain
}

func TestOnlyTheSchemaOfThisProgramWillDo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		url    func(testing.TB) string
		change string
		want   string // part of the error; empty for none
	}{
		"the newest":         {testenv.Postgres, `SELECT 1`, ""},
		"none":               {testenv.EmptyPostgres, `SELECT 1`, "whisperer migrate up"},
		"one that is behind": {testenv.Postgres, `DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`, "whisperer migrate up"},
		"one that is ahead":  {testenv.Postgres, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`, ""},
		"one that is ahead and carries only newer programs": {
			testenv.Postgres,
			`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true); UPDATE schema_support SET oldest = 99998`,
			"run a newer program",
		},
		"one that was emptied":   {testenv.Postgres, `TRUNCATE goose_db_version`, "whisperer migrate up"},
		"one that was taken out": {testenv.Postgres, `DROP TABLE goose_db_version`, "whisperer migrate up"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, plain := at(t, test.url(t))
			run(t, plain, test.change)
			err := db.Ready(t.Context())
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, store.ErrSchema)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestMigratingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	url := testenv.EmptyPostgres(t)
	before, err := store.MigrationStatus(t.Context(), url)
	require.NoError(t, err)
	require.NotEmpty(t, before)
	for _, m := range before {
		require.False(t, m.Applied, m.Name)
	}
	done, err := store.Migrate(t.Context(), url)
	require.NoError(t, err)
	require.Len(t, done, len(before))
	done, err = store.Migrate(t.Context(), url)
	require.NoError(t, err)
	require.Empty(t, done)
	after, err := store.MigrationStatus(t.Context(), url)
	require.NoError(t, err)
	for i, m := range after {
		require.True(t, m.Applied, m.Name)
		require.Equal(t, before[i].Version, m.Version)
	}
	db, _ := at(t, url)
	require.NoError(t, db.Ready(t.Context()))
}

func TestManyCanMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := testenv.EmptyPostgres(t)
	const n = 5
	results := make(chan int, n)
	for range n {
		go func() {
			done, err := store.Migrate(t.Context(), url)
			if err != nil {
				t.Error(err)
			}
			results <- len(done)
		}()
	}
	applied := 0
	for range n {
		applied += <-results
	}
	all, err := store.MigrationStatus(t.Context(), url)
	require.NoError(t, err)
	require.Equal(t, len(all), applied, "each migration once, by one of them")
}

func TestADatabaseURLThatIsNoneIsNotRepeated(t *testing.T) {
	t.Parallel()
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	for _, url := range []string{"postgres://u:canary@host:port/", "postgres://u:canary@h/?sslmode=wrong", "canary = = "} {
		db, err := store.Open(url, 1, ring)
		if err == nil { // the URL is valid, but leads nowhere
			err = db.Ready(t.Context())
			require.NoError(t, db.Close())
		}
		require.Error(t, err)
		require.NotContains(t, err.Error(), "canary")
		_, err = store.Migrate(t.Context(), url)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "canary")
	}
}
