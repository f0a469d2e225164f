package store_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// TestHooksThatAreCreatedAtOnceStandForThemselves has hooks share transactions: an error of one is neither reported for
// another, nor does it undo another.
func TestHooksThatAreCreatedAtOnceStandForThemselves(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	const good, same = 20, 8
	hooks := make([]webhook.Hook, 0, good+same+2)
	for n := range good {
		hooks = append(hooks, simpleHook(n))
	}
	for range same {
		hooks = append(hooks, simpleHook(1000))
	}
	refused, stranger := simpleHook(2000), simpleHook(2001)
	refused.EventTypes, stranger.Tenant = nil, "nobody"
	hooks = append(hooks, refused, stranger)
	created, errs := make([]webhook.Hook, len(hooks)), make([]error, len(hooks))
	var wait sync.WaitGroup
	for i, h := range hooks {
		by := []store.Actor{"one", "another"}[i%2]
		wait.Go(func() { created[i], errs[i] = db.Hooks.Create(t.Context(), by, h, quota, store.IdempotencyKey{}) })
	}
	wait.Wait()

	var first webhook.Hook
	var conflicts []*webhook.ConflictError
	for i, err := range errs[good : good+same] {
		if conflict, ok := errors.AsType[*webhook.ConflictError](err); ok {
			conflicts = append(conflicts, conflict)
			continue
		}
		require.NoError(t, err)
		first = created[good+i]
	}
	require.Len(t, conflicts, same-1)
	for _, conflict := range conflicts {
		require.Equal(t, first.ID, conflict.ID)
	}
	require.ErrorContains(t, errs[good+same], "event_types")
	require.ErrorIs(t, errs[good+same+1], webhook.ErrNotFound)
	for i, h := range created[:good] {
		require.NoError(t, errs[i])
		require.Equal(t, hooks[i].TargetURL, h.TargetURL)
		var by string
		require.NoError(t, plain.Get(&by, `SELECT actor FROM audit WHERE action = 'hook.created' AND subject = $1`, h.ID.String()))
		require.Equal(t, []string{"one", "another"}[i%2], by)
	}
	var stored int
	require.NoError(t, plain.Get(&stored, `SELECT count(*) FROM hooks`))
	require.Equal(t, good+1, stored)
}

// TestAHookThatExistsTakesNoRoomInTheQuota creates one new hook at the same time as many that exist already.
func TestAHookThatExistsTakesNoRoomInTheQuota(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	const rounds, same = 5, 30
	create := func(n, quota int) error {
		_, err := db.Hooks.Create(t.Context(), actor, simpleHook(n), quota, store.IdempotencyKey{})
		return err
	}
	require.NoError(t, create(0, quota))
	for round := range rounds {
		var wait sync.WaitGroup
		var fresh error
		for n := range same {
			wait.Go(func() { _ = create(0, round+2) })
			if n == same-1 {
				wait.Go(func() { fresh = create(round+1, round+2) })
			}
		}
		wait.Wait()
		require.NoError(t, fresh, "there is room for one more")
	}
}
