package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestManyHooksAreStoredAtOnceOrNone(t *testing.T) {
	t.Parallel()
	db, _ := at(t, testenv.Postgres(t))
	config, err := webhook.ParseConfig([]byte(`{"channel_id": 12}`))
	require.NoError(t, err)
	hooks := make([]webhook.Hook, 50)
	for i := range hooks {
		hooks[i] = webhook.Hook{
			Name:   "tab\tand \\N",
			Tenant: webhook.DefaultTenant, EventTypes: []string{"order.created", `stock.">`}, TargetURL: fmt.Sprintf("https://example.com/%d", i),
			NotificationType: webhook.NotificationREST, Config: config, Status: webhook.Active,
			Secrets: []webhook.Secret{{Value: "secret"}}, RetryConfig: []byte(`{"choice":"fixed","kwargs":{"seconds":60}}`),
		}
	}
	ids, err := db.Hooks.CreateMany(t.Context(), "test", webhook.DefaultTenant, hooks, 100)
	require.NoError(t, err)
	require.Len(t, ids, len(hooks))
	stored, err := db.Hooks.Get(t.Context(), webhook.DefaultTenant, ids[7])
	require.NoError(t, err)
	require.Equal(t, hooks[7].TargetURL, stored.TargetURL)
	require.Equal(t, hooks[7].Name, stored.Name)
	require.Equal(t, hooks[7].EventTypes, stored.EventTypes)
	require.Equal(t, hooks[7].Secrets, stored.Secrets)
	require.Nil(t, stored.Callback)
	require.JSONEq(t, string(hooks[7].RetryConfig), string(stored.RetryConfig))
	require.JSONEq(t, `{"channel_id": 12}`, string(stored.Config.Raw))

	log, _, err := db.Access.ListAudit(t.Context(), webhook.DefaultTenant, store.AuditFilter{Subject: ids[7].String()}, store.Page{Limit: 2})
	require.NoError(t, err)
	require.Len(t, log, 1)
	require.Equal(t, "hook.created", log[0].Action)

	hooks[0].TargetURL = "https://example.com/new"
	_, err = db.Hooks.CreateMany(t.Context(), "test", webhook.DefaultTenant, hooks[:2], 100)
	require.ErrorIs(t, err, webhook.ErrConflict)
	_, err = db.Hooks.CreateMany(t.Context(), "test", webhook.DefaultTenant, hooks[:1], 50)
	require.ErrorIs(t, err, store.ErrQuota)
	_, err = db.Hooks.CreateMany(t.Context(), "test", "nobody", hooks[:1], 50)
	require.ErrorIs(t, err, webhook.ErrNotFound)
	list, _, err := db.Hooks.List(t.Context(), webhook.DefaultTenant, store.HookFilter{}, store.Page{Limit: 250})
	require.NoError(t, err)
	require.Len(t, list, 50, "none of those that were refused")
}
