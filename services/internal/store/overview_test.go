package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestAnOverviewCountsOneTenantsDeliveries(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	config, err := webhook.ParseConfig(nil)
	require.NoError(t, err)
	h, err := db.Hooks.CreateHook(t.Context(), "test", webhook.Hook{
		Tenant: "default", Name: "north", EventTypes: []string{"order.created"}, TargetURL: "http://example.com/", NotificationType: "rest",
		Config: config, Status: webhook.Active,
	}, 10, store.IdempotencyKey{})
	require.NoError(t, err)

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

	buckets, err := db.History.PerMinute(t.Context(), "default", minute.Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, []store.Bucket{
		{At: minute.Add(-5 * time.Minute), Counts: store.Counts{Open: 1}},
		{At: minute, Counts: store.Counts{Delivered: 1, Open: 1, Dead: 1}},
	}, buckets)
	require.Equal(t, 3, buckets[1].Total())

	hours, err := db.History.PerHook(t.Context(), []uuid.UUID{h.ID, uuid.New()}, minute.Add(-24*time.Hour), store.Hourly)
	require.NoError(t, err)
	require.Len(t, hours, 1)
	last := hours[h.ID][len(hours[h.ID])-1]
	require.Equal(t, minute.Truncate(time.Hour), last.At)

	states, err := db.History.OpenStates(t.Context(), "default", minute.Add(-24*time.Hour))
	require.NoError(t, err)
	require.Equal(t, map[webhook.DeliveryState]int{webhook.Waiting: 1, webhook.Parked: 2, webhook.Dead: 1}, states)

	unhealthy, err := db.History.UnhealthyHooks(t.Context(), "default", 5)
	require.NoError(t, err)
	require.Len(t, unhealthy, 1)
	require.Equal(t, webhook.ClassDNS, unhealthy[0].LastClass)
	require.Equal(t, 7, unhealthy[0].Failures)
	require.False(t, unhealthy[0].Since.IsZero())
	none, err := db.History.UnhealthyHooks(t.Context(), "other", 5)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestATokenIsLookedUpByItsIDWhileItIsGood(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	_, token, err := db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "t", Role: store.Viewer})
	require.NoError(t, err)
	found, err := db.Access.ValidToken(t.Context(), token.ID)
	require.NoError(t, err)
	require.Equal(t, token, found)
	require.NoError(t, db.Access.RevokeToken(t.Context(), "test", "", token.ID))
	_, err = db.Access.ValidToken(t.Context(), token.ID)
	require.ErrorIs(t, err, webhook.ErrNotFound)
	_, err = db.Access.ValidToken(t.Context(), uuid.New())
	require.ErrorIs(t, err, webhook.ErrNotFound)
}
