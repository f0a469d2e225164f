//go:build faults

package faults_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// held is a crowd of connections that never finish what they begin. A connection that the server closes is soon opened again.
type held struct {
	opened atomic.Int64
	stop   context.CancelFunc
	wait   sync.WaitGroup
}

// hold opens n connections from 200 local addresses. Each sends one of the texts, in turn.
func (w *world) hold(addr string, n int, texts ...string) *held {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	h := &held{stop: cancel}
	begin := make(chan struct{}, 64) // not all at once: the kernel's accept queue is limited
	for i := range n {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%200))}
		h.wait.Go(func() {
			for ctx.Err() == nil {
				begin <- struct{}{}
				conn, err := (&net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}).DialContext(ctx, "tcp", addr)
				<-begin
				if err != nil {
					continue
				}
				h.opened.Add(1)
				_, _ = io.WriteString(conn, texts[i%len(texts)])
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				w.untilClosed(conn)
				stop()
				_ = conn.Close()
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Second):
				}
			}
		})
	}
	return h
}

// untilClosed returns when the other side has closed the connection. It reads next to nothing until then.
func (w *world) untilClosed(conn net.Conn) {
	one := make([]byte, 1)
	for {
		if _, err := conn.Read(one); err != nil {
			return
		}
		select {
		case <-w.t.Context().Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (h *held) end() {
	h.stop()
	h.wait.Wait()
}

// latencies measures n requests of a well-behaved client with its own connections.
func (w *world) latencies(url, token string, n int) []time.Duration {
	w.t.Helper()
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	list := make([]time.Duration, 0, n)
	for range n {
		q, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, url, http.NoBody)
		require.NoError(w.t, err)
		if token != "" {
			q.Header.Set("Authorization", "Bearer "+token)
		}
		began := time.Now()
		answer, err := client.Do(q)
		require.NoError(w.t, err, "a good client is answered")
		_, err = io.Copy(io.Discard, answer.Body)
		require.NoError(w.t, err)
		require.NoError(w.t, answer.Body.Close())
		require.Equal(w.t, http.StatusOK, answer.StatusCode, url)
		list = append(list, time.Since(began))
		<-time.After(10 * time.Millisecond)
	}
	return list
}

// TestF24HeldConnections holds more connections open than the API accepts, which never finish a header or a body, or never read
// a response. In the full set these are 20,000, and then as many with an API that accepts them all. Meanwhile good clients and
// probes are served; afterwards memory is released, and the API stops in time.
func TestF24HeldConnections(t *testing.T) {
	crowd, asked := 3_000, 250
	if *full {
		crowd, asked = 20_000, 1000
	}
	crowd = openFiles(t, crowd)
	heldOpen(t, "", crowd, asked)
	if *full {
		heldOpen(t, ", all taken", crowd, asked, fmt.Sprintf("WHISPERER_MAX_CONNECTIONS=%d", crowd+100))
	}
}

func heldOpen(t *testing.T, how string, crowd, asked int, env ...string) {
	t.Helper()
	w := newWorld(t, false)
	token, _, err := w.db.Access.CreateToken(t.Context(), "faults", store.NewToken{Name: "faults", Tenant: webhook.DefaultTenant, Role: store.Admin})
	require.NoError(t, err)
	a := w.runAPI(freePort(t), token, env...)
	a.awaitReady(t, patience)
	list, addr := a.url+"/whisperer/hooks/", a.url[len("http://"):]
	kinds := []struct {
		name  string
		texts []string
	}{
		{"slow headers", []string{"GET /whisperer/hooks/ HTTP/1.1\r\nHost: x\r\nX-A"}},
		{"slow bodies", []string{
			"POST /console/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n1",
			"POST /whisperer/hooks/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token x\r\nContent-Length: 100000\r\n\r\n1",
			"GET /whisperer/docs/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1",
			"DELETE /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n1",
		}},
		{"slow readers", []string{manyRequests("GET /whisperer/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 100)}},
		{"idle ones", []string{"", "GET /whisperer/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"}},
	}
	few := slices.Concat(kinds[0].texts, kinds[1].texts, kinds[2].texts, kinds[3].texts)
	warm := w.hold(addr, 500, few...)
	w.latencies(list, token, asked)
	warm.end()
	resident := a.status("VmRSS")
	for _, kind := range kinds {
		before := p99(w.latencies(list, token, asked)) // in the same minute, because others may use the machine, too
		h := w.hold(addr, crowd, kind.texts...)
		require.Eventually(t, func() bool { return h.opened.Load() >= int64(crowd) }, 2*time.Minute, 100*time.Millisecond)
		during, probed := p99(w.latencies(list, token, asked)), p99(w.latencies("http://"+a.health+"/readyz", "", asked/10))
		peak := a.status("VmRSS")
		opened := h.opened.Load()
		h.end()
		if *full { // Go releases memory within some minutes
			require.Eventually(t, func() bool { return a.status("VmRSS") <= resident*6/5 }, 5*time.Minute, time.Second, "memory comes back")
		}
		results.add(result{fault: "F24 " + kind.name + how, part: true, before: before, during: during, note: fmt.Sprintf(
			"%d held, %d opened; /readyz p99 %s; memory %d MiB before, %d during, %d after", crowd, opened, short(probed), resident>>10, peak>>10, a.status("VmRSS")>>10)})
		require.Less(t, during, 2*time.Second+slack())
		require.Less(t, probed, 2*time.Second+slack())
	}
	last := 500
	if *full {
		last = crowd
	}
	h := w.hold(addr, last, few...)
	require.Eventually(t, func() bool { return h.opened.Load() >= int64(last) }, 2*time.Minute, 100*time.Millisecond)
	began := time.Now()
	a.stop(t)
	took := time.Since(began)
	h.end()
	results.add(result{fault: fmt.Sprintf("F24 SIGTERM beside %d of them%s", last, how), part: true, note: "stopped after " + short(took)})
	require.Less(t, took, 5*time.Second+slack())
}

// openFiles raises the limit of open files of this process and of those that it starts, as far as it may: root may raise the
// hard limit. It returns how many connections are possible.
func openFiles(t *testing.T, connections int) int {
	t.Helper()
	const others = 1000 // files other than connections
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	wanted := syscall.Rlimit{Cur: uint64(connections + others), Max: max(limit.Max, uint64(connections+others))}
	if limit.Cur >= wanted.Cur || syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wanted) == nil {
		return connections
	}
	possible := int(limit.Cur) - others
	t.Logf("%d connections instead of %d: this machine allows %d open files", possible, connections, limit.Cur)
	return possible
}

func manyRequests(one string, n int) string {
	var all string
	for range n {
		all += one
	}
	return all
}
