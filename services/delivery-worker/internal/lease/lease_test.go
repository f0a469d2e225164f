package lease_test

import (
	"database/sql"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/lease"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func take(t *testing.T, db *testenv.Store, holder string) *lease.Held {
	t.Helper()
	h, err := lease.Take(t.Context(), db.Leases, "housekeeper", holder, zap.NewNop())
	require.NoError(t, err)
	return h
}

func TestALeaseIsKeptUntilItIsReleased(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	first := take(t, db, "w-1")
	require.NotNil(t, first)
	select {
	case <-first.Context().Done():
		t.Fatal("a lease that is renewed does not end")
	case <-time.After(lease.Time + time.Second):
	}
	require.True(t, first.Valid())
	require.Nil(t, take(t, db, "w-2"), "it was renewed")
	first.Release()
	require.False(t, first.Valid())
	second := take(t, db, "w-2")
	require.NotNil(t, second, "nobody waits for a lease that was released")
	second.Release()
}

func TestALeaseThatAnotherHasEnds(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	first := take(t, db, "w-1")
	l, ok, err := db.Leases.Acquire(t.Context(), "housekeeper", "w-2", lease.Time)
	require.NoError(t, err)
	require.False(t, ok)
	l.Fence, l.Holder = 1, "w-1"
	require.NoError(t, db.Leases.Release(t.Context(), l)) // as if the lease had expired
	second := take(t, db, "w-2")
	require.NotNil(t, second)
	defer second.Release()
	<-first.Context().Done()
	require.False(t, first.Valid())
	first.Release()
	require.True(t, second.Valid(), "the release of one who lost it is none")
	require.Nil(t, take(t, db, "w-3"))
}

func TestALeaseEndsInTimeAlthoughTheDatabaseHangs(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	began := time.Now()
	held := take(t, db, "w-1")
	plain, err := sql.Open("postgres", db.URL)
	require.NoError(t, err)
	defer plain.Close()
	tx, err := plain.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	_, err = tx.ExecContext(t.Context(), `LOCK TABLE leases IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	<-held.Context().Done()
	require.Less(t, time.Since(began), lease.Time, "before another may have it")
	require.False(t, held.Valid())
	held.Release()
}
