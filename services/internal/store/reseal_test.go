package store_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestSecretsAreSealedAnewWithTheCurrentKey(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	open := func(keys string) *store.DB {
		ring, err := seal.ParseRing(keys)
		require.NoError(t, err)
		db, err := store.Open(database, 2, ring)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}
	lost, old, current := seal.NewKey(), seal.NewKey(), seal.NewKey()
	create := func(db *store.DB, n int, secret string) webhook.Hook {
		return testenv.MakeHook(t, db, fmt.Sprintf("http://example.com/%d", n), func(h *webhook.Hook) {
			if secret != "" {
				h.Secrets = []webhook.Secret{{Value: secret}}
			}
		})
	}
	before := open(old)
	hooks := make([]webhook.Hook, 120)
	for i := range hooks {
		var err error
		hooks[i], err = before.Hooks.Get(t.Context(), webhook.DefaultTenant, create(before, i, fmt.Sprintf("secret %d", i)).ID)
		require.NoError(t, err)
	}
	create(before, 1000, "")
	stranger := create(open(lost), 1001, "lost")
	broken := hooks[60] // in the middle of a batch
	_, err := testenv.Plain(t, database).ExecContext(t.Context(), `UPDATE hooks SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1) WHERE id = $1`, broken.ID)
	require.NoError(t, err)
	hooks = slices.Delete(hooks, 60, 61)

	db := open(current + "," + old)
	calls := 0
	done, err := db.Access.Reseal(t.Context(), "test", func(int) { calls++ })
	require.ErrorIs(t, err, seal.ErrUnknownKey)
	require.ErrorContains(t, err, stranger.ID.String())
	require.ErrorContains(t, err, broken.ID.String(), "the others are sealed all the same")
	var unsealed *store.UnsealedError
	require.ErrorAs(t, err, &unsealed)
	require.Equal(t, 2, unsealed.Count)
	require.Equal(t, len(hooks), done)
	require.Equal(t, 3, calls, "in batches")
	keys, err := db.Access.SealedKeys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 3, "the current one, that of the damaged row, and the lost one")
	for _, k := range keys {
		require.Equal(t, map[bool]int{true: len(hooks), false: 1}[k.Current], k.Hooks)
	}
	after := open(current)
	for _, h := range hooks {
		got, err := after.Hooks.Get(t.Context(), webhook.DefaultTenant, h.ID)
		require.NoError(t, err)
		require.Equal(t, h, got, "nothing but the seal has changed")
	}
	log, _, err := db.Access.ListAudit(t.Context(), "", store.AuditFilter{Kind: "secrets"}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, log, 3)

	require.NoError(t, before.Hooks.Delete(t.Context(), "test", webhook.DefaultTenant, stranger.ID, nil))
	require.NoError(t, before.Hooks.Delete(t.Context(), "test", webhook.DefaultTenant, broken.ID, nil))
	done, err = db.Access.Reseal(t.Context(), "test", func(int) {})
	require.NoError(t, err)
	require.Zero(t, done)
}
