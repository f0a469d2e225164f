//go:build faults

package faults_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// TestF40CostlyFilters has one tenant publish events for 200 hooks with costly filters, each of which uses up the cost limit of
// an evaluation, while another tenant publishes 20 events per second. All of the other tenant's events arrive before the costly
// tenant's are done, and all of the costly tenant's arrive in the end.
func TestF40CostlyFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	const costly, others = 200, 200
	events := 5 // each uses up half a minute of the tenant's budget
	if *full {
		events = 30
	}
	_, err := w.db.Access.EnsureTenant(t.Context(), "faults", "beta")
	require.NoError(t, err)
	filter, err := json.Marshal(map[string]any{
		"concurrency": concurrency, "filter": "event.data.items.all(a, event.data.items.all(b, a + b >= 0))", // never finishes
	})
	require.NoError(t, err)
	for i := range costly {
		w.hook(fmt.Sprintf("%s/costly/%d", w.receiver.URL, i), func(h *webhook.Hook) { h.Config = config(t, string(filter)) })
	}
	w.hook(w.receiver.URL+"/plain", nil)
	w.hook(w.receiver.URL+"/beta", func(h *webhook.Hook) { h.Tenant = "beta" })
	w.run()
	numbers := strings.Repeat("7,", 1999) + "7"
	for i := range events {
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{event(fmt.Sprintf("costly-%d", i), "", `{"items":[`+numbers+`]}`)}))
	}
	var took []time.Duration
	for i := range others {
		e := event(fmt.Sprintf("beta-%d", i), "", `{"n":1}`)
		e.Tenant = "beta"
		began := time.Now()
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{e}))
		require.Eventually(t, func() bool { return w.receiver.Count("/beta") > i }, patience, time.Millisecond)
		took = append(took, time.Since(began))
		w.lasts(max(0, 50*time.Millisecond-time.Since(began)))
	}
	through := w.receiver.Count("/plain")
	require.Less(t, through, events, "the costly tenant is through first")
	slices.Sort(took)
	t.Logf("F40 costly filters: of the other tenant's %d events p50 %s, p99 %s, longest %s, when %d of %d costly ones were through",
		others, took[others/2], took[others*99/100], took[others-1], through, events)
	require.Eventually(t, func() bool { return w.receiver.Count("/plain") >= events }, 10*time.Minute, 100*time.Millisecond)
	require.Zero(t, w.receiver.Count("/costly/0"))
}
