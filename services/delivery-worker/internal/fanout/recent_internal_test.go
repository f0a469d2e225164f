package fanout

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestIDsAreRememberedForADay(t *testing.T) {
	t.Parallel()
	var r recent
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key := store.EventKey{Tenant: "acme", ID: "e-1"}
	first := remembered{seq: 1, digest: [32]byte{1}, publishedAt: noon}
	require.Zero(t, r.put(key, first))
	before := r.put(key, remembered{seq: 2, publishedAt: noon.Add(24*time.Hour - 1)})
	require.Equal(t, store.SeenEvent{Seq: 1, Digest: first.digest[:]}, before)
	require.Zero(t, r.put(store.EventKey{Tenant: "other", ID: "e-1"}, first))
	require.Zero(t, r.put(store.EventKey{Tenant: "acme", ID: "e-2"}, first))

	require.Zero(t, r.put(key, remembered{seq: 3, publishedAt: noon.Add(24 * time.Hour)}), "a day later it is another event")
	require.EqualValues(t, 3, r.put(key, remembered{seq: 4, publishedAt: noon.Add(25 * time.Hour)}).Seq)
	require.EqualValues(t, 3, r.put(key, remembered{seq: 1, publishedAt: noon}).Seq, "one that comes again, late")
}

func TestOnlySoManyIDsAreRemembered(t *testing.T) {
	t.Parallel()
	var r recent
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	put := func(n int) store.SeenEvent {
		return r.put(store.EventKey{ID: fmt.Sprint(n)}, remembered{seq: webhook.Sequence(n), publishedAt: noon})
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
