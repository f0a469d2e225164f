package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// A program that shares its sessions would read other programs' answers. It reports an error instead.
func TestAPoolerThatMixesSessionsUpIsRefused(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := testenv.PgBouncer(t, testenv.Postgres(t), mode)
			db, _ := at(t, url)
			for range 3 {
				err := db.Ready(t.Context())
				require.Error(t, err)
				if mode == "transaction" {
					require.ErrorIs(t, err, store.ErrPooler)
					require.ErrorContains(t, err, "pool_mode = session")
				}
			}
			_, err := store.Migrate(t.Context(), url)
			require.Error(t, err)
		})
	}
}

func TestAPoolerThatGivesSessionsIsAllRight(t *testing.T) {
	t.Parallel()
	url := testenv.PgBouncer(t, testenv.Postgres(t), "session")
	db, plain := at(t, url)
	require.NoError(t, db.Ready(t.Context()))
	set := watch(t, db)
	h := createHook(t, db, simpleHook(1))
	soon(t, func() bool { _, ok := set.known(h.ID); return ok })
	run(t, plain, `DELETE FROM hooks WHERE id = $1`, h.ID)
	soon(t, func() bool { _, ok := set.known(h.ID); return !ok })
}
