package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestASessionThatWasEndedStaysEnded(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	id := uuid.New()
	ended, err := db.Access.SessionEnded(t.Context(), id)
	require.NoError(t, err)
	require.False(t, ended)
	require.NoError(t, db.Access.EndSession(t.Context(), id, time.Now().Add(-time.Minute)))
	require.NoError(t, db.Access.EndSession(t.Context(), id, time.Now().Add(time.Hour)), "again, after its time")
	require.NoError(t, db.Access.EndSession(t.Context(), uuid.New(), time.Now().Add(-time.Minute)))
	require.NoError(t, db.Access.EndSession(t.Context(), id, time.Now().Add(time.Hour)))
	ended, err = db.Access.SessionEnded(t.Context(), id)
	require.NoError(t, err)
	require.True(t, ended)
	var kept int
	require.NoError(t, plain.GetContext(t.Context(), &kept, `SELECT count(*) FROM ended_sessions`))
	require.Equal(t, 1, kept, "what would have been over anyway is forgotten")
}

// names pages through the list to its end and back, and returns the names in its order.
func names(t *testing.T, db *store.DB, f store.HookFilter, order store.HookOrder) []string {
	t.Helper()
	var list, back []string
	page := store.HookPage{Limit: 2}
	var last []store.SortedHook
	for more := true; more; {
		var err error
		last, more, err = db.Hooks.ListSorted(t.Context(), "default", f, order, page)
		require.NoError(t, err)
		for i := range last {
			list = append(list, last[i].Name)
		}
		if len(last) > 0 {
			page.After = &last[len(last)-1].Key
		}
	}
	back = append(back, list[len(list)-len(last):]...)
	for more := len(last) > 0; more; {
		page = store.HookPage{Limit: 2, Before: &last[0].Key}
		var err error
		last, more, err = db.Hooks.ListSorted(t.Context(), "default", f, order, page)
		require.NoError(t, err)
		var these []string
		for i := range last {
			these = append(these, last[i].Name)
		}
		back = append(these, back...)
	}
	require.Equal(t, list, back, "there and back again")
	return list
}

func TestHooksAreListedInEachOrder(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ids := map[string]uuid.UUID{}
	for i, name := range []string{"delta", "Alpha", "charlie", "Bravo", "echo"} {
		h := simpleHook(i)
		h.Name = name
		stored, err := db.Hooks.Create(t.Context(), actor, h, quota, store.IdempotencyKey{})
		require.NoError(t, err)
		ids[name] = stored.ID
	}
	now := time.Now()
	var facts []*whispererv1.DeliveryFact
	for name, ago := range map[string]time.Duration{"charlie": time.Hour, "Bravo": 2 * time.Hour, "Alpha": time.Minute} {
		d := newDelivery()
		d.hook = ids[name]
		f := d.fact(webhook.Dead, 1, 0, answered(500))
		f.Attempt.StartedAt = now.Add(-ago).UnixNano()
		if name == "Alpha" {
			f.Attempt.Outcome = string(webhook.Succeeded)
		}
		facts = append(facts, f)
	}
	write(t, recorder(t, db), batchOf(facts...))
	all := store.HookFilter{}
	require.Equal(t, []string{"echo", "Bravo", "charlie", "Alpha", "delta"}, names(t, db, all, store.NewestHooks))
	require.Equal(t, []string{"delta", "Alpha", "charlie", "Bravo", "echo"}, names(t, db, all, store.OldestHooks))
	require.Equal(t, []string{"Alpha", "Bravo", "charlie", "delta", "echo"}, names(t, db, all, store.HooksByName))
	require.Equal(t, []string{"Bravo", "charlie"}, names(t, db, all, store.FailingHooksFirst)[:2])
	require.Equal(t, []string{"Alpha", "charlie", "Bravo"}, names(t, db, all, store.LatestHooksFirst)[:3])
	require.Equal(t, []string{"Alpha"}, names(t, db, store.HookFilter{Search: "alp"}, store.HooksByName))
	n, err := db.Hooks.Count(t.Context(), "default", store.HookFilter{Search: "a"})
	require.NoError(t, err)
	require.Equal(t, 5, n, "https://example.com/ has one, too")
}

func TestManyHooksArePausedAndResumedAtOnce(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	var ids []uuid.UUID
	for i := range 4 {
		h, err := db.Hooks.Create(t.Context(), actor, simpleHook(i), quota, store.IdempotencyKey{})
		require.NoError(t, err)
		ids = append(ids, h.ID)
	}
	_, err := db.Hooks.Disable(t.Context(), actor, ids[3], nil, "gone")
	require.NoError(t, err)
	pause := store.StatusChange{To: webhook.Paused, Filter: store.HookFilter{Search: "example.com"}}
	some := store.StatusChange{To: webhook.Paused, Filter: store.HookFilter{IDs: ids[:2]}}
	for _, c := range []struct {
		change store.StatusChange
		want   int
	}{{some, 2}, {some, 0}, {pause, 1}, {store.StatusChange{To: webhook.Active}, 4}, {store.StatusChange{To: webhook.Paused, Filter: store.HookFilter{IDs: []uuid.UUID{}}}, 0}} {
		n, err := db.Hooks.CountStatusChange(t.Context(), "default", c.change)
		require.NoError(t, err)
		require.Equal(t, c.want, n)
		n, err = db.Hooks.SetStatuses(t.Context(), actor, "default", c.change)
		require.NoError(t, err)
		require.Equal(t, c.want, n)
		n, err = db.Hooks.SetStatuses(t.Context(), actor, "other", c.change)
		require.NoError(t, err)
		require.Zero(t, n, "another tenant's are left alone")
	}
	h, err := db.Hooks.Get(t.Context(), "default", ids[3])
	require.NoError(t, err)
	require.Equal(t, webhook.Active, h.Status)
	require.Empty(t, h.DisabledReason)

	log, more, err := db.Access.ListAudit(t.Context(), "default", store.AuditFilter{Subject: ids[0].String(), Kind: "hook"}, store.Page{Limit: 2})
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, []string{"hook.resumed", "hook.paused"}, []string{log[0].Action, log[1].Action})
	log, more, err = db.Access.ListAudit(t.Context(), "default", store.AuditFilter{Subject: ids[0].String()}, store.Page{
		Limit: 2, Older: &store.Position{At: log[1].At, ID: log[1].ID},
	})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, log, 1)
	require.Equal(t, "hook.created", log[0].Action)
	log, _, err = db.Access.ListAudit(t.Context(), "default", store.AuditFilter{Kind: "token"}, store.Page{Limit: 2})
	require.NoError(t, err)
	require.Empty(t, log)
}

func TestAllDeliveriesOfAFilterAreTriedAgain(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	h, err := db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	off, err := db.Hooks.Create(t.Context(), actor, simpleHook(2), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	_, err = db.Hooks.Disable(t.Context(), actor, off.ID, nil, "gone")
	require.NoError(t, err)
	r := recorder(t, db)
	var facts []*whispererv1.DeliveryFact
	var events []webhook.Event
	for i, state := range []webhook.DeliveryState{webhook.Dead, webhook.Dead, webhook.Delivered, webhook.Waiting, webhook.Parked, webhook.Dead} {
		d := newDelivery()
		d.hook = h.ID
		f := d.fact(state, 1, i, answered(503))
		f.EventId = fmt.Sprintf("e-%d", i)
		if i == 1 { // to a disabled hook
			f.HookId = off.ID[:]
		}
		facts = append(facts, f)
		if i != 5 { // the payload of event 5 is no longer kept
			events = append(events, anEvent(f.GetEventId(), uint64(i+1), 0))
		}
	}
	write(t, r, batchOf(facts...))
	require.NoError(t, r.WriteEvents(t.Context(), events))
	n, err := db.Jobs.CountRetriable(t.Context(), "default", store.DeliveryFilter{}, false)
	require.NoError(t, err)
	require.Equal(t, 2, n, "the dead one and the waiting one")
	dead := store.DeliveryFilter{States: []webhook.DeliveryState{webhook.Dead}}
	n, err = db.Jobs.RetryDeliveries(t.Context(), actor, "default", dead, false)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = db.Jobs.RetryDeliveries(t.Context(), actor, "default", dead, false)
	require.NoError(t, err)
	require.Zero(t, n)
	var states []string
	require.NoError(t, plain.SelectContext(t.Context(), &states, `SELECT state || ' ' || reason || ' ' || replay FROM deliveries ORDER BY event_id`))
	require.Equal(t, "parked replay true", states[0])
	require.NotContains(t, states[1:], "parked replay true")
	var backlogs int
	require.NoError(t, plain.GetContext(t.Context(), &backlogs, `SELECT count(*) FROM backlogs WHERE hook_id = $1`, h.ID))
	require.Equal(t, 1, backlogs)
	log, _, err := db.Access.ListAudit(t.Context(), "default", store.AuditFilter{Kind: "delivery"}, store.Page{Limit: 5})
	require.NoError(t, err)
	require.Len(t, log, 1)
	require.JSONEq(t, `{"deliveries":1}`, string(log[0].Detail))
}

func TestTheDatabaseTellsOfItself(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	plain.MustExecContext(t.Context(), `INSERT INTO leases (name, holder, fence, expires_at) VALUES
		('drain:a', 'w-1', 3, now() + interval '1 minute'), ('drain:b', 'w-2', 1, now() - interval '1 minute')`)
	s, err := db.History.DescribeSystem(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^\d+(\.\d+)*$`, s.Server)
	require.Equal(t, s.Wanted, s.Schema)
	require.Positive(t, s.Size)
	require.Len(t, s.Leases, 1)
	require.Equal(t, "w-1", s.Leases[0].Holder)

	d := newDelivery()
	write(t, recorder(t, db), &whispererv1.LedgerBatch{Worker: "w-7", Facts: []*whispererv1.DeliveryFact{d.fact(webhook.Delivered, 1, 0, answered(200))}})
	seen, err := db.History.ListWorkers(t.Context(), "default", time.Time{})
	require.NoError(t, err)
	require.Len(t, seen, 1)
	require.Equal(t, "w-7", seen[0].Worker)
	require.Equal(t, 1, seen[0].Attempts)
	took, err := db.History.MeasureDurations(t.Context(), "default", time.Time{})
	require.NoError(t, err)
	require.Equal(t, 1, took.Attempts)
	resting, err := db.History.CountResting(t.Context(), "default")
	require.NoError(t, err)
	require.Zero(t, resting)
}
