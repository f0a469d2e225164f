package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestADeletedHookComesBackAsItWas(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	create := func(name string) (webhook.Hook, error) {
		return db.Hooks.Create(t.Context(), "test", webhook.Hook{
			Tenant: webhook.DefaultTenant, Name: name, EventTypes: []string{"order.created"}, TargetURL: "http://example.com/" + name,
			NotificationType: webhook.NotificationREST, Status: webhook.Active, Secrets: []webhook.Secret{{Value: "a secret of it"}},
			Headers: map[string]string{"X-Shop": "north"},
		}, 4, store.IdempotencyKey{})
	}
	made := map[string]webhook.Hook{}
	for _, name := range []string{"active", "paused", "disabled", "meanwhile"} {
		h, err := create(name)
		require.NoError(t, err)
		made[name] = h
	}
	until := time.Now().Add(-time.Second).UTC().Truncate(time.Microsecond)
	_, err := db.Hooks.Update(t.Context(), "test", webhook.DefaultTenant, made["paused"].ID, nil, func(h *webhook.Hook) error {
		h.Status, h.PausedUntil = webhook.Paused, until
		return nil
	})
	require.NoError(t, err)
	_, err = db.Hooks.Disable(t.Context(), "test", made["disabled"].ID, nil, "gone")
	require.NoError(t, err)
	before := map[string]webhook.Hook{}
	for name, h := range made {
		before[name], err = db.Hooks.Get(t.Context(), h.Tenant, h.ID)
		require.NoError(t, err)
		require.NoError(t, db.Hooks.DeleteSoon(t.Context(), "somebody", h.Tenant, h.ID))
		require.ErrorIs(t, db.Hooks.DeleteSoon(t.Context(), "somebody", h.Tenant, h.ID), webhook.ErrNotFound, "it is gone for all")
		require.ErrorIs(t, db.Hooks.Delete(t.Context(), "somebody", h.Tenant, h.ID, nil), webhook.ErrNotFound)
		_, err = db.Hooks.Get(t.Context(), h.Tenant, h.ID)
		require.ErrorIs(t, err, webhook.ErrNotFound)
	}
	list, _, err := db.Hooks.List(t.Context(), webhook.DefaultTenant, store.HookFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
	n, err := db.Hooks.EndPauses(t.Context(), "somebody")
	require.NoError(t, err)
	require.Zero(t, n, "the end of a pause waits")
	_, err = db.Hooks.Disable(t.Context(), "worker", made["meanwhile"].ID, nil, "410")
	require.NoError(t, err)

	again, err := create("active")
	require.NoError(t, err, "neither the quota nor its target URL is taken")
	err = db.Hooks.Undelete(t.Context(), "somebody", webhook.DefaultTenant, made["active"].ID)
	var conflict *webhook.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, again.ID, conflict.ID)
	require.NoError(t, db.Hooks.Delete(t.Context(), "test", again.Tenant, again.ID, nil))

	n, err = db.Hooks.EndDeletions(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	for name, h := range made {
		d, err := db.Hooks.Deleted(t.Context(), h.Tenant, h.ID)
		require.NoError(t, err)
		require.Equal(t, name, d.Hook.Name)
		require.LessOrEqual(t, d.Left, store.UndoTime)
		require.ErrorIs(t, db.Hooks.Undelete(t.Context(), "somebody", "other", h.ID), webhook.ErrNotFound)
		require.NoError(t, db.Hooks.Undelete(t.Context(), "somebody", h.Tenant, h.ID))
		require.ErrorIs(t, db.Hooks.Undelete(t.Context(), "somebody", h.Tenant, h.ID), webhook.ErrNotFound, "once")
		after, err := db.Hooks.Get(t.Context(), h.Tenant, h.ID)
		require.NoError(t, err)
		want := before[name]
		want.Version, want.ModifiedAt = after.Version, after.ModifiedAt
		if name == "meanwhile" {
			want.Status, want.DisabledReason = webhook.Disabled, "410"
		}
		require.Equal(t, want, after)
	}
	n, err = db.Hooks.EndPauses(t.Context(), "somebody")
	require.NoError(t, err)
	require.Equal(t, 1, n, "the pause that was over")
}

func TestDeletionsThatCannotBeUndoneAreCarriedOutOnce(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	var hooks []webhook.Hook
	for _, name := range []string{"over", "not yet", "resumed by an older program"} {
		h, err := db.Hooks.Create(t.Context(), "test", webhook.Hook{
			Tenant: webhook.DefaultTenant, Name: name, EventTypes: []string{"order.created"}, TargetURL: "http://example.com/" + name,
			NotificationType: webhook.NotificationREST, Status: webhook.Active,
		}, 1000, store.IdempotencyKey{})
		require.NoError(t, err)
		require.NoError(t, db.Hooks.DeleteSoon(t.Context(), "test", h.Tenant, h.ID))
		hooks = append(hooks, h)
	}
	plain := testenv.Plain(t, db.URL)
	_, err := plain.ExecContext(t.Context(), `UPDATE hooks SET deleted_at = deleted_at - interval '1 minute' WHERE name <> 'not yet'`)
	require.NoError(t, err)
	_, err = plain.ExecContext(t.Context(), `UPDATE hooks SET status = 'active' WHERE name LIKE 'resumed%'`)
	require.NoError(t, err)
	type ended struct {
		n   int
		err error
	}
	all := make(chan ended)
	for range 4 {
		go func() {
			n, err := db.Hooks.EndDeletions(t.Context())
			all <- ended{n, err}
		}()
	}
	sum := 0
	for range 4 {
		e := <-all
		require.NoError(t, e.err)
		sum += e.n
	}
	require.Equal(t, 1, sum)
	require.ErrorIs(t, db.Hooks.Undelete(t.Context(), "test", webhook.DefaultTenant, hooks[0].ID), webhook.ErrNotFound)
	require.NoError(t, db.Hooks.Undelete(t.Context(), "test", webhook.DefaultTenant, hooks[1].ID))
	h, err := db.Hooks.Get(t.Context(), webhook.DefaultTenant, hooks[2].ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, h.Status)
}
