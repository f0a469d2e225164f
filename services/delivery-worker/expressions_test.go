package deliveryworker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// numbers returns the data of an event with 2,000 numbers.
func numbers() string { return `{"items":[` + strings.Repeat("7,", 1999) + `7]}` }

// filtered returns an edit that sets a hook's config.
func filtered(t *testing.T, config map[string]any) func(h *webhook.Hook) {
	t.Helper()
	text, err := json.Marshal(config)
	require.NoError(t, err)
	parsed, err := webhook.ParseConfig(text)
	require.NoError(t, err)
	return func(h *webhook.Hook) { h.Config = parsed }
}

// A tenant's filters cost about ten times its budget. Its events are delivered all the same, in order for a hook that wants
// order. The other tenant's events, which were published later, are not delayed.
func TestCostlyFiltersKeepNoOtherTenantWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.FilterBudget = 2_000_000
	_, err := w.db.Access.EnsureTenant(t.Context(), "test", "beta")
	require.NoError(t, err)
	const hooks, events, others = 30, 30, 10
	costly := strings.Repeat("event.data.items.all(i, i > 0) && ", 3) + "true" // 30,000 units
	for i := range hooks - 1 {
		w.hook("/costly/"+strconv.Itoa(i), filtered(t, map[string]any{"filter": costly}))
	}
	w.hook("/ordered", filtered(t, map[string]any{"filter": costly, "ordering": "hook"}))
	w.hook("/plain", nil)
	w.hook("/beta", func(h *webhook.Hook) {
		filtered(t, map[string]any{"filter": "event.data.n >= 0"})(h)
		h.Tenant = "beta"
	})
	w.run()
	for i := range events {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"c-%03d","data":%s}`, i, numbers()))
	}
	var took []time.Duration
	for i := range others {
		began := time.Now()
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "beta", Type: "order.created", Body: fmt.Appendf(nil, `{"data":{"n":%d}}`, i)}}))
		w.receiver.Await(t, "/beta", i+1)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("the other tenant's %d events took %s (half of them), %s at most", others, took[others/2], took[others-1])
	require.Less(t, w.metric("whisperer_filter_cost_units_total"), float64(hooks*events*30_000), "the costly tenant is not through when the other one is")
	for i := range hooks - 1 {
		w.receiver.Await(t, "/costly/"+strconv.Itoa(i), events)
	}
	w.receiver.Await(t, "/plain", events)
	ordered := w.receiver.Await(t, "/ordered", events)
	for i, r := range ordered {
		require.Equal(t, fmt.Sprintf("c-%03d", i), r.Header.Get("X-Whisperer-Event-Id"), "in the order of publication")
	}
	require.Positive(t, w.metric("whisperer_filter_events_put_off_total"))
	require.Greater(t, w.metric("whisperer_filter_cost_units_total"), float64(hooks*events*30_000))
	require.Eventually(t, func() bool {
		lag, err := w.bus.Lag(t.Context(), bus.Fanout)
		return err == nil && lag.Pending+lag.InFlight == 0
	}, 2*time.Minute, 50*time.Millisecond)
}

// An event is postponed because another hook of the tenant has a costly filter. Later events without such a filter are not
// postponed, but an ordered hook must still wait for the postponed one.
func TestAnOrderedHookWaitsForWhatWasPutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.FilterBudget = 10_000
	costly := strings.Repeat("event.data.items.all(i, i > 0) && ", 3) + "true" // 30,000 units
	for i := range 10 {
		w.hook("/costly/"+strconv.Itoa(i), func(h *webhook.Hook) {
			filtered(t, map[string]any{"filter": costly})(h)
			h.EventTypes = []string{"order.created"}
		})
	}
	w.hook("/ordered", func(h *webhook.Hook) {
		filtered(t, map[string]any{"ordering": "hook"})(h)
		h.EventTypes = []string{"order.created", "order.paid"}
	})
	w.hook("/plain", func(h *webhook.Hook) { h.EventTypes = []string{"order.paid"} })
	w.run()
	w.publish("order.created", fmt.Sprintf(`{"event_id":"1","data":%s}`, numbers())) // it uses up the budget of half a minute
	w.receiver.Await(t, "/ordered", 1)
	w.publish("order.created", fmt.Sprintf(`{"event_id":"2","data":%s}`, numbers()))
	require.Eventually(t, func() bool { return w.metric("whisperer_filter_events_put_off_total") == 1 }, 2*time.Minute, 5*time.Millisecond)
	w.publish("order.paid", `{"event_id":"3","data":{}}`)
	w.receiver.Await(t, "/plain", 1)
	for i, r := range w.receiver.Await(t, "/ordered", 3) {
		require.Equal(t, strconv.Itoa(i+1), r.Header.Get("X-Whisperer-Event-Id"), "in the order of publication")
	}
}

func TestWhatAFilterCannotBeEvaluatedForIsCountedAndToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/staff", filtered(t, map[string]any{"filter": `event.data.customer.group != "staff"`}))
	w.hook("/told", func(h *webhook.Hook) { h.EventTypes = []string{"hook.filter_failing"} })
	stop := w.run()
	w.publish("order.created", `{"event_id":"bad-1","data":{"customer":null}}`, `{"event_id":"bad-2","data":{}}`,
		`{"event_id":"good","data":{"customer":{"group":"shop"}}}`, `{"event_id":"staff","data":{"customer":{"group":"staff"}}}`)
	require.Equal(t, "good", w.receiver.Await(t, "/staff", 1)[0].Header.Get("X-Whisperer-Event-Id"))
	told := w.receiver.Await(t, "/told", 1)[0]
	var body struct {
		Data struct {
			HookID    string `json:"hook_id"`
			LastError string `json:"last_error"`
			Filter    string `json:"filter"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal([]byte(told.Body), &body))
	require.Equal(t, h.ID.String(), body.Data.HookID)
	require.Contains(t, body.Data.LastError, "event.data.customer is null; guard it with has(event.data.customer.group)")
	require.Equal(t, `event.data.customer.group != "staff"`, body.Data.Filter)
	require.InEpsilon(t, 2, w.metric(`whisperer_filter_failures_total{reason="error"}`), 0.001)

	// failures are recorded, add up across a restart, and are not announced twice on the same day
	failures := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool {
			day, month, err := w.db.Health.Failures(t.Context(), webhook.FilterExpression, h.ID, time.Now())
			return err == nil && day.N == n && month.N == n && (day.LastError != "") == (n > 0)
		}, 2*time.Minute, 20*time.Millisecond)
	}
	failures(2)
	stop()
	w.run()
	w.publish("order.created", `{"event_id":"bad-3","data":{"customer":null}}`)
	failures(3)
	day, _, err := w.db.Health.Failures(t.Context(), webhook.FilterExpression, h.ID, time.Now())
	require.NoError(t, err)
	require.Equal(t, "bad-3", day.EventID)
	require.Len(t, w.receiver.Got("/staff"), 1)
	require.Len(t, w.receiver.Got("/told"), 1)
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", webhook.DefaultTenant, h.ID, nil))
	failures(0)
}

// Events that were fanned out before workers knew of hooks with costly filters are evaluated within the budget of their tenant.
// The missed events of another tenant's hooks do not wait for that.
func TestCostlyFiltersKeepNoOtherTenantsMissedEventsWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.FilterBudget = 1 // one event, and then none for hours
	_, err := w.db.Access.EnsureTenant(t.Context(), "test", "beta")
	require.NoError(t, err)
	w.run()
	db := testenv.Plain(t, w.config.DatabaseURL)
	exec := func(statement string, args ...any) {
		_, err := db.ExecContext(t.Context(), statement, args...)
		require.NoError(t, err)
	}
	exec(`ALTER TABLE hooks DISABLE TRIGGER hooks_changed`)
	const events = 10
	missed := func(path, tenant string, config map[string]any) {
		h := w.hook(path, func(h *webhook.Hook) {
			filtered(t, config)(h)
			h.Tenant = tenant
		})
		for i := range events {
			body := fmt.Appendf(nil, `{"event_id":"%s-%d","data":%s}`, path[1:], i, numbers())
			require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: tenant, Type: "order.created", Body: body}}))
		}
		w.settled()
		exec(`INSERT INTO hook_gaps (hook_id, xid, tenant, since) VALUES ($1, pg_current_xact_id(), $2, $3)`, h.ID, tenant, h.CreatedAt)
		exec(`SELECT whisperer_changed('hook', $1)`, h.ID.String())
	}
	missed("/costly", webhook.DefaultTenant, map[string]any{"filter": "event.data.items.all(i, i > 0)"})
	w.receiver.Await(t, "/costly", 1)
	for _, path := range []string{"/one", "/two"} {
		missed(path, "beta", nil)
		w.receiver.Await(t, path, events)
	}
	require.Len(t, w.receiver.Got("/costly"), 1, "one evaluation: all are true")
}

// The cost of a transform is charged to the tenant like that of its filters: its next events wait, and all arrive.
func TestTheBudgetPaysForTransforms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.FilterBudget = 20_000
	const events = 12
	costly := `{"n": event.data.items.map(i, i + 1).size(), "total": event.data.total}`
	w.hook("/made", filtered(t, map[string]any{"transform": costly, "format": "raw"}))
	w.run()
	for i := range events {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"m-%d","data":{"total":1.10,%s}`, i, numbers()[1:]))
	}
	for _, r := range w.receiver.Await(t, "/made", events) {
		require.Equal(t, `{"n":2000,"total":1.10}`, r.Body)
	}
	require.Greater(t, w.metric("whisperer_filter_cost_units_total"), float64(events*20_000))
	w.publish("order.created", `{"event_id":"later","data":{"total":1,"items":[]}}`)
	require.Equal(t, `{"n":0,"total":1}`, w.receiver.Await(t, "/made", events+1)[events].Body)
	require.Positive(t, w.metric("whisperer_filter_events_put_off_total"), "the budget was waited for")
}
