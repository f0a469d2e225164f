//go:build faults

package faults_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestR06AReceiverThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(2)
	w.run()
	h := plain(status("410 Gone"))(t)
	bad := w.hook(h.url+"/bad", nil)
	stop := w.load(20, 1)
	require.Eventually(t, func() bool { return h.requests.Load() > 0 }, patience, time.Millisecond)
	w.ceases("a second after 410 nothing comes any more", 3*time.Second, func() int { return int(h.requests.Load()) })
	stop()
	stored, err := w.db.Hooks.Get(t.Context(), webhook.DefaultTenant, bad.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Disabled, stored.Status)
	w.check(check{fault: "R06 410 disables", bound: 0, note: fmt.Sprintf("%d requests,", h.requests.Load())})
}

func TestR07WhatRetryAfterAsksFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	const own = time.Second // the delay of the hooks' schedule
	cases := []struct {
		status int
		values []string // empty for a date this long after the response
		asked  time.Duration
		in     time.Duration
	}{
		{429, []string{"4"}, 4 * time.Second, 0},
		{503, []string{"4"}, 4 * time.Second, 0},
		{429, nil, 5 * time.Second, 6 * time.Second}, // at least: dates have whole seconds
		{429, []string{date(-time.Hour)}, own, 0},
		{429, []string{"0"}, own, 0},
		{429, []string{"-1"}, own, 0},
		{429, []string{"abc"}, own, 0},
		{429, []string{"abc", "3"}, 3 * time.Second, 0},
		{429, []string{"1000000000"}, webhook.MaxRetryAfter, 0},
	}
	w.receiver.reacts(func(path string, n int) testenv.Answer {
		var i int
		if _, err := fmt.Sscanf(path, "/good/%d", &i); err != nil || n > 1 {
			return testenv.Answer{}
		}
		values := cases[i].values
		if cases[i].in > 0 {
			values = []string{date(cases[i].in)}
		}
		return testenv.Answer{Status: cases[i].status, Header: http.Header{"Retry-After": values}}
	})
	w.goodHooks(len(cases))
	w.run()
	began := time.Now()
	require.NoError(t, w.publish(t.Context(), event("e-1", "", "{}")))
	asked := w.hooks
	w.hooks = w.hooks[:len(cases)-1] // the last retry is due tomorrow
	w.check(check{fault: "R07 429 and 503 with Retry-After", bound: 0, faults: []window{{began, time.Now()}}})
	h := w.history()
	for i, hook := range asked {
		d := h.deliveries[webhook.DeliveryID(hook.ID, "e-1")]
		list := h.receipts[d.ID]
		if cases[i].asked == webhook.MaxRetryAfter {
			require.Len(t, list, 1)
			require.InDelta(t, webhook.MaxRetryAfter, d.NextAt.Sub(list[0].At), float64(slack()), "%v", cases[i])
			continue
		}
		require.Len(t, list, 2, "%v", cases[i])
		require.GreaterOrEqual(t, list[1].At.Sub(list[0].At), cases[i].asked, "%v: it came sooner than asked", cases[i])
	}
}

func TestR08AReceiverThatRecovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.run()
	w.run()
	w.receiver.reacts(func(path string, _ int) testenv.Answer {
		if path == "/good/0" {
			return testenv.Answer{Status: 503}
		}
		return testenv.Answer{}
	})
	stop := w.load(40, 1)
	began := time.Now()
	w.lasts(seconds(10, 120))
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{} })
	ended := time.Now()
	w.lasts(5 * time.Second)
	stop()
	w.check(check{fault: "R08 one receiver down, then back", bound: 0, faults: []window{{began, ended}}, recovery: seconds(20, 240) + slack(), sick: w.hooks[0].ID})
}

func TestR16AllReceiversDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.run("WHISPERER_DISABLE_AFTER=1s", "WHISPERER_DISABLE_SPAN=1s", "WHISPERER_DISABLE_FAILURES=5", "WHISPERER_HOUSEKEEP_EVERY=1s")
	silent := nobody(t)
	var urls []string
	for i, h := range w.hooks {
		urls = append(urls, h.TargetURL)
		_, err := w.db.Hooks.Update(t.Context(), "faults", webhook.DefaultTenant, h.ID, nil, func(h *webhook.Hook) error {
			h.TargetURL = fmt.Sprintf("%s/%d", silent.url, i)
			return nil
		})
		require.NoError(t, err)
	}
	stop := w.load(20, 1)
	began := time.Now()
	w.lasts(10 * time.Second)
	for i, h := range w.hooks {
		stored, err := w.db.Hooks.Update(t.Context(), "faults", webhook.DefaultTenant, h.ID, nil, func(h *webhook.Hook) error {
			h.TargetURL = urls[i]
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, webhook.Active, stored.Status, "when nobody can be reached it is our fault")
	}
	ended := time.Now()
	w.lasts(2 * time.Second)
	stop()
	w.check(check{fault: "R16 no receiver can be reached", bound: 0, faults: []window{{began, ended}}, recovery: 40*time.Second + slack()})
}
