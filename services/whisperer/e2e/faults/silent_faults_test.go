//go:build faults

package faults_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// TestF37PostgresThatSaysNothing makes PostgreSQL silent under load, for all workers: stopped, or behind a network that drops
// everything. The table shows how fast the fan-out goes on; everything is recorded afterwards.
func TestF37PostgresThatSaysNothing(t *testing.T) {
	t.Parallel()
	for name, fall := range map[string]func(w *world, p *proxy) (end func()){
		"is stopped": func(w *world, _ *proxy) func() { return w.hangPostgres(w.administrator()) },
		"is behind a black hole": func(_ *world, p *proxy) func() {
			p.swallow(true)
			return func() { p.swallow(false) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			w.hooks = append(w.hooks, w.hook(w.receiver.URL+"/good/0", func(h *webhook.Hook) { h.Config = config(t, `{"concurrency":64}`) }))
			database, err := url.Parse(w.pg.URL("postgres"))
			require.NoError(t, err)
			p := newProxy(t, database.Host, false)
			database.Host = p.at
			for range 2 {
				w.run("WHISPERER_DATABASE_URL=" + database.String())
			}
			rate, group := 300, 5
			if *full {
				rate, group = 1000, 20
			}
			stop := w.load(rate, group)
			w.lasts(3 * time.Second)
			quiet := time.Now()
			w.lasts(seconds(6, 20))
			began := time.Now()
			end := fall(w, p)
			w.lasts(seconds(15, 76))
			ended := time.Now()
			end()
			w.lasts(5 * time.Second)
			stop()
			w.settled(5 * time.Minute)
			h := w.history()
			before, during := h.pace(quiet, began), h.pace(began, ended)
			w.check(check{
				fault: "F37 PostgreSQL " + name, faults: []window{{began, ended}},
				note: fmt.Sprintf("%.0f deliveries/s before, %.2f of that meanwhile, p99 %s from 3 s after,", before, during/before, short(h.late(w.hooks[0], began.Add(3*time.Second), ended))),
			})
			w.nothingAside()
		})
	}
}

// pace returns the number of deliveries per second that arrived between the times.
func (h history) pace(from, to time.Time) float64 {
	n := 0
	for _, list := range h.receipts {
		if at := list[0].At; !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return float64(n) / to.Sub(from).Seconds()
}

// late returns the 99th percentile of the time from publication to arrival at the hook, for events published between the times.
func (h history) late(hook webhook.Hook, from, to time.Time) time.Duration {
	var list []time.Duration
	for _, p := range h.published {
		got := h.receipts[webhook.DeliveryID(hook.ID, p.Event)]
		if len(got) > 0 && !p.Sent.Before(from) && p.Sent.Before(to) {
			list = append(list, got[0].At.Sub(p.Sent))
		}
	}
	return p99(list)
}
