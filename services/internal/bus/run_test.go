package bus_test

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

// takeOne takes the next message and acks it.
func takeOne(t *testing.T, sub *bus.Subscription) bus.Message {
	t.Helper()
	m := next(t, sub)
	require.NoError(t, m.Ack())
	return m
}

func TestARunEndsWhereAnotherGotAMessage(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	sub := subscribe(t, b, bus.Fanout, 1)
	publish(t, b, 3)
	for range 2 {
		require.Equal(t, bus.Run{ID: 1}, takeOne(t, sub).Run)
	}
	third := next(t, sub)
	require.Equal(t, bus.Run{ID: 1}, third.Run)
	require.NoError(t, third.HandBack(0))
	again := takeOne(t, sub)
	require.True(t, again.Redelivered())
	require.Equal(t, bus.Run{ID: 1}, again.Run, "what was here before changes nothing")

	publish(t, b, 1)
	require.Eventually(t, func() bool { // it has no room for another message now
		lag, err := b.Lag(t.Context(), bus.Fanout)
		return err == nil && lag.InFlight == 1
	}, time.Minute, 5*time.Millisecond)
	publish(t, b, 1)
	other, err := js.Consumer(t.Context(), bus.StreamOMS, fanoutOf(b))
	require.NoError(t, err)
	fetched, err := other.Fetch(1, jetstream.FetchMaxWait(time.Minute))
	require.NoError(t, err)
	theirs := <-fetched.Messages()
	require.NotNil(t, theirs)
	require.Equal(t, bus.Run{ID: 1}, takeOne(t, sub).Run)

	publish(t, b, 1)
	sixth := takeOne(t, sub)
	require.Equal(t, bus.Run{ID: 2, After: 5}, sixth.Run)
	require.NoError(t, theirs.Nak())
	fifth := takeOne(t, sub)
	require.EqualValues(t, 5, fifth.Seq)
	require.True(t, fifth.Redelivered())
	publish(t, b, 1)
	require.Equal(t, sixth.Run, takeOne(t, sub).Run)
}

func TestANewStreamIsAnotherRun(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	publish(t, b, 1)
	sub := subscribe(t, b, bus.Fanout, 8)
	require.Equal(t, bus.Run{ID: 1}, takeOne(t, sub).Run)
	require.NoError(t, js.DeleteStream(t.Context(), bus.StreamOMS))
	require.NoError(t, b.Streams().Ensure(t.Context()))
	publish(t, b, 1)
	after := takeOne(t, sub)
	require.EqualValues(t, 1, after.Seq)
	require.Equal(t, bus.Run{ID: 2}, after.Run)
}

func TestAnotherConnectionIsAnotherRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := server(t, dir, natsd.RandomPort)
	address, err := url.Parse(s.ClientURL())
	require.NoError(t, err)
	port, err := strconv.Atoi(address.Port())
	require.NoError(t, err)
	b := connect(t, s.ClientURL())
	require.NoError(t, b.Streams().Ensure(t.Context()))
	sub := subscribe(t, b, bus.Fanout, 8)
	publish(t, b, 2)
	for range 2 {
		require.Equal(t, bus.Run{ID: 1}, takeOne(t, sub).Run)
	}
	shutdown(t, s)

	s = server(t, dir, port)
	t.Cleanup(func() { shutdown(t, s) })
	require.Eventually(t, func() bool {
		return b.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "acme", Type: "order.created", Body: []byte(`1`)}}) == nil
	}, time.Minute, 10*time.Millisecond)
	m := next(t, sub)
	for m.Seq < 3 { // the server may have missed the last ack
		require.NoError(t, m.Ack())
		m = next(t, sub)
	}
	require.NoError(t, m.Ack())
	require.Greater(t, m.Run.ID, uint64(1), "meanwhile others may have had it")
}
