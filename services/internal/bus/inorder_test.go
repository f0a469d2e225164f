package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func numbered(from, to int) []bus.Outgoing {
	var events []bus.Outgoing
	for i := from; i < to; i++ {
		events = append(events, bus.Outgoing{Tenant: "acme", Type: "order.created", ID: fmt.Sprint("n", i), Body: fmt.Append(nil, i)})
	}
	return events
}

// bodies reads the whole event log.
func bodies(t *testing.T, b *bus.Bus) []string {
	t.Helper()
	lag, err := b.Lag(t.Context(), bus.Fanout)
	require.NoError(t, err)
	var all []string
	for seq := range lag.Last {
		stored, err := b.Event(t.Context(), webhook.Sequence(seq+1))
		require.NoError(t, err)
		all = append(all, string(stored.Body))
	}
	return all
}

func numbers(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestEventsAreStoredInOrder(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		first int // stored beforehand
		n     int
	}{
		{name: "few one by one", n: 5},
		{name: "many as a batch", n: 200},
		{name: "more than a batch takes", n: 2300},
		{name: "many of which some are there already", first: 30, n: 200},
		{name: "none", n: 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, _ := ready(t)
			_, err := b.PublishInOrder(t.Context(), numbered(0, c.first))
			require.NoError(t, err)
			stored, err := b.PublishInOrder(t.Context(), numbered(0, c.n))
			require.NoError(t, err)
			require.Equal(t, c.n, stored)
			require.Equal(t, numbers(0, c.n), bodies(t, b))
		})
	}
}

func TestWhatComesBeforeARefusedEventIsStoredAndNothingAfterIt(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	events := numbered(0, 100)
	events[40].Body = make([]byte, b.MaxPayload()+1)
	stored, err := b.PublishInOrder(t.Context(), events)
	require.ErrorIs(t, err, broker.ErrEventTooLarge)
	require.Equal(t, 40, stored)
	require.Equal(t, numbers(0, 40), bodies(t, b))
}

func TestAFullLogStoresWhatHasRoomInOrder(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	b, err := bus.Connect(t.Context(), bus.Options{URL: url, Name: t.Name(), OMSMaxBytes: 64 << 10, Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Streams().Ensure(t.Context()))
	events := numbered(0, 100)
	for i := range events {
		events[i].Body = bytes.Repeat([]byte{'a' + byte(i%26)}, 1<<10)
	}
	stored, err := b.PublishInOrder(t.Context(), events)
	require.Error(t, err)
	require.NotErrorIs(t, err, broker.ErrEventTooLarge)
	require.Greater(t, stored, 16)
	require.Less(t, stored, 64)
	all := bodies(t, b)
	require.Len(t, all, stored)
	for i, body := range all {
		require.Equal(t, string(events[i].Body), body)
	}
}

func TestALogMadeBeforeBatchesWereUsedTakesThem(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	js := client(t, url)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: bus.StreamOMS, Subjects: []string{"oms.>"}, Discard: jetstream.DiscardNew, MaxBytes: 64 << 20, Duplicates: 2 * time.Minute,
	})
	require.NoError(t, err)
	b := connect(t, url)
	stored, err := b.PublishInOrder(t.Context(), numbered(0, 50))
	require.NoError(t, err, "one by one")
	require.Equal(t, 50, stored)
	require.NoError(t, b.Streams().Ensure(t.Context()))
	stored, err = b.PublishInOrder(t.Context(), numbered(50, 100))
	require.NoError(t, err)
	require.Equal(t, 50, stored)
	require.Equal(t, numbers(0, 100), bodies(t, b))
	last, err := b.Event(t.Context(), 100)
	require.NoError(t, err)
	require.Contains(t, last.Headers, "Nats-Batch-Commit")
}

func TestManyPublishInOrderAtOnce(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	const publishers, each = 60, 40 // the server allows 50 open batches at once
	var all sync.WaitGroup
	errs := make([]error, publishers)
	for p := range publishers {
		all.Go(func() {
			events := numbered(p*each, (p+1)*each)
			for {
				stored, err := b.PublishInOrder(t.Context(), events)
				events, errs[p] = events[stored:], err
				if !errors.Is(err, context.DeadlineExceeded) { // on a busy machine a request may miss its deadline; retry as a publisher does
					return
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.ElementsMatch(t, numbers(0, publishers*each), bodies(t, b))
}

func TestAPendingEventIsStoredWhenItsWaitReturns(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	var pending []*broker.Pending
	for _, e := range numbered(0, 100) {
		p, err := b.StartPublish(e)
		require.NoError(t, err)
		pending = append(pending, p)
	}
	for _, p := range pending {
		require.NoError(t, p.Wait(t.Context()))
	}
	require.Equal(t, numbers(0, 100), bodies(t, b))
	_, err := b.StartPublish(bus.Outgoing{Tenant: "acme", Type: "order.created", Body: make([]byte, b.MaxPayload()+1)})
	require.ErrorIs(t, err, broker.ErrEventTooLarge)
}

func TestNothingIsSentInOrderWithoutAConnection(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	b.Close()
	stored, err := b.PublishInOrder(t.Context(), numbered(0, 40))
	require.ErrorIs(t, err, broker.ErrNotConnected)
	require.Zero(t, stored)
}
