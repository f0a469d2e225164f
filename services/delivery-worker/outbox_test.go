package deliveryworker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/publisher/outbox"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// An outbox relay published, crashed before it deleted, and came back when JetStream had forgotten the ids. The test simulates
// forgotten ids by publishing without them.
func TestAnOutboxThatRepeatsItselfAfterAnOutageIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	const n = 20
	w := newWorld(t)
	w.hook("/a", nil)
	w.run()
	program := testenv.DB(t)
	_, err := program.ExecContext(t.Context(), outbox.Schema)
	require.NoError(t, err)
	var before []bus.Outgoing
	for i := range n {
		e := publisher.Event{ID: fmt.Sprint("n", i), Type: "order.created", Time: time.Now(), Data: i}
		require.NoError(t, outbox.Write(t.Context(), program, e))
		m, err := e.Encode(webhook.DefaultTenant)
		require.NoError(t, err)
		before = append(before, bus.Outgoing{Tenant: m.Tenant(), Type: m.Type(), Header: m.Header(), Body: m.Body()})
	}
	_, err = w.bus.PublishInOrder(t.Context(), before)
	require.NoError(t, err)
	w.receiver.Await(t, "/a", n)

	p, err := publisher.New(t.Context(), publisher.Options{URL: w.config.NATSURL})
	require.NoError(t, err)
	defer p.Close()
	ctx, stop := context.WithCancel(t.Context())
	published := make(chan int, n)
	relay := outbox.New(outbox.Options{DB: program, Publisher: p, Published: func(events int, _ time.Duration) { published <- events }})
	ended := make(chan struct{})
	go func() {
		relay.Run(ctx)
		close(ended)
	}()
	for left := n; left > 0; {
		left -= <-published
	}
	stop()
	<-ended

	require.Eventually(t, func() bool {
		lag, err := w.bus.Lag(t.Context(), bus.Fanout)
		require.NoError(t, err)
		return lag.Stored == 2*n && lag.Settled == lag.Last
	}, 2*time.Minute, 20*time.Millisecond, "the stream has each twice, and the worker is done with all")
	require.Len(t, w.receiver.Got("/a"), n)
}
