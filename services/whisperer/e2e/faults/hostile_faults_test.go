//go:build faults

package faults_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// impatient is the timeout of hostile receivers' hooks.
	impatient = 3 * time.Second
	// isolated is how slow good hooks may get in any case on a busy machine.
	isolated = 750 * time.Millisecond
)

// hostiles are what a receiver may do to us, and what the ledger has to say of the attempt: an error class, or a status.
func hostiles() []struct {
	id     string
	do     misbehave
	config string
	want   func(a webhook.Attempt) bool
} {
	class := func(classes ...webhook.ErrorClass) func(webhook.Attempt) bool {
		return func(a webhook.Attempt) bool {
			return a.Outcome == webhook.Failed && slices.Contains(classes, a.Class) && a.Duration < impatient+time.Second
		}
	}
	code := func(status int, outcome webhook.AttemptOutcome) func(webhook.Attempt) bool {
		return func(a webhook.Attempt) bool { return a.Status == status && a.Outcome == outcome }
	}
	endless := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10000000000\r\n\r\n"
	return []struct {
		id     string
		do     misbehave
		config string
		want   func(a webhook.Attempt) bool
	}{
		{"R01 refuses", nil, "", class(webhook.ClassRefused)},
		{"R02 resets after the request", reset, "", class(webhook.ClassReset)},
		{"R02 resets within a good answer", then(say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), reset), "", code(200, webhook.Succeeded)},
		{"R03 hangs", hang, "", class(webhook.ClassTimeout)},
		{"R04 drips its headers", drip("HTTP/1.1 200 OK\r\n", "x-a: b\r\n", 100*time.Millisecond), "", class(webhook.ClassTimeout)},
		{"R04 drips its body", drip("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "x", 100*time.Millisecond), "", nil},
		{"R04 says 103 for ever", drip("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", 0), "", class(webhook.ClassProtocol, webhook.ClassTimeout, webhook.ClassHeaders)},
		{"R05 redirects", redirect, "", code(307, webhook.Failed)},
		{"R07 asks for a pause", status("429 Too Many Requests", "Retry-After: 2"), "", code(429, webhook.Failed)},
		{"R08 fails", status("503 Service Unavailable"), "", code(503, webhook.Failed)},
		{"R10 answers without end", drip(endless, string(make([]byte, 64<<10)), 0), "", code(200, webhook.Succeeded)},
		{"R10 has headers without end", drip("HTTP/1.1 200 OK\r\n", "x-a: "+string(slices.Repeat([]byte("b"), 8<<10))+"\r\n", 0), "", class(webhook.ClassProtocol, webhook.ClassHeaders)},
		{"R12 closes after each answer", then(status("200 OK"), closing), "", code(200, webhook.Succeeded)},
		{"R13 is no web server", then(say("SSH-2.0-OpenSSH_9.6\r\n"), closing), "", class(webhook.ClassProtocol)},
		{"R14 is slow", then(slowly(2*time.Second), status("200 OK")), "", code(200, webhook.Succeeded)},
		{"R15 flaps", flap, "", nil},
	}
}

func TestR01ToR15OneHostileReceiverAmongGoodOnes(t *testing.T) {
	w := newWorld(t, false)
	w.goodHooks(8)
	w.run()
	w.run()
	stop := w.load(40)
	w.lasts(2 * time.Second)
	control := w.quality(t, seconds(5, 20))
	for _, r := range hostiles() {
		h := newHostile(t, r.do)
		if r.config == "" {
			r.config = fmt.Sprintf(`{"timeout":%d}`, int(impatient.Seconds()))
		}
		bad := w.hook(h.url+"/bad", func(bad *webhook.Hook) { bad.Config = config(t, r.config) })
		during := w.quality(t, seconds(4, 20))
		a := w.attempt(t, bad)
		require.NoError(t, w.db.DeleteHook(t.Context(), "faults", webhook.DefaultTenant, bad.ID, nil))
		results.add(result{fault: r.id, before: control, during: during, note: fmt.Sprintf("%s %d %s in %s, %d requests", a.Outcome, a.Status, a.Class, short(a.Duration), h.requests.Load())})
		if r.want != nil && !r.want(a) {
			t.Errorf("%s: its attempt is %s, status %d, class %q, after %s", r.id, a.Outcome, a.Status, a.Class, a.Duration)
		}
		if during > max(2*control, isolated) {
			t.Errorf("%s: it made good hooks slow: %s, before %s", r.id, during, control)
		}
		require.Zero(t, h.canary.Load(), "nobody goes where a redirect leads")
	}
	stop()
	w.check(check{fault: "R01-R15 good hooks beside them", bound: 0})
}

// quality is how slow good hooks are during the time.
func (w *world) quality(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	published, received := w.events.size(), w.receiver.ledger.size()
	w.lasts(d)
	first := map[string]time.Time{} // by hook and event
	for _, r := range w.receiver.ledger.after(t, received) {
		if key := r.Hook + " " + r.Event; first[key].IsZero() {
			first[key] = r.At
		}
	}
	var list []time.Duration
	for _, e := range w.events.after(t, published) {
		for i := range w.hooks {
			if at := first[fmt.Sprintf("/good/%d %s", i, e.Event)]; !at.IsZero() {
				list = append(list, max(0, at.Sub(e.Sent)))
			}
		}
	}
	require.NotEmpty(t, list, "good hooks get nothing")
	return p99(list)
}

// attempt returns the first attempt of some delivery to the hook.
func (w *world) attempt(t *testing.T, hook webhook.Hook) webhook.Attempt {
	t.Helper()
	var first webhook.Attempt
	require.Eventually(t, func() bool {
		list, _, err := w.db.Deliveries(t.Context(), webhook.DefaultTenant, postgres.DeliveryFilter{Hook: hook.ID}, postgres.Page{Limit: 200})
		require.NoError(t, err)
		for _, d := range list {
			if d.Attempts == 0 {
				continue
			}
			_, attempts, err := w.db.Delivery(t.Context(), webhook.DefaultTenant, d.ID)
			require.NoError(t, err)
			if len(attempts) > 0 {
				first = attempts[0]
				return true
			}
		}
		return false
	}, 20*time.Second, 50*time.Millisecond, "no attempt is recorded")
	return first
}

func TestR06AReceiverThatIsGone(t *testing.T) {
	w := newWorld(t, false)
	w.goodHooks(2)
	w.run()
	h := newHostile(t, status("410 Gone"))
	bad := w.hook(h.url+"/bad", nil)
	stop := w.load(20)
	require.Eventually(t, func() bool { return h.requests.Load() > 0 }, 10*time.Second, time.Millisecond)
	w.lasts(time.Second)
	before := h.requests.Load()
	w.lasts(3 * time.Second)
	stop()
	require.Equal(t, before, h.requests.Load(), "a second after 410 nothing comes any more")
	stored, err := w.db.Hook(t.Context(), webhook.DefaultTenant, bad.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Disabled, stored.Status)
	w.check(check{fault: "R06 410 disables", bound: 0, note: fmt.Sprintf("%d requests,", before)})
}

func TestR08AReceiverThatRecovers(t *testing.T) {
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.run()
	w.run()
	w.receiver.reacts(func(path string, _ int) answer {
		if path == "/good/0" {
			return answer{status: 503}
		}
		return answer{}
	})
	stop := w.load(40)
	began := time.Now()
	w.lasts(seconds(10, 120))
	w.receiver.reacts(nil)
	ended := time.Now()
	w.lasts(5 * time.Second)
	stop()
	w.check(check{fault: "R08 one receiver down, then back", bound: 0, faults: []window{{began, ended}}, recovery: seconds(20, 240) + slack})
}

func TestR16AllReceiversDown(t *testing.T) {
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.run("WHISPERER_DISABLE_AFTER=1s", "WHISPERER_DISABLE_SPAN=1s", "WHISPERER_DISABLE_FAILURES=5", "WHISPERER_HOUSEKEEP_EVERY=1s")
	silent := newHostile(t, nil)
	var urls []string
	for i, h := range w.hooks {
		urls = append(urls, h.TargetURL)
		_, err := w.db.UpdateHook(t.Context(), "faults", webhook.DefaultTenant, h.ID, nil, func(h *webhook.Hook) error {
			h.TargetURL = fmt.Sprintf("%s/%d", silent.url, i)
			return nil
		})
		require.NoError(t, err)
	}
	stop := w.load(20)
	began := time.Now()
	w.lasts(10 * time.Second)
	for i, h := range w.hooks {
		stored, err := w.db.UpdateHook(t.Context(), "faults", webhook.DefaultTenant, h.ID, nil, func(h *webhook.Hook) error {
			h.TargetURL = urls[i]
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, webhook.Active, stored.Status, "when nobody can be reached it is our fault")
	}
	ended := time.Now()
	w.lasts(2 * time.Second)
	stop()
	w.check(check{fault: "R16 no receiver can be reached", bound: 0, faults: []window{{began, ended}}, recovery: 40 * time.Second})
}
