package bus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// program returns a bus that is connected with the given options.
func program(t *testing.T, o bus.Options) *bus.Bus {
	t.Helper()
	o.Name, o.Log = t.Name(), zap.NewNop()
	b, err := bus.Connect(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// configs returns the configurations of all streams.
func configs(t *testing.T, js jetstream.JetStream) map[string]jetstream.StreamConfig {
	t.Helper()
	list := js.ListStreams(t.Context())
	all := map[string]jetstream.StreamConfig{}
	for info := range list.Info() {
		all[info.Config.Name] = info.Config
	}
	require.NoError(t, list.Err())
	return all
}

func TestStreamsOfAnotherInstallationAreLeftAlone(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	ours, theirs := program(t, bus.Options{URL: url, Installation: "a"}), program(t, bus.Options{URL: url, Installation: "b", OMSMaxBytes: 1 << 20})
	require.NoError(t, ours.Streams().Ensure(t.Context()))
	before := configs(t, client(t, url))

	for _, call := range []func() error{
		func() error { return theirs.Streams().Ensure(t.Context()) },
		func() error { _, err := theirs.Streams().Repair(t.Context()); return err },
		func() error { return theirs.Streams().ApplySettings(t.Context()) },
	} {
		var foreign *bus.ForeignError
		require.ErrorAs(t, call(), &foreign)
		require.Equal(t, "a", foreign.Theirs)
		require.Equal(t, "b", foreign.Ours)
		require.ErrorContains(t, foreign, "WHISPERER_NAMESPACE")
		require.ErrorContains(t, foreign, "whisperer migrate streams --adopt")
	}
	require.Equal(t, before, configs(t, client(t, url)))

	adopted, err := theirs.Streams().Adopt(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"OMS", "OWN", "RETRIES", "LEDGER", "SETASIDE"}, adopted)
	require.NoError(t, theirs.Streams().Ensure(t.Context()))
	_, err = ours.Streams().Repair(t.Context())
	var foreign *bus.ForeignError
	require.ErrorAs(t, err, &foreign, "who had them before sees it while it runs")
	adopted, err = theirs.Streams().Adopt(t.Context())
	require.NoError(t, err)
	require.Empty(t, adopted)
}

func TestStreamsWithoutAnInstallationBecomeThatOfExactlyOne(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	js := client(t, url)
	earlier(t, js)
	ends := make(chan error)
	const programs = 8
	for i := range programs {
		b := program(t, bus.Options{URL: url, Installation: string(rune('a' + i%2))})
		go func() { ends <- b.Streams().Ensure(t.Context()) }()
	}
	refused := 0
	for range programs {
		var foreign *bus.ForeignError
		if err := <-ends; errors.As(err, &foreign) {
			refused++
		} else {
			require.NoError(t, err)
		}
	}
	require.Equal(t, programs/2, refused)
	owner := configs(t, js)["OWN"].Metadata["whisperer_installation"]
	for name, cfg := range configs(t, js) {
		require.Equal(t, owner, cfg.Metadata["whisperer_installation"], name)
	}
}

func TestInstallationsWithNamespacesShareAServer(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	plain, shop := program(t, bus.Options{URL: url, Installation: "a"}), program(t, bus.Options{URL: url, Installation: "b", Namespace: "shop-2"})
	require.NoError(t, plain.Streams().Ensure(t.Context()))
	require.NoError(t, shop.Streams().Ensure(t.Context()))
	require.NoError(t, shop.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: "acme", Type: "order.created", Body: []byte("1")}}))
	_, err := shop.PublishInOrder(t.Context(), []bus.Outgoing{{Tenant: "acme", Type: "order.updated", Body: []byte("2")}})
	require.NoError(t, err)
	require.NoError(t, shop.PublishOwn(t.Context(), bus.Outgoing{Tenant: "acme", Type: "delivery.dead", Body: []byte("3")}))
	hook, delivery := uuid.New(), uuid.New()
	require.NoError(t, shop.Retries().Schedule(t.Context(), time.Now(), retryOf(hook, delivery, 1)))
	require.NoError(t, shop.Retries().Schedule(t.Context(), time.Now().Add(time.Hour), retryOf(hook, uuid.New(), 1)))

	fanout := subscribe(t, shop, bus.Fanout, 8)
	for _, want := range []string{"order.created", "order.updated"} {
		m := next(t, fanout)
		require.Equal(t, []string{"acme", want}, []string{m.Published().Tenant, m.Published().Type})
		require.NoError(t, m.Ack())
	}
	own := next(t, subscribe(t, shop, bus.OwnFanout, 8))
	require.Equal(t, "shop-2.own.acme.delivery.dead", own.Subject)
	require.NoError(t, own.Ack())
	due := next(t, subscribe(t, shop, bus.Retry, 8))
	require.Equal(t, delivery[:], readRetry(t, due).GetDeliveryId())
	require.NoError(t, due.Ack())
	require.NoError(t, shop.Retries().Purge(t.Context(), hook))
	waiting, err := shop.Retries().Waiting(t.Context())
	require.NoError(t, err)
	require.Zero(t, waiting)

	for _, c := range bus.Consumers() {
		lag, err := plain.Lag(t.Context(), c)
		require.NoError(t, err)
		require.Zero(t, lag.Last, "the other one's streams stay empty: %s", c)
	}
	require.Len(t, configs(t, client(t, url)), 10)
}

func TestNamespacesAreTokensOfSubjects(t *testing.T) {
	t.Parallel()
	for _, good := range []bus.Namespace{"", "shop-2", "a", "eu_1"} {
		require.NoError(t, good.Validate(), good)
	}
	for _, bad := range []bus.Namespace{"Shop", "a.b", "a b", "*", ">", "oms", "own", "retry", "ledger", "whisperer", "-a", "$JS"} {
		require.Error(t, bad.Validate(), bad)
		_, err := bus.Connect(t.Context(), bus.Options{URL: "nats://127.0.0.1:1", Namespace: bad, Log: zap.NewNop()})
		require.Error(t, err)
	}
}

func TestWhatWePublishIsBelievedInTheEventLogOnlyAroundTheUpgrade(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	js := client(t, url)
	earlier(t, js)
	b := connect(t, url)
	publish(t, b, 1)
	require.NoError(t, b.Streams().Ensure(t.Context()))
	publish(t, b, 1)
	for seq := webhook.Sequence(1); seq <= 2; seq++ {
		stored, err := b.Event(t.Context(), seq)
		require.NoError(t, err)
		require.True(t, stored.Ours, "from before, and of a worker that is not replaced yet")
	}
	first := next(t, subscribe(t, b, bus.Fanout, 1))
	require.True(t, first.Published().Ours)

	own := configs(t, js)["OWN"]
	until, err := time.Parse(time.RFC3339, own.Metadata["whisperer_own_in_oms_until"])
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), until, 5*time.Minute)
	own.Metadata["whisperer_own_in_oms_until"] = time.Now().Add(-time.Hour).Format(time.RFC3339)
	_, err = js.UpdateStream(t.Context(), own)
	require.NoError(t, err)
	later := connect(t, url)
	require.NoError(t, later.Streams().Ensure(t.Context()))
	stored, err := later.Event(t.Context(), 2)
	require.NoError(t, err)
	require.False(t, stored.Ours)

	require.NoError(t, js.DeleteStream(t.Context(), "OWN"))
	again := connect(t, url)
	require.NoError(t, again.Streams().Ensure(t.Context()))
	stored, err = again.Event(t.Context(), 2)
	require.NoError(t, err)
	require.False(t, stored.Ours, "the time after the upgrade does not begin again")
}

func TestNothingInAnEventLogThatIsNewIsBelievedToBeOurs(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	publish(t, b, 1)
	stored, err := b.Event(t.Context(), 1)
	require.NoError(t, err)
	require.False(t, stored.Ours)
	require.NoError(t, b.PublishOwn(t.Context(), bus.Outgoing{Tenant: "acme", Type: "hook.disabled", Body: []byte("1")}))
	stored, err = b.Event(t.Context(), webhook.SequenceIn(webhook.Own, 1))
	require.NoError(t, err)
	require.True(t, stored.Ours)
	require.Equal(t, webhook.Own, stored.Seq.Stream())
	m := next(t, subscribe(t, b, bus.OwnFanout, 1))
	require.True(t, m.Published().Ours)
	require.Equal(t, stored.Seq, m.Place())
}
