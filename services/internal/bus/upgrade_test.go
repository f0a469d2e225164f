package bus_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// earlier creates the topology of an earlier release: other limits, fewer permissions, no version.
func earlier(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for _, cfg := range []jetstream.StreamConfig{
		{Name: bus.StreamOMS, Subjects: []string{"oms.>"}, Discard: jetstream.DiscardNew, MaxBytes: 8 << 20, Duplicates: time.Minute},
		{
			Name: bus.StreamRetries, Subjects: []string{"retry.at.>", "retry.due.>"}, Retention: jetstream.WorkQueuePolicy,
			AllowMsgSchedules: true, Description: "another description",
		},
		{Name: bus.StreamLedger, Subjects: []string{"ledger.facts"}, Retention: jetstream.WorkQueuePolicy},
	} {
		cfg.Storage = jetstream.FileStorage
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
	}
	for stream, name := range map[string]bus.Consumer{bus.StreamOMS: bus.Fanout, bus.StreamRetries: bus.Retry, bus.StreamLedger: bus.FactRecorder} {
		_, err := js.CreateConsumer(t.Context(), stream, jetstream.ConsumerConfig{
			Durable: string(name), AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 64, MaxDeliver: -1,
			FilterSubject: map[bus.Consumer]string{bus.Fanout: "oms.>", bus.Retry: "retry.due.>", bus.FactRecorder: "ledger.facts"}[name],
		})
		require.NoError(t, err)
	}
}

func TestANewTopologyLosesNothingThatWaitsInAnEarlierOne(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	js := client(t, url)
	earlier(t, js)
	b := connect(t, url)

	// These are left by the previous release: events of which some are with a worker and some settled, scheduled
	// retries, and unrecorded facts.
	const events, done, held = 50, 5, 10
	publish(t, b, events)
	fanout, err := js.Consumer(t.Context(), bus.StreamOMS, string(bus.Fanout))
	require.NoError(t, err)
	batch, err := fanout.Fetch(held)
	require.NoError(t, err)
	n := 0
	for m := range batch.Messages() {
		if n++; n <= done {
			require.NoError(t, m.DoubleAck(t.Context()))
		}
	}
	require.Equal(t, held, n)
	hook, delivery := uuid.New(), uuid.New()
	require.NoError(t, b.Retries().Schedule(t.Context(), time.Now().Add(3*time.Second), retryOf(hook, delivery, 1)))
	require.NoError(t, b.PublishFacts(t.Context(), "f-1", &whispererv1.LedgerBatch{Worker: "before"}))

	require.NoError(t, b.Streams().Ensure(t.Context()))
	require.NoError(t, b.Streams().Ensure(t.Context()), "a second program does the same")

	stream, err := js.Stream(t.Context(), bus.StreamOMS)
	require.NoError(t, err)
	require.True(t, stream.CachedInfo().Config.AllowAtomicPublish)
	require.EqualValues(t, 8<<20, stream.CachedInfo().Config.MaxBytes, "how large it is was its operator's to say")
	got := map[string]bool{}
	sub := subscribe(t, b, bus.Fanout, events)
	for len(got) < events-done {
		m := next(t, sub)
		require.NoError(t, m.Ack())
		got[string(m.Data)] = true
	}
	for i := range done {
		require.False(t, got[fmt.Sprint(i)], "what was done with does not come again")
	}
	retry := next(t, subscribe(t, b, bus.Retry, 1))
	require.Equal(t, delivery[:], readRetry(t, retry).GetDeliveryId())
	require.NoError(t, retry.Ack())
	fact := next(t, subscribe(t, b, bus.FactRecorder, 1))
	require.NoError(t, fact.Ack())
}

func TestAnEarlierProgramLeavesANewerTopologyAsItIs(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	stream, err := js.Stream(t.Context(), bus.StreamOMS)
	require.NoError(t, err)
	newer := stream.CachedInfo().Config
	require.Equal(t, "5", newer.Metadata["whisperer_topology"])
	newer.Metadata["whisperer_topology"] = "99"
	newer.Subjects = append(newer.Subjects, "oms2.>")
	_, err = js.UpdateStream(t.Context(), newer)
	require.NoError(t, err)
	consumer, err := js.Consumer(t.Context(), bus.StreamOMS, string(bus.Fanout))
	require.NoError(t, err)
	taking := consumer.CachedInfo().Config
	taking.Metadata["whisperer_topology"] = "99"
	taking.MaxAckPending = 77
	_, err = js.UpdateConsumer(t.Context(), bus.StreamOMS, taking)
	require.NoError(t, err)

	require.NoError(t, b.Streams().Ensure(t.Context()))
	stream, err = js.Stream(t.Context(), bus.StreamOMS)
	require.NoError(t, err)
	require.Contains(t, stream.CachedInfo().Config.Subjects, "oms2.>")
	consumer, err = js.Consumer(t.Context(), bus.StreamOMS, string(bus.Fanout))
	require.NoError(t, err)
	require.Equal(t, 77, consumer.CachedInfo().Config.MaxAckPending)
}
