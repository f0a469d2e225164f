//go:build faults

package faults_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// hasty answers 200 as soon as it has read the head of a request, and forwards the request to the good receiver once it has all
// of it. It drops every third request after that answer, and reads the rest of every third only a second later.
func hasty(t *testing.T, good string) (url string, dropped *atomic.Int64) {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
		})
	}}
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	dropped = &atomic.Int64{}
	var came atomic.Int64
	serve := func(conn net.Conn) {
		defer conn.Close()
		q, err := http.ReadRequest(bufio.NewReaderSize(conn, 1024))
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		switch came.Add(1) % 3 {
		case 1:
			dropped.Add(1)
			return
		case 2:
			<-time.After(time.Second)
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		on, err := http.NewRequestWithContext(context.Background(), q.Method, good+q.URL.Path, bytes.NewReader(body))
		if err != nil {
			return
		}
		on.Header = q.Header
		if resp, err := http.DefaultClient.Do(on); err == nil {
			resp.Body.Close()
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "http://" + l.Addr().String(), dropped
}

func TestR17AReceiverThatAnswersBeforeItHasRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	url, dropped := hasty(t, w.receiver.URL)
	w.hooks = []webhook.Hook{w.hook(url+"/good/0", nil)}
	w.run()
	began := time.Now()
	for i := range int(seconds(9, 90) / time.Second) {
		data := fmt.Sprintf(`"%s%s"`, canary, strings.Repeat("x", 900_000))
		require.NoError(t, w.publish(t.Context(), event(fmt.Sprintf("e-%d", i), "", data)))
	}
	w.check(check{fault: "R17 200 after the head of the request", bound: 0, faults: []window{{began, time.Now()}}})
	require.Positive(t, dropped.Load())
	incomplete := 0
	for _, d := range w.history().deliveries {
		_, attempts, err := w.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, d.ID)
		require.NoError(t, err)
		for _, a := range attempts {
			if a.Class == webhook.ClassIncomplete {
				incomplete++
				require.Equal(t, http.StatusOK, a.Status)
			}
		}
	}
	require.EqualValues(t, dropped.Load(), incomplete)
}

func TestR18A410OfTheURLBeforeAnEdit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.receiver.reacts(func(path string, _ int) testenv.Answer {
		if strings.HasPrefix(path, "/old") {
			return testenv.Answer{Status: http.StatusGone, Delay: 4 * time.Second}
		}
		return testenv.Answer{}
	})
	n := 1
	if *full {
		n = 20
	}
	for i := range n {
		w.hooks = append(w.hooks, w.hook(fmt.Sprintf("%s/old/%d", w.receiver.URL, i), nil))
	}
	w.run()
	w.run()
	require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{event("late", "", "{}")}))
	edited := make([]webhook.Hook, n)
	for i, moved := range w.hooks {
		require.Eventually(t, func() bool { return w.receiver.Count(fmt.Sprintf("/old/%d", i)) > 0 }, patience, time.Millisecond)
		var err error
		edited[i], err = w.db.Hooks.Update(t.Context(), "faults", webhook.DefaultTenant, moved.ID, nil, func(h *webhook.Hook) error {
			h.TargetURL = fmt.Sprintf("%s/new/%d", w.receiver.URL, i)
			return nil
		})
		require.NoError(t, err)
	}
	began := time.Now()
	w.known() // requests to the old URL are over by then
	stop := w.load(20, 1)
	w.lasts(seconds(5, 60))
	stop()
	w.check(check{fault: "R18 410 of the URL before an edit", bound: 0, faults: []window{{began, time.Now()}}})
	for i, moved := range w.hooks {
		stored, err := w.db.Hooks.Get(t.Context(), webhook.DefaultTenant, moved.ID)
		require.NoError(t, err)
		require.Equal(t, webhook.Active, stored.Status)
		require.Equal(t, edited[i].Version, stored.Version)
		late := w.history().deliveries[webhook.DeliveryID(moved.ID, "late")]
		require.Equal(t, webhook.ReasonGone, late.Reason, "this delivery alone is over")
		require.Equal(t, 1, w.receiver.Count(fmt.Sprintf("/old/%d", i)))
	}
}

func TestR19RetryAfterAndDeadlines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.receiver.reacts(func(path string, _ int) testenv.Answer {
		if path == "/hurried" {
			return testenv.Answer{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"1"}}}
		}
		return testenv.Answer{}
	})
	hurried := w.hook(w.receiver.URL+"/hurried", func(h *webhook.Hook) { h.RetryConfig = nil })
	brief := w.hook(w.receiver.URL+"/brief", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1},"deadline":2}`)
		h.Status = webhook.Paused
	})
	w.goodHooks(1)
	w.run()
	began := time.Now()
	require.NoError(t, w.publish(t.Context(), event("e-1", "", "{}")))
	w.lasts(12 * time.Second)
	_, err := w.db.Hooks.Update(t.Context(), "faults", webhook.DefaultTenant, brief.ID, nil, func(h *webhook.Hook) error {
		h.Status = webhook.Active
		return nil
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return w.history().deliveries[webhook.DeliveryID(brief.ID, "e-1")].State == webhook.Dead
	}, patience, 100*time.Millisecond)
	require.Eventually(t, func() bool {
		return w.history().deliveries[webhook.DeliveryID(hurried.ID, "e-1")].Attempts == 2
	}, patience, 100*time.Millisecond, "at once, and after 5 s")
	w.check(check{fault: "R19 Retry-After: 1, and a deadline that passed", bound: 0, faults: []window{{began, time.Now()}}})
	h := w.history()
	expired, waiting := h.deliveries[webhook.DeliveryID(brief.ID, "e-1")], h.deliveries[webhook.DeliveryID(hurried.ID, "e-1")]
	require.Equal(t, webhook.ReasonExpired, expired.Reason)
	require.Zero(t, w.receiver.Count("/brief"))
	require.Equal(t, 2, w.receiver.Count("/hurried"))
	require.Equal(t, webhook.Waiting, waiting.State)
	require.Greater(t, waiting.NextAt.Sub(began), 4*time.Minute, "the schedule goes on as it stands")
	if *full {
		require.Eventually(t, func() bool { return w.receiver.Count("/hurried") == 3 }, 8*time.Minute, 100*time.Millisecond)
		require.False(t, time.Now().Before(waiting.NextAt), "and not earlier")
	}
}

// forget waits until n events whose ids match the pattern are recorded, and deletes them.
func (w *world) forget(pattern string, n int64) {
	w.t.Helper()
	admin := w.administrator()
	require.Eventually(w.t, func() bool {
		result, err := admin.ExecContext(w.t.Context(), `DELETE FROM events WHERE id LIKE $1`, pattern)
		require.NoError(w.t, err)
		deleted, err := result.RowsAffected()
		require.NoError(w.t, err)
		n -= deleted
		return n == 0
	}, patience, 100*time.Millisecond)
}

func TestR20AnIDThatIsUsedAgainAfterADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.receiver.reacts(func(path string, n int) testenv.Answer {
		switch {
		case strings.HasPrefix(path, "/twice") && n == 1:
			return testenv.Answer{Status: http.StatusServiceUnavailable}
		case strings.HasPrefix(path, "/twice") && n == 2:
			return testenv.Answer{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"3600"}}}
		}
		return testenv.Answer{}
	})
	n := 1
	if *full {
		n = 50
	}
	twice := make([]webhook.Hook, n)
	for i := range twice {
		twice[i] = w.hook(fmt.Sprintf("%s/twice/%d", w.receiver.URL, i), func(h *webhook.Hook) {
			h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":30}}`)
		})
	}
	w.goodHooks(1)
	first := w.run()
	publish := func(data string) { // without Nats-Msg-Id, by which JetStream drops duplicates for two minutes
		e := event("again", "", data)
		e.ID = ""
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{e}))
	}
	// each returns a condition: is holds for each of the hooks
	each := func(is func(i int, delivery uuid.UUID) bool) func() bool {
		return func() bool {
			for i, h := range twice {
				if !is(i, webhook.DeliveryID(h.ID, "again")) {
					return false
				}
			}
			return true
		}
	}
	began := time.Now()
	publish(`{"n":1}`)
	require.Eventually(t, func() bool {
		h := w.history()
		return each(func(_ int, id uuid.UUID) bool { return h.deliveries[id].State == webhook.Waiting })()
	}, patience, 100*time.Millisecond)
	first.stop(t)
	w.forget("again", 1) // as after a day
	w.run()
	publish(`{"n":2}`)
	require.Eventually(t, each(func(i int, _ uuid.UUID) bool { return w.receiver.Count(fmt.Sprintf("/twice/%d", i)) == 3 }),
		80*time.Second, 10*time.Millisecond, "the first event's retry comes at its time")
	h := w.history()
	each(func(_ int, id uuid.UUID) bool {
		got := h.receipts[id]
		require.Equal(t, got[0].Sum, got[2].Sum, "and is the first event's")
		require.NotEqual(t, got[0].Sum, got[1].Sum)
		return true
	})()
	// w.check cannot be used, because it expects one body per id
	var p problems
	w.silent(&p)
	require.Empty(t, p.list())
	results.add(result{fault: "R20 an id used again after a day", acked: 2, recovery: time.Since(began) - 30*time.Second, note: fmt.Sprintf("%d hooks", n)})
}

func TestR21AnEventThatAReplicaDoesNotHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	n := 1
	if *full {
		n = 100
	}
	h := w.hook(w.receiver.URL+"/parked", func(h *webhook.Hook) { h.Status = webhook.Paused })
	w.goodHooks(1)
	w.run()
	began := time.Now()
	require.NoError(t, w.publish(t.Context(), event("before", "", "{}")))
	for i := range n {
		require.NoError(t, w.publish(t.Context(), event(fmt.Sprintf("parked-%d", i), "", "{}")))
	}
	require.NoError(t, w.publish(t.Context(), event("after", "", "{}")))
	// are counts the parked deliveries, between the first event and the last, that are in the state now.
	are := func(state webhook.DeliveryState) (found int) {
		list := w.history().deliveries
		for i := range n {
			if list[webhook.DeliveryID(h.ID, fmt.Sprintf("parked-%d", i))].State == state {
				found++
			}
		}
		return found
	}
	require.Eventually(t, func() bool { return are(webhook.Parked) == n }, patience, 100*time.Millisecond)
	w.forget("parked-%", int64(n)) // only the stream has them now
	stranger := w.stranger()
	second := stranger.first(bus.StreamOMS) + 1
	for i := range n {
		stranger.done("STREAM.MSG.DELETE."+bus.StreamOMS, map[string]any{"seq": second + i}) // like a replica that lags
	}
	_, err := w.db.Hooks.Update(t.Context(), "faults", webhook.DefaultTenant, h.ID, nil, func(h *webhook.Hook) error {
		h.Status = webhook.Active
		return nil
	})
	require.NoError(t, err)
	w.lasts(seconds(12, 60))
	require.Equal(t, n, are(webhook.Parked), "the stream says that it begins before")
	stranger.done("STREAM.PURGE."+bus.StreamOMS, map[string]any{"seq": second + n})
	require.Eventually(t, func() bool { return are(webhook.Dead) == n }, patience, 100*time.Millisecond)
	gone := w.history().deliveries[webhook.DeliveryID(h.ID, "parked-0")]
	require.Equal(t, webhook.ReasonPayloadGone, gone.Reason)
	w.check(check{fault: "R21 events that a replica does not have", bound: 0, faults: []window{{began, time.Now()}}})
}
