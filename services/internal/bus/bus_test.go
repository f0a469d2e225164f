package bus_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/freeport"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// connect connects to the server and closes the connection at the end of the test.
func connect(t *testing.T, url string) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Options{URL: url, Name: t.Name(), OMSMaxBytes: 64 << 20, Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// ready returns a bus with its topology, and the same server through NATS' own client.
func ready(t *testing.T) (*bus.Bus, jetstream.JetStream) {
	t.Helper()
	url := testenv.NATS(t)
	b := connect(t, url)
	require.NoError(t, b.Streams().Ensure(t.Context()))
	return b, client(t, url)
}

func client(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return js
}

// publish publishes n events without ids, with the bodies 0, 1, 2 and so on.
func publish(t *testing.T, b *bus.Bus, n int) {
	t.Helper()
	events := make([]bus.Outgoing, n)
	for i := range events {
		events[i] = bus.Outgoing{Tenant: "acme", Type: "order.created", Body: fmt.Append(nil, i)}
	}
	require.NoError(t, b.PublishEvents(t.Context(), events))
}

func subscribe(t *testing.T, b *bus.Bus, c bus.Consumer, prefetch int) *bus.Subscription {
	t.Helper()
	sub, err := b.Subscribe(t.Context(), c, bus.Room{Messages: prefetch})
	require.NoError(t, err)
	t.Cleanup(sub.Stop)
	return sub
}

// next takes one message, and fails if none comes in time.
func next(t *testing.T, sub *bus.Subscription) bus.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	batch, ok := sub.TakeBatch(ctx, nil, 1)
	require.True(t, ok, "no message came")
	return batch[0]
}

// none requires that no message comes during the given time.
func none(t *testing.T, sub *bus.Subscription, during time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	batch, _ := sub.TakeBatch(ctx, nil, 1)
	for _, m := range batch {
		require.Fail(t, "a message came", "%d: %s", m.Seq, m.Data)
	}
}

func TestTheTopologyCanBeMadeAgainAndByManyAtOnce(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	errs := make(chan error)
	for range 8 {
		b := connect(t, url)
		go func() { errs <- b.Streams().Ensure(t.Context()) }()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
	b := connect(t, url)
	publish(t, b, 3)
	require.NoError(t, b.Streams().Ensure(t.Context()))

	js := client(t, url)
	var names []string
	for name := range js.StreamNames(t.Context()).Name() {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{"OMS", "OWN", "RETRIES", "LEDGER", "SETASIDE"}, names)
	ofOMS := []string{"fanout", "event-recorder"}
	for n := range bus.DefaultPartitions {
		ofOMS = append(ofOMS, fmt.Sprintf("fanout-%02d", n))
	}
	for stream, consumers := range map[string][]string{"OMS": ofOMS, "OWN": {"own-fanout", "own-recorder"}, "RETRIES": {"retry"}, "LEDGER": {"recorder"}} {
		s, err := js.Stream(t.Context(), stream)
		require.NoError(t, err)
		var got []string
		for name := range s.ConsumerNames(t.Context()).Name() {
			got = append(got, name)
		}
		require.ElementsMatch(t, consumers, got, stream)
	}
	require.EqualValues(t, 3, omsInfo(t, js).State.Msgs, "what was published is still there")
}

func omsInfo(t *testing.T, js jetstream.JetStream) *jetstream.StreamInfo {
	t.Helper()
	s, err := js.Stream(t.Context(), "OMS")
	require.NoError(t, err)
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	return info
}

// serverOf imitates a nats-server of the given version until the test ends.
func serverOf(t *testing.T, version string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(conn, version)
		}
	}()
	return "nats://" + listener.Addr().String()
}

func answer(conn net.Conn, version string) {
	defer conn.Close()
	fmt.Fprintf(conn, "INFO {\"server_id\":\"x\",\"version\":%q,\"headers\":true,\"jetstream\":true,\"max_payload\":1048576}\r\n", version)
	buffer, text := make([]byte, 4096), ""
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		for text += string(buffer[:n]); strings.Contains(text, "\r\n"); {
			var line string
			line, text, _ = strings.Cut(text, "\r\n")
			if line == "PING" {
				fmt.Fprint(conn, "PONG\r\n")
			}
		}
	}
}

func TestAnOldServerIsRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.14.5", "2.12.15", "2.11.9", "1.15.9", "v2.14.6-RC.2", "2.14", "", "dev"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := connect(t, serverOf(t, version))
			err := b.Streams().Ensure(t.Context())
			require.ErrorIs(t, err, broker.ErrServerTooOld)
			require.ErrorContains(t, err, fmt.Sprintf("%q", version))
		})
	}
	for _, version := range []string{"2.14.6", "v2.14.7-RC.1", "v2.15.0-preview.1", "2.15.3", "3.0.0", "10.1.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := connect(t, serverOf(t, version))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			require.NotErrorIs(t, b.Streams().Ensure(ctx), broker.ErrServerTooOld) // it does not answer in time, but the version check ran
		})
	}
}

func TestEventsAreStoredInOrderAndEachIDOnce(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	events := make([]bus.Outgoing, 500)
	for i := range events {
		events[i] = bus.Outgoing{
			Tenant: "acme", Type: "package.status.packed", ID: fmt.Sprintf("e-%d", i), Body: fmt.Append(nil, i),
			Header: map[string]string{"Content-Type": "application/json"},
		}
	}
	require.NoError(t, b.PublishEvents(t.Context(), events))
	require.NoError(t, b.PublishEvents(t.Context(), events), "all again, as after an error")
	require.NoError(t, b.PublishEvents(t.Context(), nil))
	require.EqualValues(t, 500, omsInfo(t, js).State.Msgs)

	stored, err := b.Event(t.Context(), 500)
	require.NoError(t, err)
	require.Equal(t, []string{"acme", "package.status.packed"}, []string{stored.Tenant, stored.Type})
	require.Equal(t, "application/json", stored.Headers["Content-Type"][0])
	require.Equal(t, stored.PublishedAt, stored.PublishedAt.Truncate(time.Microsecond).UTC())

	sub := subscribe(t, b, bus.Fanout, 64)
	for i := range 500 {
		m := next(t, sub)
		require.Equal(t, fmt.Sprint(i), string(m.Data))
		require.EqualValues(t, i+1, m.Seq)
		require.Equal(t, fmt.Sprintf("e-%d", i), m.Header("Nats-Msg-Id"))
		require.False(t, m.Redelivered())
		if i == 499 {
			require.Equal(t, stored.PublishedAt, m.PublishedAt, "the same time from either side")
		}
		require.NoError(t, m.Ack())
	}
	_, err = b.Event(t.Context(), 501)
	require.ErrorIs(t, err, webhook.ErrNotFound)
}

func TestManyPublishersWaitForEachOther(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	const publishers, batches, size = 64, 4, 100
	failed := make(chan error, publishers)
	for p := range publishers {
		go func() {
			for n := range batches {
				events := make([]bus.Outgoing, size)
				for i := range events {
					events[i] = bus.Outgoing{Tenant: "acme", Type: "order.created", ID: fmt.Sprintf("%d-%d-%d", p, n, i), Body: []byte(`1`)}
				}
				if err := b.PublishEvents(t.Context(), events); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range publishers {
		require.NoError(t, <-failed)
	}
	_, err := b.Event(t.Context(), publishers*batches*size)
	require.NoError(t, err)
}

func TestAnEventIsGoneOnlyWhereTheStreamSaysSo(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	for range 5 {
		require.NoError(t, b.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "acme", Type: "order.created", Body: []byte("{}")}}))
	}
	s, err := js.Stream(t.Context(), bus.StreamOMS)
	require.NoError(t, err)
	require.NoError(t, s.Purge(t.Context(), jetstream.WithPurgeSequence(3)))
	require.NoError(t, s.SecureDeleteMsg(t.Context(), 4)) // this sequence does not exist yet on a lagging replica
	for _, seq := range []webhook.Sequence{1, 2, 6} {
		_, err := b.Event(t.Context(), seq)
		require.ErrorIs(t, err, webhook.ErrNotFound)
	}
	_, err = b.Event(t.Context(), 4)
	require.ErrorContains(t, err, "a replica does not have it")
	require.NotErrorIs(t, err, webhook.ErrNotFound)
	_, err = b.Event(t.Context(), 5)
	require.NoError(t, err)
}

func TestAFullEventLogRefusesPublishers(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	b, err := bus.Connect(t.Context(), bus.Options{URL: url, Name: t.Name(), OMSMaxBytes: 10 << 10, Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Streams().Ensure(t.Context()))
	large := bus.Outgoing{Tenant: "acme", Type: "order.created", Body: make([]byte, 6<<10)}
	require.NoError(t, b.PublishEvents(t.Context(), []bus.Outgoing{large}))
	require.Error(t, b.PublishEvents(t.Context(), []bus.Outgoing{large}))
	require.EqualValues(t, 1, omsInfo(t, client(t, url)).State.Msgs, "what was accepted stays")
}

func TestABatchOfFactsThatIsRepeatedIsStoredOnce(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	batch := &whispererv1.LedgerBatch{Worker: "w", Facts: []*whispererv1.DeliveryFact{{Tenant: "acme"}}}
	require.NoError(t, b.PublishFacts(t.Context(), "id-1", batch))
	require.NoError(t, b.PublishFacts(t.Context(), "id-1", batch))
	require.NoError(t, b.PublishFacts(t.Context(), "id-2", batch))
	require.Eventually(t, func() bool { // a consumer sees messages slightly later than their publishers
		lag, err := b.Lag(t.Context(), bus.FactRecorder)
		return err == nil && lag.Pending == 2 && lag.Last == 2
	}, time.Minute, 5*time.Millisecond)
}

func TestSubjectsNameTenantAndType(t *testing.T) {
	t.Parallel()
	require.Equal(t, "oms.acme.package.status.packed", bus.Namespace("").EventSubject("acme", "package.status.packed"))
	for subject, want := range map[string][2]string{
		"oms.acme.package.status.packed": {"acme", "package.status.packed"},
		"oms.acme":                       {"acme", ""},
		"other.acme.order.created":       {"", ""},
	} {
		tenant, eventType := bus.Namespace("").SplitEventSubject(subject)
		require.Equal(t, want, [2]string{tenant, eventType}, subject)
	}
}

// server starts a nats-server whose store directory outlives it.
func server(t *testing.T, dir string, port int) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(t.Context(), natsd.Options{StoreDir: dir, Port: port})
	require.NoError(t, err)
	return s
}

func shutdown(t *testing.T, s *natsd.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
}

func TestAServerThatIsAwayIsNoticedInTime(t *testing.T) {
	t.Parallel()
	s := server(t, t.TempDir(), natsd.RandomPort)
	b := connect(t, s.ClientURL())
	require.NoError(t, b.Streams().Ensure(t.Context()))
	require.NoError(t, b.Ready(t.Context()))
	shutdown(t, s)
	require.Eventually(t, func() bool { return b.Ready(t.Context()) != nil }, time.Minute, 10*time.Millisecond)

	hook, delivery := uuid.New(), uuid.New()
	for name, publish := range map[string]func(ctx context.Context) error{
		"events": func(ctx context.Context) error {
			return b.PublishEvents(ctx, []bus.Outgoing{{Tenant: "acme", Type: "order.created", Body: []byte(`1`)}})
		},
		"facts": func(ctx context.Context) error { return b.PublishFacts(ctx, "id", &whispererv1.LedgerBatch{}) },
		"a retry": func(ctx context.Context) error {
			return b.Retries().Schedule(ctx, time.Now(), &whispererv1.Retry{HookId: hook[:], DeliveryId: delivery[:]})
		},
		"lag": func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := b.Lag(ctx, bus.Fanout)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			require.Error(t, publish(t.Context()))
			require.Less(t, time.Since(started), 30*time.Second)

			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			started = time.Now()
			require.Error(t, publish(ctx), "a caller in a hurry")
			require.Less(t, time.Since(started), 4*time.Second)
		})
	}
}

func TestConnectingWaitsForAServerThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	port, err := freeport.Find(t.Context())
	require.NoError(t, err)
	options := bus.Options{URL: fmt.Sprintf("nats://127.0.0.1:%d", port), Log: zap.NewNop()}
	_, err = bus.Connect(ctx, options)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	connected := make(chan error, 1)
	go func() {
		b, err := bus.Connect(t.Context(), options)
		if err == nil {
			defer b.Close()
			err = b.Ready(t.Context())
		}
		connected <- err
	}()
	s := server(t, t.TempDir(), port)
	t.Cleanup(func() { shutdown(t, s) })
	require.NoError(t, <-connected)
}

func TestAnEmbeddedServerNeedsNoPort(t *testing.T) {
	t.Parallel()
	s, err := natsd.Start(t.Context(), natsd.Options{StoreDir: t.TempDir(), DontListen: true})
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, s) })
	b, err := bus.Connect(t.Context(), bus.Options{InProcess: s, Log: zap.NewNop()})
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, b.Streams().Ensure(t.Context()))
	require.Equal(t, natsd.MaxPayload, b.MaxPayload())
}
