package bus_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// quiet is a proxy to a server; while it is locked, no answers of the server come through.
type quiet struct {
	sync.Mutex
	clients sync.Map // net.Conn
}

// cut closes all current connections.
func (q *quiet) cut() {
	q.clients.Range(func(client, _ any) bool { return client.(net.Conn).Close() == nil })
}

// Write implements io.Writer for what the server sends.
func (q *quiet) Write(p []byte) (int, error) {
	q.Lock()
	defer q.Unlock()
	return len(p), nil
}

// proxy starts the proxy and returns its URL.
func (q *quiet) proxy(t *testing.T, url string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "nats://"))
			if err != nil {
				_ = client.Close()
				continue
			}
			q.clients.Store(client, true)
			go func() { _, _ = io.Copy(server, client) }()
			go func() { _, _ = io.Copy(io.MultiWriter(q, client), server) }()
		}
	}()
	return "nats://" + listener.Addr().String()
}

func manyEvents(name string, n int) []bus.Outgoing {
	events := make([]bus.Outgoing, n)
	for i := range events {
		events[i] = bus.Outgoing{Tenant: "default", Type: "order.created", ID: fmt.Sprintf("%s-%d", name, i), Body: []byte(`{"data":1}`)}
	}
	return events
}

// TestEventsThatWereGivenUpKeepTheirRoom has callers give up on a server that does not answer. Later callers wait for
// room instead of getting an error.
func TestEventsThatWereGivenUpKeepTheirRoom(t *testing.T) {
	t.Parallel()
	way := &quiet{}
	b := program(t, bus.Options{URL: way.proxy(t, testenv.NATS(t))})
	require.NoError(t, b.Streams().Ensure(t.Context()))
	way.Lock()
	var callers sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for caller := range 60 {
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			for try := 0; ctx.Err() == nil; try++ {
				impatient, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
				err := b.PublishEvents(impatient, manyEvents(fmt.Sprintf("%d-%d", caller, try), 100))
				cancel()
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	way.Unlock()
	for _, err := range errs {
		require.ErrorIs(t, err, context.DeadlineExceeded, "nothing was answered, and nothing refused")
	}
	require.NoError(t, b.PublishEvents(t.Context(), manyEvents("last", 3000)), "all of the room, which is free again")
}

func TestALostConnectionEndsWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	way, url := &quiet{}, testenv.NATS(t)
	b, direct := program(t, bus.Options{URL: way.proxy(t, url)}), program(t, bus.Options{URL: url})
	require.NoError(t, b.Streams().Ensure(t.Context()))
	way.Lock()
	told := make(chan error, 1)
	go func() { told <- b.PublishEvents(t.Context(), manyEvents("e", 3)) }()
	last := func() uint64 {
		lag, err := direct.Lag(t.Context(), bus.EventRecorder)
		require.NoError(t, err)
		return lag.Last
	}
	require.Eventually(t, func() bool { return last() == 3 }, time.Minute, 10*time.Millisecond)
	way.cut()
	err := <-told
	way.Unlock()
	require.ErrorIs(t, err, nats.ErrDisconnected)
	var failed *bus.PublishError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, []bool{false, false, false}, failed.Stored, "as far as is known")
	require.Eventually(t, func() bool { return b.PublishEvents(t.Context(), manyEvents("e", 3)) == nil }, time.Minute, 10*time.Millisecond)
	require.EqualValues(t, 3, last())
}

func TestEventsOfWhichNobodyHearsAreNotStored(t *testing.T) {
	t.Parallel()
	b := program(t, bus.Options{URL: testenv.NATS(t)}) // it has no streams
	err := b.PublishEvents(t.Context(), manyEvents("e", 2))
	require.ErrorIs(t, err, jetstream.ErrNoStreamResponse)
	var failed *bus.PublishError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, []bool{false, false}, failed.Stored)
}

func TestHeadersOfOneEventDoNotGoOnWithAnother(t *testing.T) {
	t.Parallel()
	b := testenv.Bus(t)
	events := manyEvents("e", 4)
	events[0].Header = map[string]string{"Content-Type": "application/json", "traceparent": "1"}
	events[1].Header = map[string]string{"Content-Type": "text/json", "ce-id": "2"}
	events[2].ID = ""
	require.NoError(t, b.PublishEvents(t.Context(), events))
	for i, want := range []map[string][]string{
		{"Content-Type": {"application/json"}, "traceparent": {"1"}, nats.MsgIdHdr: {"e-0"}},
		{"Content-Type": {"text/json"}, "ce-id": {"2"}, nats.MsgIdHdr: {"e-1"}},
		{},
		{nats.MsgIdHdr: {"e-3"}},
	} {
		e, err := b.Event(t.Context(), webhook.Sequence(i+1))
		require.NoError(t, err)
		for _, theServers := range []string{"Nats-Sequence", "Nats-Stream", "Nats-Subject", "Nats-Time-Stamp"} {
			delete(e.Headers, theServers)
		}
		require.Equal(t, want, e.Headers)
	}
}
