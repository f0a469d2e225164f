//go:build faults

package faults_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// TestLongF18ClocksThatStep steps the clocks of one of two workers and of the API by an hour and a day, forward and back.
// Meanwhile some deliveries fail and are retried four seconds later, and others exceed their hook's rate and are drained under
// a lease. Signed timestamps are wrong like the clock: the operations guide documents this limit, and the worker logs a
// warning.
func TestLongF18ClocksThatStep(t *testing.T) {
	wrongWorker, wrongAPI := buildWrongClocks(t)
	w := newWorld(t, false)
	w.receiver.tolerance = 25 * time.Hour
	const wait = 4 * time.Second
	for i := range hooks {
		w.hooks = append(w.hooks, w.hook(fmt.Sprintf("%s/good/%d", w.receiver.URL, i), func(h *webhook.Hook) {
			h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":4}}`)
			if i == 0 {
				h.Config = config(t, `{"rate_limit":{"limit":15,"period":1}}`)
			}
		}))
	}
	w.receiver.reacts(flaky)
	clock := filepath.Join(w.dir, "clock")
	step := func(d time.Duration) {
		require.NoError(t, os.WriteFile(clock+".new", []byte(strconv.Itoa(int(d.Seconds()))), 0o600))
		require.NoError(t, os.Rename(clock+".new", clock))
	}
	step(time.Hour)
	usual, usualAPI := worker, subscriptionAPI
	worker, subscriptionAPI = wrongWorker, wrongAPI // no other scenario runs at the same time
	w.run(clockFile + "=" + clock)
	token, _, err := w.db.Access.CreateToken(t.Context(), "faults", store.NewToken{Name: "faults", Tenant: webhook.DefaultTenant, Role: store.Admin})
	require.NoError(t, err)
	a := w.runAPI(freePort(t), token, clockFile+"="+clock)
	worker, subscriptionAPI = usual, usualAPI
	w.run()
	a.awaitReady(t, patience)

	stop := w.load(20, 1)
	began := time.Now()
	var mu sync.Mutex
	created := map[string]uuid.UUID{}
	for n, d := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, 0} {
		step(d)
		w.create(t, a, fmt.Sprintf("clock-%d", n), &mu, created)
		w.lasts(seconds(4, 20))
	}
	ended := time.Now()
	stop()
	w.settled(patience)
	untimely, early := 0, time.Duration(0)
	for id, list := range w.history().receipts {
		for i, r := range list {
			if r.Untimely {
				untimely++
			}
			if i > 0 && list[i-1].Status >= http.StatusMultipleChoices {
				early = max(early, wait-r.At.Sub(list[i-1].At))
				require.LessOrEqual(t, early, time.Second, "delivery %s was tried again too early", id)
			}
		}
	}
	require.Positive(t, untimely, "the clock is wrong")
	require.Positive(t, w.said("clock differs from PostgreSQL's"))
	w.check(check{
		fault: "F18 clocks of a worker and the API step", bound: 0, faults: []window{{began, ended}},
		// the hook with a rate is sent 22 requests per second and gets 15, so it lags by half of the time
		recovery: 2*again + ended.Sub(began)/2 + slack(),
		note:     fmt.Sprintf("retries early by %s at most, %d requests with a wrong time,", short(max(0, early)), untimely),
	})
}
