package testenv

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// asideTime bounds setting messages aside.
const asideTime = time.Minute

// Bus returns a connection to a nats-server of the test's own, with the topology.
func Bus(tb testing.TB) *bus.Bus {
	tb.Helper()
	b := Connect(tb, NATS(tb))
	if err := b.Streams().Ensure(tb.Context()); err != nil {
		tb.Fatalf("make the test's topology: %v", err)
	}
	return b
}

// Connect connects to the nats-server at the URL with the programs' default options.
func Connect(tb testing.TB, url string) *bus.Bus {
	tb.Helper()
	b, err := bus.Connect(tb.Context(), bus.Options{URL: url, Name: tb.Name(), Log: zap.NewNop()})
	if err != nil {
		tb.Fatalf("connect the test to nats: %v", err)
	}
	tb.Cleanup(b.Close)
	return b
}

// SetAside sets the next n messages of a consumer aside, as the recorder does with what PostgreSQL rejects.
func SetAside(tb testing.TB, b *bus.Bus, c bus.Consumer, what string, n int) {
	tb.Helper()
	sub, err := b.Subscribe(tb.Context(), c, bus.Room{Messages: n})
	if err != nil {
		tb.Fatalf("set %s aside: %v", what, err)
	}
	defer sub.Stop()
	ctx, cancel := context.WithTimeout(tb.Context(), asideTime)
	defer cancel()
	for n > 0 {
		batch, more := sub.TakeBatch(ctx, nil, n)
		if !more {
			tb.Fatalf("set %s aside: %d messages did not come", what, n)
		}
		for i := range batch {
			err := b.Aside().Add(ctx, what, &batch[i], `pq: new row for relation "events" violates check constraint "events_tenant_check"`)
			if err == nil {
				err = batch[i].Ack()
			}
			if err != nil {
				tb.Fatalf("set %s aside: %v", what, err)
			}
		}
		n -= len(batch)
	}
}

// SetEventsAside publishes events of the tenant default with the ids e-1 to e-n and sets them aside.
func SetEventsAside(tb testing.TB, b *bus.Bus, n int) {
	tb.Helper()
	list := make([]bus.Outgoing, n)
	for i := range list {
		list[i] = bus.Outgoing{Tenant: "default", Type: "order.created", ID: fmt.Sprintf("e-%d", i+1), Body: fmt.Appendf(nil, `{"id":%d}`, i+1)}
	}
	if err := b.PublishEvents(tb.Context(), list); err != nil {
		tb.Fatalf("publish events to be set aside: %v", err)
	}
	SetAside(tb, b, bus.EventRecorder, bus.AsideEvents, n)
}
