//go:build faults

package faults_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// apart creates a tenant that shares no partition with the default one.
func (w *world) apart() string {
	for n := 0; ; n++ {
		tenant := fmt.Sprintf("beta-%d", n)
		if w.bus.Partition(tenant) != w.bus.Partition(webhook.DefaultTenant) {
			_, err := w.db.Access.EnsureTenant(w.t.Context(), "faults", tenant)
			require.NoError(w.t, err)
			return tenant
		}
	}
}

// TestF44FairTenants has one tenant publish a burst for a receiver that takes 5 ms, and another publish 20 events per second,
// for a hook without an order and for one with an order. All of the other tenant's events arrive during the burst.
func TestF44FairTenants(t *testing.T) {
	w := newWorld(t, false)
	burst := 20_000
	if *full {
		burst = 200_000
	}
	tenant := w.apart()
	w.receiver.reacts(func(path string, _ int) testenv.Answer {
		if strings.HasPrefix(path, "/burst") {
			return testenv.Answer{Delay: 5 * time.Millisecond}
		}
		return testenv.Answer{}
	})
	w.hook(w.receiver.URL+"/burst", func(h *webhook.Hook) { h.Config = config(t, `{"concurrency": 32}`) })
	w.hook(w.receiver.URL+"/other", func(h *webhook.Hook) { h.Tenant = tenant })
	w.hook(w.receiver.URL+"/ordered", func(h *webhook.Hook) { h.Tenant, h.Config = tenant, config(t, `{"ordering": "hook"}`) })
	w.run()
	w.run()
	began := time.Now()
	published := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < burst && err == nil; i += 1000 {
			var events []bus.Outgoing
			for j := range 1000 {
				events = append(events, event(fmt.Sprintf("burst-%d", i+j), "", `{"n":1}`))
			}
			err = w.bus.PublishEvents(t.Context(), events)
		}
		published <- err
	}()
	require.Eventually(t, func() bool { return w.receiver.Count("/burst") > burst/100 }, patience, time.Millisecond)
	sent := map[string]time.Time{}
	for i := 0; w.receiver.Count("/burst") < burst; i++ {
		e := event(fmt.Sprintf("other-%d", i), "", `{"n":1}`)
		e.Tenant = tenant
		sent[e.ID] = time.Now()
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{e}))
		w.lasts(50 * time.Millisecond)
	}
	require.NoError(t, <-published)
	rate := float64(burst) / time.Since(began).Seconds()
	arrived := map[string]int{}
	for _, path := range []string{"/other", "/ordered"} {
		arrived[path] = w.receiver.Count(path)
		require.Eventually(t, func() bool { return w.receiver.Count(path) >= len(sent) }, 5*time.Minute, 10*time.Millisecond, path)
	}
	took := map[string][]time.Duration{}
	for _, r := range w.receiver.ledger.read(t) {
		if at, there := sent[r.Event]; there {
			took[r.Hook] = append(took[r.Hook], r.At.Sub(at))
		}
	}
	for path, list := range took {
		slices.Sort(list)
		results.add(result{fault: "F44 a tenant's burst, another's " + path[1:] + " hook", part: true, note: fmt.Sprintf(
			"%d of %d: p50 %s, p99 %s, longest %s; the burst %.0f/s", len(list), burst, short(list[len(list)/2]), short(list[len(list)*99/100]),
			short(list[len(list)-1]), rate)})
		require.GreaterOrEqual(t, arrived[path], len(sent)/2, "%s waits for the burst", path)
	}
}
