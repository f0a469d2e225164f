//go:build faults

package faults_test

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// impatient is the timeout of hooks to hostile receivers.
const impatient = 3 * time.Second

// isolated is the latency that good hooks may always have: 750 ms, and more on a busy machine.
func isolated() time.Duration { return slack() / 4 }

// trait is a hostile behavior of a receiver, with what must be recorded of the attempt.
type trait struct {
	id   string
	open func(*testing.T) *hostile
	want func(a webhook.Attempt) bool
	// timeout is the timeout of its hook; 0 for impatient.
	timeout time.Duration
}

// class wants a failure with one of the classes, within the timeout.
func class(classes ...webhook.ErrorClass) func(webhook.Attempt) bool {
	return func(a webhook.Attempt) bool {
		return a.Outcome == webhook.Failed && slices.Contains(classes, a.Class) && a.Duration < impatient+slack()
	}
}

// code wants a response with the status.
func code(status int, outcome webhook.AttemptOutcome) func(webhook.Attempt) bool {
	return func(a webhook.Attempt) bool { return a.Status == status && a.Outcome == outcome }
}

// late wants a timeout after the given time, with the status that was received before, 0 for none.
func late(after time.Duration, status int) func(webhook.Attempt) bool {
	return func(a webhook.Attempt) bool {
		return a.Outcome == webhook.Failed && a.Class == webhook.ClassTimeout && a.Status == status &&
			a.Duration >= after && a.Duration < after+slack()
	}
}

// connections are receivers with hostile connections and timing.
func connections() []trait {
	trickle := drip("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "x", 100*time.Millisecond)
	headers := drip("HTTP/1.1 200 OK\r\n", "x-a: b\r\n", 100*time.Millisecond)
	half := then(say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), slowly(50*time.Millisecond), reset)
	return []trait{
		{id: "R01 refuses", open: nobody, want: class(webhook.ClassRefused)},
		{id: "R01 takes no connection", open: hole, want: class(webhook.ClassConnectTimeout)},
		{id: "R02 resets after the request", open: plain(reset), want: class(webhook.ClassReset)},
		{id: "R02 resets within a good answer", open: plain(half), want: code(200, webhook.Succeeded)},
		{id: "R03 hangs", open: plain(hang), want: late(webhook.DefaultTimeout, 0), timeout: webhook.DefaultTimeout},
		{id: "R04 drips its headers", open: plain(headers), want: late(webhook.DefaultTimeout, 0), timeout: webhook.DefaultTimeout},
		{id: "R04 drips its body", open: plain(trickle), want: late(15*time.Second, 200), timeout: webhook.DefaultTimeout},
		{id: "R12 closes after each answer", open: plain(then(status("200 OK"), closing)), want: code(200, webhook.Succeeded)},
		{id: "R14 is slow", open: plain(then(slowly(2*time.Second), status("200 OK"))), want: code(200, webhook.Succeeded), timeout: webhook.DefaultTimeout},
		{id: "R15 flaps", open: plain(flap), want: func(a webhook.Attempt) bool { return a.Status == 200 || a.Status == 500 }},
	}
}

// answers are receivers with hostile responses.
func answers() []trait {
	early := drip("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", 0)
	endless := drip("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", string(make([]byte, 64<<10)), 0)
	flood := drip("HTTP/1.1 200 OK\r\n", "x-a: "+strings.Repeat("b", 8<<10)+"\r\n", 0)
	both := say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
	return []trait{
		{id: "R04 says 103 for ever", open: plain(early), want: class(webhook.ClassHeaders)},
		{id: "R05 redirects", open: plain(redirect), want: code(307, webhook.Failed)},
		{id: "R08 fails", open: plain(status("503 Service Unavailable")), want: code(503, webhook.Failed)},
		{id: "R10 answers without end", open: plain(endless), want: code(200, webhook.Succeeded)},
		{id: "R10 answers with a gzip bomb", open: plain(bomb()), want: code(200, webhook.Succeeded)},
		{id: "R10 has headers without end", open: plain(flood), want: class(webhook.ClassHeaders)},
		{id: "R13 answers before the request", open: func(t *testing.T) *hostile { return listens(t, atOnce) }, want: code(200, webhook.Succeeded)},
		{id: "R13 says 204 with a body", open: plain(then(say("HTTP/1.1 204 No Content\r\n\r\nbody"), closing)), want: code(204, webhook.Succeeded)},
		{id: "R13 says 999", open: plain(status("999 Odd")), want: code(999, webhook.Failed)},
		{id: "R13 says length and chunks", open: plain(both), want: code(200, webhook.Succeeded)},
		{id: "R13 speaks HTTP/0.9", open: plain(then(say("<html>ok</html>\n"), closing)), want: class(webhook.ClassProtocol)},
		{id: "R13 speaks SSH", open: plain(then(say("SSH-2.0-OpenSSH_9.6\r\n"), closing)), want: class(webhook.ClassProtocol)},
	}
}

// certificates are receivers whose TLS or HTTP/2 is faulty.
func certificates(t *testing.T, ca *authority) []trait {
	t.Helper()
	here, elsewhere := net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 99)
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-time.Hour)
	well := requests(status("200 OK"))
	old := ca.issue(t, here, tomorrow)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	h2 := ca.issue(t, here, tomorrow, "h2")
	return []trait{
		{id: "R09 has a good certificate", open: secured(ca.issue(t, here, tomorrow), well), want: code(200, webhook.Succeeded)},
		{id: "R09 has one of its own", open: secured(newAuthority(t).issue(t, here, tomorrow), well), want: class(webhook.ClassTLSUntrusted)},
		{id: "R09 has one that expired", open: secured(ca.issue(t, here, yesterday), well), want: class(webhook.ClassTLSExpired)},
		{id: "R09 has another host's", open: secured(ca.issue(t, elsewhere, tomorrow), well), want: class(webhook.ClassTLSHostname)},
		{id: "R09 speaks TLS 1.0", open: secured(old, well), want: class(webhook.ClassTLSVersion)},
		{id: "R11 resets the stream", open: secured(h2, frames(func(f *http2.Framer, stream uint32) (bool, bool) {
			return true, f.WriteRSTStream(stream, http2.ErrCodeInternal) == nil
		})), want: class(webhook.ClassReset)},
		{id: "R11 goes away before the stream", open: secured(h2, frames(func(f *http2.Framer, _ uint32) (bool, bool) {
			return false, f.WriteGoAway(0, http2.ErrCodeNo, nil) == nil && false
		})), want: class(webhook.ClassReset, webhook.ClassTimeout)},
		{id: "R11 goes away after the stream", open: secured(h2, frames(func(f *http2.Framer, stream uint32) (bool, bool) {
			if stream > 1 { // it has announced that it will not process these
				return false, true
			}
			return true, f.WriteGoAway(stream, http2.ErrCodeNo, nil) == nil && answerFrames(f, stream, 0)
		})), want: code(200, webhook.Succeeded)},
		{id: "R11 floods continuations", open: secured(h2, frames(func(f *http2.Framer, stream uint32) (bool, bool) {
			return true, answerFrames(f, stream, 200)
		})), want: class(webhook.ClassHeaders, webhook.ClassProtocol)},
		{id: "R11 floods settings", open: secured(h2, frames(func(f *http2.Framer, stream uint32) (bool, bool) {
			for range 100 {
				if f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1}) != nil {
					return true, false
				}
			}
			return true, answerFrames(f, stream, 0)
		})), want: func(a webhook.Attempt) bool { return a.Outcome != webhook.Unknown }},
	}
}

// TestR01ToR15OneHostileReceiverAmongGoodOnes runs hostile receivers one after another, in three worlds that each take every
// third of them, because some take half a minute. No other scenario runs at the same time, because latencies are compared.
func TestR01ToR15OneHostileReceiverAmongGoodOnes(t *testing.T) {
	const worlds = 3
	for first := range worlds {
		name := fmt.Sprintf("%d of %d", first+1, worlds)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false)
			w.goodHooks(8)
			ca := newAuthority(t)
			w.run(ca.trusted(w))
			w.run(ca.trusted(w))
			stop := w.load(15, 1)
			w.lasts(2 * time.Second)
			for i, r := range slices.Concat(connections(), answers(), certificates(t, ca)) {
				if i%worlds == first {
					t.Run(r.id, func(t *testing.T) { w.beside(t, r) })
				}
			}
			stop()
			w.check(check{fault: "R01-R15 good hooks beside them, " + name, bound: 0})
		})
	}
}

// beside runs a hostile receiver among the good ones for a while.
func (w *world) beside(t *testing.T, r trait) {
	t.Helper()
	h := r.open(t)
	before := w.quality(t, seconds(2, 20))
	timeout := cmp.Or(r.timeout, impatient)
	bad := w.hook(h.url+"/bad", func(bad *webhook.Hook) { bad.Config = config(t, fmt.Sprintf(`{"timeout":%d}`, int(timeout.Seconds()))) })
	during := w.quality(t, seconds(3, 20))
	a := w.attempt(t, bad)
	again := during > 2*before // the machine may have been busy with something else
	if again {
		during = min(during, w.quality(t, seconds(3, 20)))
	}
	stored, err := w.db.Hooks.Get(t.Context(), webhook.DefaultTenant, bad.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, stored.Status, "%s: only 410 disables at once", r.id)
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "faults", webhook.DefaultTenant, bad.ID, nil))
	if again {
		before = max(before, w.quality(t, seconds(2, 20)))
	}
	results.add(result{fault: r.id, part: true, before: before, during: during, note: strings.Join(strings.Fields(fmt.Sprintf(
		"%s %d %s in %s, %d requests", a.Outcome, a.Status, a.Class, short(a.Duration), h.requests.Load())), " ")})
	if !r.want(a) {
		t.Errorf("%s: its attempt is %s, status %d, class %q, after %s", r.id, a.Outcome, a.Status, a.Class, a.Duration)
	}
	if during > max(2*before, isolated()) {
		t.Errorf("%s: it made good hooks slow: %s, before %s", r.id, during, before)
	}
	require.Zero(t, h.canary.Load(), "nobody goes where a redirect leads")
	w.noSilentRequest(t, r.id, bad, h)
}

// noSilentRequest checks that each request to a hostile receiver is a recorded attempt.
func (w *world) noSilentRequest(t *testing.T, id string, bad webhook.Hook, h *hostile) {
	t.Helper()
	var attempts int
	require.Eventually(t, func() bool {
		list, _, err := w.db.History.ListDeliveries(t.Context(), webhook.DefaultTenant, store.DeliveryFilter{Hook: bad.ID}, store.Page{Limit: 5000})
		require.NoError(t, err)
		attempts = 0
		for _, d := range list {
			attempts += d.Attempts
		}
		return attempts >= int(h.requests.Load())
	}, patience, 100*time.Millisecond, "%s: it got requests that are no attempts", id)
}

// quality returns the 99th percentile of the good hooks' latency for the events published during the given time.
func (w *world) quality(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	published, received, begun := w.events.size(), w.receiver.ledger.size(), time.Now()
	w.lasts(d)
	// an event is written to the ledger when its publication is acknowledged, so an earlier one may have arrived already
	events := slices.DeleteFunc(w.events.after(t, published), func(e publication) bool { return e.Sent.Before(begun) })
	require.NotEmpty(t, events)
	var list []time.Duration
	require.Eventually(t, func() bool {
		first := map[string]time.Time{} // by hook and event
		for _, r := range w.receiver.ledger.after(t, received) {
			if key := r.Hook + " " + r.Event; first[key].IsZero() {
				first[key] = r.At
			}
		}
		list = list[:0]
		for _, e := range events {
			for i := range w.hooks {
				if at := first[fmt.Sprintf("/good/%d %s", i, e.Event)]; !at.IsZero() {
					list = append(list, max(0, at.Sub(e.Sent)))
				}
			}
		}
		return len(list) == len(events)*len(w.hooks)
	}, patience, 100*time.Millisecond, "good hooks do not get everything")
	return p99(list)
}

// attempt returns the first attempt of a delivery to the hook.
func (w *world) attempt(t *testing.T, hook webhook.Hook) webhook.Attempt {
	t.Helper()
	var first webhook.Attempt
	require.Eventually(t, func() bool {
		tried := store.DeliveryFilter{Hook: hook.ID, States: []webhook.DeliveryState{webhook.Delivered, webhook.Waiting, webhook.Dead}}
		list, _, err := w.db.History.ListDeliveries(t.Context(), webhook.DefaultTenant, tried, store.Page{Limit: 200})
		require.NoError(t, err)
		for _, d := range list {
			if d.Attempts == 0 {
				continue
			}
			_, attempts, err := w.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, d.ID)
			require.NoError(t, err)
			if len(attempts) > 0 {
				first = attempts[0]
				return true
			}
		}
		return false
	}, patience, 50*time.Millisecond, "no attempt is recorded")
	return first
}
