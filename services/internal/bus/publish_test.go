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

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// quiet is a way to a server whose answers do not come through while it is locked.
type quiet struct{ sync.Mutex }

// Write implements io.Writer for what the server says.
func (q *quiet) Write(p []byte) (int, error) {
	q.Lock()
	defer q.Unlock()
	return len(p), nil
}

// proxy returns the URL of the way to the server.
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

// TestEventsThatWereGivenUpKeepTheirRoom has callers that do not wait for a server which says nothing: those who come next wait
// for room, and are not told that there is none.
func TestEventsThatWereGivenUpKeepTheirRoom(t *testing.T) {
	t.Parallel()
	way := &quiet{}
	b := program(t, bus.Options{URL: way.proxy(t, testenv.NATS(t))})
	require.NoError(t, b.EnsureTopology(t.Context()))
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
