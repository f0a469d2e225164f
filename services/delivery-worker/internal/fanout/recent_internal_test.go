package fanout

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
)

func TestIDsAreRememberedForADay(t *testing.T) {
	t.Parallel()
	var r recent
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key := postgres.EventKey{Tenant: "acme", ID: "e-1"}
	first := postgres.SeenEvent{Seq: 1, Digest: []byte("1")}
	require.Zero(t, r.put(key, first, noon))
	require.Equal(t, first, r.put(key, postgres.SeenEvent{Seq: 2}, noon.Add(24*time.Hour-1)))
	require.Zero(t, r.put(postgres.EventKey{Tenant: "other", ID: "e-1"}, first, noon))
	require.Zero(t, r.put(postgres.EventKey{Tenant: "acme", ID: "e-2"}, first, noon))

	next := postgres.SeenEvent{Seq: 3}
	require.Zero(t, r.put(key, next, noon.Add(24*time.Hour)), "a day later it is another event")
	require.Equal(t, next, r.put(key, postgres.SeenEvent{Seq: 4}, noon.Add(25*time.Hour)))
	require.Equal(t, next, r.put(key, postgres.SeenEvent{Seq: 1}, noon), "one that comes again, late")
}

func TestOnlySoManyIDsAreRemembered(t *testing.T) {
	t.Parallel()
	var r recent
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	put := func(n int) postgres.SeenEvent {
		return r.put(postgres.EventKey{ID: fmt.Sprint(n)}, postgres.SeenEvent{Seq: uint64(n)}, noon)
	}
	for n := 1; n <= 3*generation; n++ {
		require.Zero(t, put(n))
		require.LessOrEqual(t, len(r.now)+len(r.old), 2*generation)
	}
	for n := 2*generation + 1; n <= 3*generation; n += 97 {
		require.EqualValues(t, n, put(n).Seq, "the last ones are known")
	}
	require.Zero(t, put(1), "the first ones are not")
}
