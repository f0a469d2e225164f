package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestAnOverviewCountsOneTenantsDeliveries(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	h := testenv.MakeHook(t, db, "http://example.com/", func(h *webhook.Hook) { h.Name, h.EventTypes = "north", []string{"order.created"} })

	now := time.Now().UTC()
	minute := now.Truncate(time.Minute)
	fact := func(tenant, event string, at time.Time, state webhook.DeliveryState) *whispererv1.DeliveryFact {
		id := webhook.DeliveryID(h.ID, event)
		f := &whispererv1.DeliveryFact{
			DeliveryId: id[:], HookId: h.ID[:], Tenant: tenant, EventId: event, EventType: "order.created", PublishedAt: at.UnixNano(),
			State: string(state), At: at.UnixNano(), Attempts: 1, RoundAttempts: 1, RoundStartedAt: at.UnixNano(),
			Attempt: &whispererv1.AttemptFact{Number: 1, StartedAt: at.UnixNano(), Outcome: "failed", ErrorClass: string(webhook.ClassDNS)},
		}
		if state == webhook.Waiting {
			f.NextAt = at.Add(time.Hour).UnixNano()
		}
		return f
	}
	r := db.Ledger.NewRecorder()
	defer r.Close()
	require.NoError(t, r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Worker: "w", Facts: []*whispererv1.DeliveryFact{
		fact("default", "a", minute, webhook.Delivered), fact("default", "b", minute, webhook.Dead), fact("default", "c", minute, webhook.Waiting),
		fact("default", "d", minute.Add(-5*time.Minute), webhook.Parked), fact("default", "e", minute.Add(-48*time.Hour), webhook.Parked),
		fact("default", "f", minute.Add(-48*time.Hour), webhook.Dead), fact("other", "g", minute, webhook.Dead),
	}}}))

	series := func(hook uuid.UUID, by store.Series) []store.Point {
		points, err := db.History.TimeSeries(t.Context(), "default", hook, minute.Add(-time.Hour), time.Minute, by)
		require.NoError(t, err)
		return points
	}
	for _, hook := range []uuid.UUID{uuid.Nil, h.ID} {
		states := series(hook, store.ByState)
		require.Equal(t, store.Point{At: minute.Add(-5 * time.Minute), Values: []int64{0, 1, 0}}, states[0])
		require.Equal(t, minute, states[1].At)
		require.Empty(t, series(hook, store.ByDuration), "nothing was answered")
		require.Equal(t, []int64{0, 0, 0, 0, 0, 1}, series(hook, store.ByStatus)[0].Values)
	}
	require.Equal(t, store.Point{At: minute, Values: []int64{1, 1, 1}}, series(uuid.Nil, store.ByState)[1])
	require.EqualValues(t, 4, series(h.ID, store.ByState)[1].Total(), "with that of the other tenant, which shares its hook here")

	hours, err := db.History.CountPerHook(t.Context(), []uuid.UUID{h.ID, uuid.New()}, minute.Add(-24*time.Hour))
	require.NoError(t, err)
	require.Len(t, hours, 1)
	last := hours[h.ID][len(hours[h.ID])-1]
	require.Equal(t, minute.Truncate(time.Hour), last.At)

	states, err := db.History.CountOpen(t.Context(), "default", minute.Add(-24*time.Hour))
	require.NoError(t, err)
	require.Equal(t, map[webhook.DeliveryState]int{webhook.Waiting: 1, webhook.Parked: 2, webhook.Dead: 1}, states)

	unhealthy, err := db.History.ListUnhealthy(t.Context(), "default", 5)
	require.NoError(t, err)
	require.Len(t, unhealthy, 1)
	require.Equal(t, webhook.ClassDNS, unhealthy[0].LastClass)
	require.Equal(t, 7, unhealthy[0].Failures)
	require.False(t, unhealthy[0].Since.IsZero())
	none, err := db.History.ListUnhealthy(t.Context(), "other", 5)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestATokenIsLookedUpByItsIDWhileItIsGood(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	_, token, err := db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "t", Role: store.Viewer})
	require.NoError(t, err)
	found, err := db.Access.FindToken(t.Context(), token.ID)
	require.NoError(t, err)
	require.Equal(t, token, found)
	require.NoError(t, db.Access.RevokeToken(t.Context(), "test", "", token.ID))
	_, err = db.Access.FindToken(t.Context(), token.ID)
	require.ErrorIs(t, err, webhook.ErrNotFound)
	_, err = db.Access.FindToken(t.Context(), uuid.New())
	require.ErrorIs(t, err, webhook.ErrNotFound)
}
