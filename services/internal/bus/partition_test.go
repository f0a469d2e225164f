package bus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// apart returns a tenant whose partition differs from those of the others.
func apart(b *bus.Bus, others ...string) string {
	for n := 0; ; n++ {
		tenant, same := fmt.Sprintf("tenant-%d", n), false
		for _, o := range others {
			same = same || b.Partition(tenant) == b.Partition(o)
		}
		if !same {
			return tenant
		}
	}
}

// fanoutOf returns the name of the JetStream consumer of the tenant acme's events.
func fanoutOf(b *bus.Bus) string { return fmt.Sprintf("%s-%02d", bus.Fanout, b.Partition("acme")) }

// publishAll publishes n events of a tenant.
func publishAll(t *testing.T, b *bus.Bus, tenant string, n int) {
	t.Helper()
	var events []bus.Outgoing
	for i := range n {
		events = append(events, bus.Outgoing{Tenant: tenant, Type: "order.created", ID: fmt.Sprintf("%s-%d", tenant, i), Body: []byte("{}")})
	}
	require.NoError(t, b.PublishEvents(t.Context(), events))
}

func TestTenantsAreTakenInTurns(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	loud := "acme"
	quiet := apart(b, loud)
	publishAll(t, b, loud, 500)
	publishAll(t, b, quiet, 3)
	sub := subscribe(t, b, bus.Fanout, 8)
	taken := map[string]int{}
	for taken[quiet] < 3 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		batch, ok := sub.TakeBatch(ctx, nil, 4)
		cancel()
		require.True(t, ok, "%v", taken)
		for _, m := range batch {
			tenant, eventType := m.Published().Tenant, m.Published().Type
			require.Equal(t, "order.created", eventType)
			require.Equal(t, "oms."+tenant+".order.created", m.Subject, "as it was published")
			taken[tenant]++
			require.NoError(t, m.Ack())
		}
	}
	require.Less(t, taken[loud], 100)
}

func TestATenantThatSettlesNothingHoldsUpItsOwnPartitionAlone(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	loud := "acme"
	quiet := apart(b, loud)
	sub := subscribe(t, b, bus.Fanout, 8)
	publishAll(t, b, loud, 5)
	publishAll(t, b, quiet, 5)
	settled := 0
	for range 10 {
		m := next(t, sub)
		if m.Published().Tenant == quiet {
			require.NoError(t, m.Ack())
			settled++
		}
	}
	require.Equal(t, 5, settled)
	require.Eventually(t, func() bool {
		of, err := b.LagOf(t.Context(), bus.Fanout, b.Partition(quiet))
		require.NoError(t, err)
		return of.Done(10) && of.Settled == 10
	}, time.Minute, 10*time.Millisecond)
	of, err := b.LagOf(t.Context(), bus.Fanout, b.Partition(loud))
	require.NoError(t, err)
	require.Equal(t, bus.Lag{InFlight: 5, Handed: 5, Last: 10, Stored: 10}, of)
	all, err := b.Lag(t.Context(), bus.Fanout)
	require.NoError(t, err)
	require.Equal(t, bus.Lag{InFlight: 5, Handed: 10, Last: 10, Stored: 10}, all)
}

func TestATenantWithLargeEventsLeavesRoomForAnother(t *testing.T) {
	t.Parallel()
	b, _ := ready(t)
	const n, size, room = 40, 1 << 20, 24 << 20
	loud, quiet := "acme", apart(b, "acme")
	for range n { // one by one: each may take as long as the whole test
		event := bus.Outgoing{Tenant: loud, Type: "order.created", Body: make([]byte, size)}
		require.NoError(t, b.PublishEvents(t.Context(), []bus.Outgoing{event}))
	}
	sub, err := b.Subscribe(t.Context(), bus.Fanout, bus.Room{Messages: n, Bytes: room})
	require.NoError(t, err)
	t.Cleanup(sub.Stop)
	open := []bus.Message{next(t, sub)}
	for !open[0].Crowds() {
		batch, ok := sub.TakeBatch(t.Context(), nil, n)
		require.True(t, ok)
		open = append(open, batch...)
	}
	publishAll(t, b, quiet, 1)
	m := next(t, sub)
	for m.Header("Nats-Msg-Id") != quiet+"-0" { // messages that were requested before the limit was reached
		open = append(open, m)
		m = next(t, sub)
	}
	require.LessOrEqual(t, len(open)*size, room/2+2*size)
	require.False(t, m.Crowds())
}

// TestALogIsSpreadOverPartitionsWhileItIsUsed partitions an existing log: both the stored events and later ones
// arrive.
func TestALogIsSpreadOverPartitionsWhileItIsUsed(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	unspread := configs(t, js)["OMS"]
	unspread.SubjectTransform = nil
	_, err := js.UpdateStream(t.Context(), unspread)
	require.NoError(t, err)
	publishAll(t, b, "acme", 3)
	sub := subscribe(t, b, bus.Fanout, 8)
	first := next(t, sub)

	want := []bus.Setting{{Stream: bus.StreamOMS, Name: "partitions", Want: bus.DefaultPartitions}}
	settings, err := b.Streams().Settings(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, settings)
	repaired, err := b.Streams().Repair(t.Context())
	require.NoError(t, err)
	require.Empty(t, repaired, "a program that starts does not change it")
	require.NoError(t, b.Streams().ApplySettings(t.Context()))
	settings, err = b.Streams().Settings(t.Context())
	require.NoError(t, err)
	require.Empty(t, settings)

	publishAll(t, b, "other", 3)
	of := func() bus.Lag {
		lag, err := b.LagOf(t.Context(), bus.Fanout, b.Partition("other"))
		require.NoError(t, err)
		return lag
	}
	var got []string
	for range 5 {
		m := next(t, sub)
		got = append(got, m.Header("Nats-Msg-Id"))
		require.NoError(t, m.Ack())
	}
	require.ElementsMatch(t, []string{"acme-1", "acme-2", "other-0", "other-1", "other-2"}, got)
	require.Eventually(t, func() bool { return of().InFlight == 1 }, time.Minute, 10*time.Millisecond)
	require.Zero(t, of().Settled, "an event of before there were partitions may be anybody's")
	require.NoError(t, first.Ack())
	require.Eventually(t, func() bool { return of().Done(6) && of().Settled == 6 }, time.Minute, 10*time.Millisecond)
}

func TestOtherPartitionsThanOursAreTakenBack(t *testing.T) {
	t.Parallel()
	b, js := ready(t)
	theirs := configs(t, js)["OMS"]
	theirs.SubjectTransform.Destination = "elsewhere.{{wildcard(1)}}.>"
	_, err := js.UpdateStream(t.Context(), theirs)
	require.NoError(t, err)
	repaired, err := b.Streams().Repair(t.Context())
	require.NoError(t, err)
	require.Equal(t, []bus.Repaired{{Name: bus.StreamOMS}}, repaired)
	publishAll(t, b, "acme", 1)
	next(t, subscribe(t, b, bus.Fanout, 8))
}
