package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestANewHookGetsEventsFromBeforeItExisted(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	r := db.Ledger.NewRecorder()
	defer r.Close()
	var events []webhook.Event
	for i, ago := range []time.Duration{5 * time.Hour, 3 * time.Hour, 2 * time.Hour, time.Second} {
		at := time.Now().Add(-ago).UTC().Truncate(time.Microsecond)
		events = append(events, webhook.Event{
			ID: fmt.Sprintf("e-%d", i), Tenant: "default", Type: "order.created", Time: at, PublishedAt: at, Seq: webhook.Sequence(i + 1), Data: []byte(`{}`),
		})
	}
	require.NoError(t, r.WriteEvents(t.Context(), events))

	h := simpleHook(1)
	var err error
	h.Config, err = webhook.ParseConfig(json.RawMessage(`{"start_from": "PT4H"}`))
	require.NoError(t, err)
	key := store.IdempotencyKey{Key: "once", Fingerprint: [32]byte{1}}
	created, err := db.Hooks.Create(t.Context(), actor, h, quota, key)
	require.NoError(t, err)
	again, err := db.Hooks.Create(t.Context(), actor, h, quota, key)
	require.NoError(t, err)
	require.Equal(t, created.ID, again.ID)
	job := func() store.Job {
		list, _, err := db.Jobs.List(t.Context(), "default", created.ID, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0]
	}
	require.Equal(t, actor, job().Owner)
	require.Equal(t, "start_from of the new hook", job().Reason)
	require.False(t, job().Counted)
	work := func() {
		for worked := true; worked; {
			worked, err = db.Jobs.RunBatch(t.Context(), func(*webhook.Hook) func(*webhook.Event) bool { return func(*webhook.Event) bool { return true } })
			require.NoError(t, err)
		}
	}
	work()
	require.True(t, job().Counted)
	require.Equal(t, 3, job().Total)
	require.Equal(t, 2, job().Done, "what was published a second ago may not be recorded yet")
	require.Equal(t, store.JobRunning, job().State)

	_, err = plain.ExecContext(t.Context(), `UPDATE jobs SET to_at = to_at - interval '2 minutes', next_at = now()`)
	require.NoError(t, err)
	work()
	require.Equal(t, store.JobCompleted, job().State)
	parked, err := db.Queue.List(t.Context(), created.ID, 0, 100, 10)
	require.NoError(t, err)
	require.Len(t, parked, 2)
	require.Equal(t, "e-1", parked[0].Event.ID)
	require.Equal(t, "e-2", parked[1].Event.ID)
	require.WithinDuration(t, time.Now(), parked[0].ParkedAt, time.Minute)

	audit, _, err := db.Access.ListAudit(t.Context(), "default", store.AuditFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, "job.completed", audit[0].Action)
	require.Contains(t, string(audit[1].Detail), job().ID.String(), "the hook's creation tells of the job")
}

func TestAHookThatBeginsNowHasNoBackfill(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	for i, config := range []string{`{}`, `{"start_from": null}`, `{"start_from": "2100-01-01T00:00:00Z"}`} {
		h := simpleHook(i)
		var err error
		h.Config, err = webhook.ParseConfig(json.RawMessage(config))
		require.NoError(t, err)
		_, err = db.Hooks.Create(t.Context(), actor, h, quota, store.IdempotencyKey{})
		require.NoError(t, err)
	}
	list, _, err := db.Jobs.List(t.Context(), "default", [16]byte{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
}
