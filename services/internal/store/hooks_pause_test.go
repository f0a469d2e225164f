package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestPausesEndOnce(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	pause := func(name string, until time.Time) webhook.Hook {
		h, err := db.Hooks.Create(t.Context(), "test", webhook.Hook{
			Tenant: webhook.DefaultTenant, Name: name, EventTypes: []string{"order.created"}, TargetURL: "http://example.com/" + name,
			NotificationType: webhook.NotificationREST, Status: webhook.Active,
		}, 1000, store.IdempotencyKey{})
		require.NoError(t, err)
		h, err = db.Hooks.Update(t.Context(), "test", h.Tenant, h.ID, nil, func(h *webhook.Hook) error {
			h.Status, h.PausedUntil = webhook.Paused, until
			return nil
		})
		require.NoError(t, err)
		return h
	}
	over, later, always := pause("over", time.Now().Add(-time.Second)), pause("later", time.Now().Add(time.Hour)), pause("always", time.Time{})
	disabled := pause("disabled", time.Now().Add(-time.Second))
	_, err := db.Hooks.Disable(t.Context(), "test", disabled.ID, nil, "gone")
	require.NoError(t, err)
	ended := make(chan error)
	for range 4 {
		go func() {
			_, err := db.Hooks.EndPauses(t.Context(), "somebody")
			ended <- err
		}()
	}
	for range 4 {
		require.NoError(t, <-ended)
	}
	for _, want := range []struct {
		webhook.Hook
		status webhook.HookStatus
		until  bool
	}{{over, webhook.Active, false}, {later, webhook.Paused, true}, {always, webhook.Paused, false}, {disabled, webhook.Disabled, false}} {
		h, err := db.Hooks.Get(t.Context(), want.Tenant, want.ID)
		require.NoError(t, err)
		require.Equal(t, want.status, h.Status, want.Name)
		require.Equal(t, want.until, !h.PausedUntil.IsZero(), want.Name)
	}
	log, _, err := db.Access.ListAudit(t.Context(), webhook.DefaultTenant, store.AuditFilter{Actors: []store.Actor{"somebody"}}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, log, 1)
	require.Equal(t, "hook.resumed", log[0].Action)
	require.Equal(t, over.ID.String(), log[0].Subject)
}
