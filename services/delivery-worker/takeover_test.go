package deliveryworker_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Facts that a worker sent before it was cut off may still be on their way to the ledger when another worker takes over its
// ordered hook. The other worker already knows a settled position for the tenant, because it drains another hook of that
// tenant.
func TestWhoTakesAnOrderedHookOverWaitsForWhatTheOneBeforeTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paused := func(ordering string) func(h *webhook.Hook) {
		return func(h *webhook.Hook) {
			h.Status = webhook.Paused
			h.Config = config(t, `{"ordering":"`+ordering+`"}`)
		}
	}
	h, known := w.hook("/a", paused("hook")), w.hook("/known", paused("hook"))
	others := []webhook.Hook{w.hook("/1", paused("none")), w.hook("/2", paused("none"))}
	w.run()
	w.park(h, 3)
	for _, other := range append(others, known) {
		w.recorded(other, "e-0002", time.Now(), webhook.Parked)
	}
	w.setStatus(known, webhook.Active)
	w.receiver.Await(t, "/known", 3)
	w.recorded(known, "e-0002", time.Now(), webhook.Delivered)

	dead, err := w.db.Queue.OpenDrainer(t.Context(), "dead", time.Hour)
	require.NoError(t, err)
	leases, err := w.db.Queue.LeaseHooks(t.Context(), dead, "dead", []store.DrainLease{{Hook: h.ID, Alone: true}}, time.Hour)
	require.NoError(t, err)
	taken, err := w.db.Queue.Take(t.Context(), dead, []store.Want{{Lease: leases[0], Limit: 1, Ordering: webhook.OrderHook}}, []store.Places{{UpTo: 1 << 60}})
	require.NoError(t, err)
	require.Len(t, taken, 1)
	plain, err := sql.Open("postgres", w.config.DatabaseURL)
	require.NoError(t, err)
	defer plain.Close()
	late, err := plain.BeginTx(t.Context(), nil) // blocks the recorder
	require.NoError(t, err)
	defer late.Rollback()
	_, err = late.ExecContext(t.Context(), `SELECT FROM deliveries WHERE id = $1 FOR UPDATE`, taken[0].ID)
	require.NoError(t, err)
	sent := taken[0]
	require.NoError(t, w.bus.PublishFacts(t.Context(), "told", &whispererv1.LedgerBatch{Facts: []*whispererv1.DeliveryFact{{
		DeliveryId: sent.ID[:], HookId: h.ID[:], Tenant: h.Tenant, EventId: "e-0000", EventType: "order.created", EventSeq: uint64(sent.Event.Seq),
		PublishedAt: sent.Event.PublishedAt.UnixNano(), State: string(webhook.Delivered), Attempts: 1, At: time.Now().UnixNano(),
	}}}))
	w.setStatus(h, webhook.Active)
	_, err = plain.ExecContext(t.Context(), `UPDATE drainers SET expires_at = clock_timestamp() WHERE id = $1`, dead)
	require.NoError(t, err)
	_, err = plain.ExecContext(t.Context(), `UPDATE leases SET expires_at = clock_timestamp() WHERE holder = 'dead'`)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var left int
		require.NoError(t, plain.QueryRowContext(t.Context(), `SELECT count(*) FROM leases WHERE holder = 'dead'`).Scan(&left))
		return left == 0
	}, time.Minute, 5*time.Millisecond, "the worker takes the hook over")
	for _, other := range others { // their turns come with the hook's or later: one delivery may precede the hook's turn, a second cannot
		w.setStatus(other, webhook.Active)
		w.receiver.Await(t, other.TargetURL[len(w.receiver.URL):], 3)
	}
	require.Empty(t, w.receiver.Got("/a"))
	require.NoError(t, late.Rollback())
	require.Equal(t, []string{"e-0001", "e-0002"}, ids(w.receiver.Await(t, "/a", 2)))
	w.recorded(h, "e-0002", time.Now(), webhook.Delivered)
	require.Len(t, w.receiver.Got("/a"), 2)
}
