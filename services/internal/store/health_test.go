package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestWhatAHookDidBeforeItWasResumedOrMovedIsNotHeldAgainstIt(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	rec := recorder(t, db)
	now := time.Now()
	var ids []uuid.UUID
	fails := func(hook uuid.UUID, number uint32, ago time.Duration) {
		d := newDelivery()
		d.hook = hook
		f := d.fact(webhook.Waiting, number, int(number), answered(500))
		f.Attempt.StartedAt = now.Add(-ago).UnixNano()
		write(t, rec, batchOf(f))
	}
	failing := func() map[uuid.UUID]store.Failing {
		list, err := db.Health.ListFailing(t.Context(), now.Add(2*time.Hour))
		require.NoError(t, err)
		byID := map[uuid.UUID]store.Failing{}
		for _, f := range list {
			byID[f.HookID] = f
		}
		return byID
	}
	for i := range 5 {
		h, err := db.Hooks.Create(t.Context(), actor, simpleHook(i), quota, store.IdempotencyKey{})
		require.NoError(t, err)
		ids = append(ids, h.ID)
		fails(h.ID, 1, 120*time.Hour)
	}
	require.Len(t, failing(), 5)
	require.NoError(t, db.Health.NoteWarning(t.Context(), actor, failing()[ids[0]], 90))
	edit := func(id uuid.UUID, change func(*webhook.Hook)) {
		_, err := db.Hooks.Update(t.Context(), actor, webhook.DefaultTenant, id, nil, func(h *webhook.Hook) error {
			change(h)
			return nil
		})
		require.NoError(t, err)
	}
	to := func(status webhook.HookStatus) func(*webhook.Hook) {
		return func(h *webhook.Hook) { h.Status = status }
	}
	// These hooks are: paused and resumed; disabled and resumed together with others; moved to another URL; only renamed; only
	// paused.
	edit(ids[0], to(webhook.Paused))
	edit(ids[0], to(webhook.Active))
	_, err := db.Hooks.Disable(t.Context(), actor, ids[1], nil, "every attempt failed")
	require.NoError(t, err)
	n, err := db.Hooks.SetStatuses(t.Context(), actor, webhook.DefaultTenant, store.StatusChange{To: webhook.Active})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	edit(ids[2], func(h *webhook.Hook) { h.TargetURL = "https://moved.example/" })
	edit(ids[3], func(h *webhook.Hook) { h.Name = "renamed" })
	edit(ids[4], to(webhook.Paused))

	left := failing()
	require.Len(t, left, 1, "neither as failing nor as recovered from a warning")
	require.Contains(t, left, ids[3])
	for _, id := range ids[:3] {
		fails(id, 2, time.Hour) // recorded late
	}
	require.Len(t, failing(), 1)
	for _, id := range ids[:3] {
		fails(id, 3, -time.Hour)
	}
	left = failing()
	require.Len(t, left, 4)
	for _, id := range ids[:3] {
		require.Equal(t, 1, left[id].Failures)
		require.WithinDuration(t, now.Add(time.Hour), *left[id].Since, time.Second)
		require.Zero(t, left[id].Warned)
	}
	edit(ids[4], to(webhook.Active))
	require.Len(t, failing(), 4, "what it did before the pause is forgotten, too")
}

func TestAnAttemptThatIsRecordedLateDoesNotUndoANewerOne(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	rec := recorder(t, db)
	now := time.Now()
	h, err := db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	attempt := func(status uint32, ago time.Duration) {
		d := newDelivery()
		d.hook = h.ID
		state := webhook.Waiting
		if status == 200 {
			state = webhook.Delivered
		}
		f := d.fact(state, 1, 1, answered(status))
		f.Attempt.StartedAt = now.Add(-ago).UnixNano()
		write(t, rec, batchOf(f))
	}
	failing := func(failures int, ago time.Duration) {
		t.Helper()
		list, err := db.Health.ListFailing(t.Context(), now.Add(time.Minute))
		require.NoError(t, err)
		if failures == 0 {
			require.Empty(t, list)
			return
		}
		require.Len(t, list, 1)
		require.Equal(t, failures, list[0].Failures)
		require.WithinDuration(t, now.Add(-ago), *list[0].Since, time.Second)
	}
	attempt(200, 60*time.Minute)
	attempt(500, 90*time.Minute)
	failing(0, 0)
	attempt(500, 30*time.Minute)
	attempt(200, 45*time.Minute)
	failing(1, 30*time.Minute)
	attempt(500, 35*time.Minute)
	failing(2, 35*time.Minute)
	attempt(200, 32*time.Minute)
	list, err := db.Health.ListFailing(t.Context(), now.Add(time.Minute))
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.WithinDuration(t, now.Add(-32*time.Minute), *list[0].Since, time.Second, "no later than the first failure after the success")
	attempt(200, 10*time.Minute)
	failing(0, 0)
	attempt(500, 5*time.Minute)
	failing(1, 5*time.Minute)
}
