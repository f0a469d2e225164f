package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// TestHooksAreCountedAsTheyChange checks that the counts for quotas agree with the hooks after each kind of change.
func TestHooksAreCountedAsTheyChange(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	run(t, plain, `INSERT INTO tenants (name) VALUES ('other')`)
	agree := func(want int) {
		t.Helper()
		var have, counted int
		require.NoError(t, plain.Get(&have, `SELECT count(*) FROM hooks WHERE deleted_at IS NULL AND tenant = $1`, webhook.DefaultTenant))
		require.NoError(t, plain.Get(&counted, `SELECT COALESCE(sum(hooks), 0) FROM hook_counts WHERE tenant = $1`, webhook.DefaultTenant))
		require.Equal(t, []int{want, want}, []int{have, counted})
	}
	made := func(n int) webhook.Hook {
		t.Helper()
		h, err := db.Hooks.Create(t.Context(), actor, simpleHook(n), quota, store.IdempotencyKey{})
		require.NoError(t, err)
		return h
	}
	first, second, third := made(1), made(2), made(3)
	agree(3)
	_, err := db.Hooks.CreateMany(t.Context(), actor, webhook.DefaultTenant, []webhook.Hook{simpleHook(4), simpleHook(5)}, quota)
	require.NoError(t, err)
	agree(5)
	require.NoError(t, db.Hooks.Delete(t.Context(), actor, webhook.DefaultTenant, first.ID, nil))
	agree(4)
	require.NoError(t, db.Hooks.DeleteSoon(t.Context(), actor, webhook.DefaultTenant, second.ID))
	agree(3)
	require.NoError(t, db.Hooks.Undelete(t.Context(), actor, webhook.DefaultTenant, second.ID))
	agree(4)
	run(t, plain, `UPDATE hooks SET tenant = 'other' WHERE id = $1`, third.ID)
	agree(3)
	run(t, plain, `UPDATE hooks SET name = 'the same'`)
	agree(3)
	run(t, plain, `TRUNCATE hooks CASCADE`)
	agree(0)

	run(t, plain, `INSERT INTO hook_counts SELECT $1, 1 FROM generate_series(1, 1000)`, webhook.DefaultTenant)
	made(6)
	agree(1)
}

// TestTheQuotaIsExact creates many hooks at once, and then deletes one.
func TestTheQuotaIsExact(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	const quota, tried = 10, 40
	create := func(ctx context.Context, n int) error {
		_, err := db.Hooks.Create(ctx, actor, simpleHook(n), quota, store.IdempotencyKey{})
		return err
	}
	errs := make([]error, tried)
	var wait sync.WaitGroup
	for n := range errs {
		wait.Go(func() { errs[n] = create(t.Context(), n) })
	}
	wait.Wait()
	refused := 0
	for _, err := range errs {
		if errors.Is(err, store.ErrQuota) {
			refused++
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, tried-quota, refused)

	run(t, plain, `INSERT INTO hook_counts VALUES ($1, 5)`, webhook.DefaultTenant) // no hook is refused because of a wrong sum
	run(t, plain, `DELETE FROM hooks WHERE id = (SELECT id FROM hooks LIMIT 1)`)
	require.NoError(t, create(t.Context(), tried))
	require.ErrorIs(t, create(t.Context(), tried+1), store.ErrQuota)
}

// TestReceiversGoUnaskedOnlyByPolicy checks that the tenant's policy is enforced in the transaction that creates the hook.
func TestReceiversGoUnaskedOnlyByPolicy(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	_, err := db.Hooks.CreateUnasked(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	for _, policy := range []webhook.Handshake{webhook.HandshakeAlways, webhook.HandshakeNewHosts} {
		require.NoError(t, db.Access.SetHandshakePolicy(t.Context(), actor, webhook.DefaultTenant, policy))
		_, err = db.Hooks.CreateUnasked(t.Context(), actor, simpleHook(2), quota, store.IdempotencyKey{})
		require.ErrorIs(t, err, store.ErrHandshake)
	}
	_, err = db.Hooks.Create(t.Context(), actor, simpleHook(2), quota, store.IdempotencyKey{})
	require.NoError(t, err)
}
