package deliveryworker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// settled waits until no event and no retry is pending or in flight, and everything is recorded.
func (w *world) settled() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		for _, c := range []bus.Consumer{bus.Fanout, bus.EventRecorder, bus.FactRecorder} {
			lag, err := w.bus.Lag(w.t.Context(), c)
			if err != nil || lag.Settled < lag.Last && lag.Pending+lag.InFlight > 0 {
				return false
			}
		}
		return true
	}, 2*time.Minute, 10*time.Millisecond)
}

// lie is a wrong belief about a hook in a worker's index.
type lie struct {
	Hook   int
	Belief string
}

// story is what happens to three hooks, and what the worker wrongly believes about them meanwhile.
type story struct {
	// Before and After are the statuses in the database, or "deleted".
	Before, After [3]string
	Fails         [3]bool
	Lies          []lie
}

func stories() *rapid.Generator[story] {
	return rapid.Custom(func(t *rapid.T) (s story) {
		for i := range s.Before {
			s.Before[i] = rapid.SampledFrom([]string{"active", "paused"}).Draw(t, "before")
			s.After[i] = rapid.SampledFrom([]string{"active", "paused", "disabled", "deleted"}).Draw(t, "after")
			s.Fails[i] = rapid.Bool().Draw(t, "fails")
		}
		s.Lies = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) lie {
			return lie{rapid.IntRange(0, 2).Draw(t, "hook"), rapid.SampledFrom([]string{"unknown", "disabled", "active", "paused"}).Draw(t, "belief")}
		}), 1, 6).Draw(t, "lies")
		return s
	})
}

// Whatever a worker believes about hooks, however outdated, it ends no delivery of a hook that exists and is not disabled.
func TestNothingThatAWorkerBelievesEndsADelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run()
	db := testenv.Plain(t, w.config.DatabaseURL)
	for seed := range 12 {
		s := stories().Example(seed)
		var hooks [3]webhook.Hook
		for i := range hooks {
			path := fmt.Sprintf("/%d/%d", seed, i)
			if s.Fails[i] {
				w.receiver.Answer(path, testenv.Answer{Status: http.StatusServiceUnavailable})
			}
			hooks[i] = w.hook(path, func(h *webhook.Hook) {
				h.EventTypes, h.Status = []string{fmt.Sprintf("story%d.>", seed)}, webhook.HookStatus(s.Before[i])
				h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
			})
		}
		publish := func(when string) {
			for i := range 3 {
				w.publish(fmt.Sprintf("story%d.x", seed), fmt.Sprintf(`{"event_id":"%d-%s-%d","data":{}}`, seed, when, i))
			}
		}
		publish("first")
		w.settled()
		for i, h := range hooks {
			if s.After[i] == "deleted" {
				require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", h.Tenant, h.ID, nil))
			} else {
				w.setStatus(h, webhook.HookStatus(s.After[i]))
			}
		}
		for n, l := range s.Lies {
			h := hooks[l.Hook]
			if l.Belief == "unknown" {
				w.service.Index().Remove(h.ID)
			} else {
				h.Status = webhook.HookStatus(l.Belief)
				w.service.Index().Put(h)
			}
			publish(fmt.Sprint(n))
			w.settled()
		}
		<-time.After(1200 * time.Millisecond) // retries come due, and the drainer looks at backlogs
		w.settled()
		for i, h := range hooks {
			if s.After[i] == "disabled" || s.After[i] == "deleted" {
				continue
			}
			var ended string
			require.NoError(t, db.QueryRowContext(t.Context(), `
				SELECT coalesce(string_agg(state || ' ' || reason, ', '), '') FROM deliveries
				WHERE hook_id = $1 AND state IN ('cancelled', 'dead')`, h.ID).Scan(&ended))
			require.Empty(t, ended, "%+v", s)
		}
		for i, h := range hooks { // remove the hooks, so that they do not affect the next story
			if s.After[i] != "deleted" {
				require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", h.Tenant, h.ID, nil))
			}
		}
	}
}

// Events, including those that Whisperer publishes itself, that were fanned out before the worker knew a hook are delivered to
// the hook as soon as every worker knows it.
func TestAHookGetsWhatWasFannedOutBeforeWorkersKnewIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run()
	db := testenv.Plain(t, w.config.DatabaseURL)
	exec := func(statement string, args ...any) {
		_, err := db.ExecContext(t.Context(), statement, args...)
		require.NoError(t, err)
	}
	w.receiver.Answer("/gone", testenv.Answer{Status: http.StatusGone})
	gone := w.hook("/gone", func(h *webhook.Hook) { h.EventTypes = []string{"order.gone"} })
	require.Eventually(t, func() bool { return w.service.Index().Get(gone.ID) != nil }, 2*time.Minute, 5*time.Millisecond)
	exec(`ALTER TABLE hooks DISABLE TRIGGER hooks_changed`)
	h := w.hook("/late", func(h *webhook.Hook) {
		h.EventTypes, h.Config = []string{"order.created", "hook.disabled"}, config(t, `{"filter":"event.type == 'hook.disabled' || event.data.n < 20"}`)
	})
	var want []string
	for n := range 30 {
		id := fmt.Sprintf("e-%02d", n)
		w.publish("order.created", fmt.Sprintf(`{"event_id":"%s","data":{"n":%d}}`, id, n))
		if n < 20 {
			want = append(want, id)
		}
	}
	w.publish("order.gone", `{"event_id":"gone","data":{}}`)
	w.receiver.Await(t, "/gone", 1)
	require.Eventually(t, func() bool {
		lag, err := w.bus.Lag(t.Context(), bus.OwnFanout)
		return err == nil && lag.Stored == 2 && lag.Done(lag.Last)
	}, 2*time.Minute, 10*time.Millisecond, "delivery.dead and hook.disabled are published")
	w.settled()
	require.Empty(t, w.receiver.Got("/late"), "nobody told the worker of the hook")
	// a worker that does not know the hook yet keeps the gap open
	exec(`INSERT INTO workers (id, name, snapshot, expires_at) VALUES ($1, 'slow', pg_current_snapshot(), clock_timestamp() + interval '1 hour')`, uuid.Nil)
	exec(`ALTER TABLE hooks ENABLE TRIGGER hooks_changed`)
	exec(`INSERT INTO hook_gaps (hook_id, xid, tenant, since) VALUES ($1, pg_current_xact_id(), 'default', $2)`, h.ID, h.CreatedAt)
	exec(`SELECT whisperer_changed('hook', $1)`, h.ID.String())
	require.Eventually(t, func() bool { return w.service.Index().Get(h.ID) != nil }, 2*time.Minute, 5*time.Millisecond)
	w.publish("order.created", `{"event_id":"last","data":{"n":1}}`)
	require.Equal(t, []string{"last"}, ids(w.receiver.Await(t, "/late", 1)))
	exec(`DELETE FROM workers WHERE id = $1`, uuid.Nil)
	got := ids(w.receiver.Await(t, "/late", 22))
	require.Subset(t, got, append(want, "last"))
	require.True(t, slices.ContainsFunc(got, func(id string) bool { return strings.HasPrefix(id, webhook.ReservedIDPrefix) }), "%s", got)
	for _, id := range want {
		w.recorded(h, id, time.Now(), webhook.Delivered)
	}
	require.Len(t, w.receiver.Got("/late"), 22)
	require.Eventually(t, func() bool {
		var open int
		return db.QueryRowContext(t.Context(), `SELECT count(*) FROM hook_gaps WHERE NOT done`).Scan(&open) == nil && open == 0
	}, 2*time.Minute, 20*time.Millisecond)
}

// An event published right after a hook was created, or got more event types, reaches the hook.
func TestAnEventRightAfterAHookWasMadeReachesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run()
	w.run()
	const hooks = 100
	for i := range hooks {
		path := fmt.Sprint("/", i)
		h := w.hook(path, func(h *webhook.Hook) { h.EventTypes = []string{fmt.Sprintf("new%d.>", i)} })
		w.publish(fmt.Sprintf("new%d.created", i), fmt.Sprintf(`{"event_id":"created-%d","data":{}}`, i))
		_, err := w.db.Hooks.Update(t.Context(), "test", h.Tenant, h.ID, nil, func(h *webhook.Hook) error {
			h.EventTypes = append(h.EventTypes, fmt.Sprintf("more%d.>", i))
			return nil
		})
		require.NoError(t, err)
		w.publish(fmt.Sprintf("more%d.created", i), fmt.Sprintf(`{"event_id":"widened-%d","data":{}}`, i))
	}
	for i := range hooks {
		got := ids(w.receiver.Await(t, fmt.Sprint("/", i), 2))
		require.ElementsMatch(t, []string{fmt.Sprintf("created-%d", i), fmt.Sprintf("widened-%d", i)}, got)
	}
}
