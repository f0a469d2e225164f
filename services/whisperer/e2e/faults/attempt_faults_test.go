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

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// hasty answers 200 when it has read the head of a request, and passes the request on to the good receiver if it gets all of
// it. Every third request it drops after that answer, every third it reads on a second later.
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
		_, attempts, err := w.db.Delivery(t.Context(), webhook.DefaultTenant, d.ID)
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
	w.receiver.reacts(func(path string, _ int) answer {
		if path == "/old" {
			return answer{status: http.StatusGone, delay: 4 * time.Second}
		}
		return answer{}
	})
	moved := w.hook(w.receiver.URL+"/old", nil)
	w.hooks = []webhook.Hook{moved}
	w.run()
	w.run()
	require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{event("late", "", "{}")}))
	require.Eventually(t, func() bool { return w.receiver.got("/old") > 0 }, 20*time.Second, time.Millisecond)
	edited, err := w.db.UpdateHook(t.Context(), "faults", webhook.DefaultTenant, moved.ID, nil, func(h *webhook.Hook) error {
		h.TargetURL = w.receiver.URL + "/new"
		return nil
	})
	require.NoError(t, err)
	began := time.Now()
	w.lasts(2 * time.Second) // a worker may use what it knew for one: what it sends to the old URL then is over, too
	stop := w.load(20, 1)
	w.lasts(5 * time.Second)
	stop()
	w.check(check{fault: "R18 410 of the URL before an edit", bound: 0, faults: []window{{began, time.Now()}}})
	stored, err := w.db.Hook(t.Context(), webhook.DefaultTenant, moved.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, stored.Status)
	require.Equal(t, edited.Version, stored.Version)
	late := w.history().deliveries[webhook.DeliveryID(moved.ID, "late")]
	require.Equal(t, webhook.ReasonGone, late.Reason, "this delivery alone is over")
	require.Equal(t, 1, w.receiver.got("/old"))
}

func TestR19RetryAfterAndDeadlines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.receiver.reacts(func(path string, _ int) answer {
		if path == "/hurried" {
			return answer{status: http.StatusServiceUnavailable, header: http.Header{"Retry-After": {"1"}}}
		}
		return answer{}
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
	_, err := w.db.UpdateHook(t.Context(), "faults", webhook.DefaultTenant, brief.ID, nil, func(h *webhook.Hook) error {
		h.Status = webhook.Active
		return nil
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return w.history().deliveries[webhook.DeliveryID(brief.ID, "e-1")].State == webhook.Dead
	}, 20*time.Second, 100*time.Millisecond)
	w.check(check{fault: "R19 Retry-After: 1, and a deadline that passed", bound: 0, faults: []window{{began, time.Now()}}})
	h := w.history()
	expired, waiting := h.deliveries[webhook.DeliveryID(brief.ID, "e-1")], h.deliveries[webhook.DeliveryID(hurried.ID, "e-1")]
	require.Equal(t, webhook.ReasonExpired, expired.Reason)
	require.Zero(t, w.receiver.got("/brief"))
	require.Equal(t, 2, w.receiver.got("/hurried"), "at once, and after 5 s")
	require.Equal(t, webhook.Waiting, waiting.State)
	require.Greater(t, waiting.NextAt.Sub(began), 4*time.Minute, "the schedule goes on as it stands")
}

func TestR20AnIDThatIsUsedAgainAfterADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.receiver.reacts(func(path string, n int) answer {
		switch {
		case path == "/twice" && n == 1:
			return answer{status: http.StatusServiceUnavailable}
		case path == "/twice" && n == 2:
			return answer{status: http.StatusServiceUnavailable, header: http.Header{"Retry-After": {"3600"}}}
		}
		return answer{}
	})
	h := w.hook(w.receiver.URL+"/twice", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":30}}`)
	})
	w.goodHooks(1)
	first := w.run()
	publish := func(data string) { // without Nats-Msg-Id, by which JetStream drops repetitions for two minutes
		e := event("again", "", data)
		e.ID = ""
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{e}))
	}
	began := time.Now()
	publish(`{"n":1}`)
	id := webhook.DeliveryID(h.ID, "again")
	require.Eventually(t, func() bool { return w.history().deliveries[id].State == webhook.Waiting }, 20*time.Second, 100*time.Millisecond)
	first.stop(t)
	admin := w.administrator()
	require.Eventually(t, func() bool { // after a day it is not looked for
		result, err := admin.ExecContext(t.Context(), `DELETE FROM events WHERE id = 'again'`)
		require.NoError(t, err)
		n, err := result.RowsAffected()
		require.NoError(t, err)
		return n == 1
	}, 20*time.Second, 100*time.Millisecond)
	w.run()
	publish(`{"n":2}`)
	require.Eventually(t, func() bool { return w.receiver.got("/twice") == 3 }, 80*time.Second, 10*time.Millisecond, "the first event's retry comes at its time")
	got := w.history().receipts[id]
	require.Equal(t, got[0].Sum, got[2].Sum, "and is the first event's")
	require.NotEqual(t, got[0].Sum, got[1].Sum)
	// not w.check, which knows one body for each id
	var p problems
	w.silent(&p)
	require.Empty(t, p.list())
	results.add(result{fault: "R20 an id used again after a day", acked: 2, recovery: time.Since(began) - 30*time.Second})
}

func TestR21AnEventThatAReplicaDoesNotHave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.receiver.reacts(func(path string, _ int) answer {
		if path == "/large" {
			return answer{status: http.StatusServiceUnavailable}
		}
		return answer{}
	})
	h := w.hook(w.receiver.URL+"/large", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":5}}`)
	})
	w.goodHooks(1)
	w.run()
	began := time.Now()
	large := fmt.Sprintf(`"%s"`, strings.Repeat("x", 1<<20-2<<10)) // too large to travel with its retry
	require.NoError(t, w.publish(t.Context(), event("before", "", "{}"), event("large", "", large), event("after", "", "{}")))
	id := webhook.DeliveryID(h.ID, "large")
	state := func() webhook.DeliveryState { return w.history().deliveries[id].State }
	require.Eventually(t, func() bool { return state() == webhook.Waiting }, 20*time.Second, 100*time.Millisecond)
	_, err := w.administrator().ExecContext(t.Context(), `DELETE FROM events WHERE id = 'large'`)
	require.NoError(t, err)
	stranger := w.stranger()
	stranger.done("STREAM.MSG.DELETE."+bus.StreamOMS, map[string]any{"seq": 2}) // as a replica answers that has not got it yet
	w.lasts(12 * time.Second)
	require.Equal(t, webhook.Waiting, state(), "the stream says that it begins before")
	stranger.done("STREAM.PURGE."+bus.StreamOMS, map[string]any{"seq": 3})
	require.Eventually(t, func() bool { return state() == webhook.Dead }, 30*time.Second, 100*time.Millisecond)
	require.Equal(t, webhook.ReasonPayloadGone, w.history().deliveries[id].Reason)
	w.check(check{fault: "R21 an event that a replica does not have", bound: 0, faults: []window{{began, time.Now()}}})
}
