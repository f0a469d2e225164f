package publisher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func connect(t *testing.T, o publisher.Options) *publisher.Publisher {
	t.Helper()
	p, err := publisher.New(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// ready returns a publisher of acme, and the bus that it publishes to.
func ready(t *testing.T) (*publisher.Publisher, *bus.Bus) {
	t.Helper()
	url := testenv.NATS(t)
	return connect(t, publisher.Options{URL: url, Tenant: "acme", Name: "test"}), look(t, url)
}

func look(t *testing.T, url string) *bus.Bus {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Options{URL: url, Name: "look", OMSMaxBytes: 64 << 20, Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.Streams().Ensure(t.Context()))
	return b
}

// stream reads all events as a worker does.
func stream(t *testing.T, b *bus.Bus) []webhook.Event {
	t.Helper()
	lag, err := b.Lag(t.Context(), bus.Fanout)
	require.NoError(t, err)
	var all []webhook.Event
	for i := range lag.Last {
		m, err := b.Event(t.Context(), webhook.Sequence(i+1))
		require.NoError(t, err)
		e, err := envelope.Decode(m)
		require.NoError(t, err)
		all = append(all, e)
	}
	return all
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestAPublishedEventIsReadAsItWasMeant(t *testing.T) {
	t.Parallel()
	p, b := ready(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 891_011_000, time.FixedZone("", 3600))
	data := json.RawMessage(`{ "b":1.10,"a":"<é>" }`)
	require.NoError(t, p.Publish(t.Context(), publisher.Event{
		ID: "o-1", Type: "package-created", Time: at, Entity: `order:"1"`, Data: data, Traceparent: traceparent,
		Context: map[string]any{"user": 7}, ConfigFilter: json.RawMessage(`{"shop":61}`),
	}))
	require.NoError(t, p.Publish(t.Context(), publisher.Event{Tenant: "other", Type: "order.created", Data: []string{"<&>"}}))
	events := stream(t, b)
	require.Len(t, events, 2)
	e := events[0]
	require.Equal(t, "o-1", e.ID)
	require.Equal(t, "acme", e.Tenant)
	require.Equal(t, "package.created", e.Type)
	require.Equal(t, at.UTC(), e.Time)
	require.Equal(t, `order:"1"`, e.Entity)
	require.Equal(t, string(data), string(e.Data), "the exact bytes")
	require.JSONEq(t, `{"user":7}`, string(e.Context))
	require.JSONEq(t, `{"shop":61}`, string(e.ConfigFilter))
	require.Equal(t, traceparent, e.Traceparent)
	e = events[1]
	require.Equal(t, "other", e.Tenant)
	require.Equal(t, `["<&>"]`, string(e.Data))
	require.WithinDuration(t, time.Now(), e.Time, time.Minute)
	id, err := uuid.Parse(e.ID)
	require.NoError(t, err)
	require.EqualValues(t, 7, id.Version())
}

func TestAnEventThatBreaksARuleNamesEachField(t *testing.T) {
	t.Parallel()
	good := publisher.Event{Type: "order.created", Data: 1}
	cases := []struct {
		name   string
		change func(*publisher.Event)
		fields []string
	}{
		{name: "nothing at all", change: func(e *publisher.Event) { *e = publisher.Event{} }, fields: []string{"/event_type", "/data"}},
		{name: "a bad id", change: func(e *publisher.Event) { e.ID = "a\nb" }, fields: []string{"/event_id"}},
		{name: "a bad tenant", change: func(e *publisher.Event) { e.Tenant = "a.b" }, fields: []string{"/tenant"}},
		{name: "a type with a space", change: func(e *publisher.Event) { e.Type = "order created" }, fields: []string{"/event_type"}},
		{name: "an entity with a control character", change: func(e *publisher.Event) { e.Entity = "a\nb" }, fields: []string{"/entity"}},
		{name: "a context that is no object", change: func(e *publisher.Event) { e.Context = []int{1} }, fields: []string{"/current_context"}},
		{name: "a filter that is no object", change: func(e *publisher.Event) { e.ConfigFilter = "x" }, fields: []string{"/config_filter"}},
		{name: "data that is no JSON", change: func(e *publisher.Event) { e.Data = json.RawMessage(`1,"event_id":"x"`) }, fields: []string{"/data"}},
		{name: "empty data", change: func(e *publisher.Event) { e.Data = json.RawMessage(``) }, fields: []string{"/data"}},
		{name: "a context of nothing", change: func(e *publisher.Event) { e.Context = json.RawMessage(``) }, fields: []string{"/current_context"}},
		{name: "data without a JSON form", change: func(e *publisher.Event) { e.Data = math.Inf(1) }, fields: []string{"/data"}},
		{name: "data that is not UTF-8", change: func(e *publisher.Event) { e.Data = json.RawMessage("\"\xff\"") }, fields: []string{""}},
		{name: "a traceparent of another form", change: func(e *publisher.Event) { e.Traceparent = "00-abc" }, fields: []string{"/traceparent"}},
		{name: "a time before times", change: func(e *publisher.Event) { e.Time = time.Unix(-1e10, 0) }, fields: []string{"/event_time"}},
		{name: "more than 1 MiB", change: func(e *publisher.Event) { e.Data = strings.Repeat("x", 1<<20) }, fields: []string{""}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := good
			c.change(&e)
			_, err := e.Encode("acme")
			require.ErrorIs(t, err, webhook.ErrInvalid)
			var invalid *webhook.ValidationError
			require.ErrorAs(t, err, &invalid)
			var fields []string
			for _, f := range invalid.Fields {
				fields = append(fields, f.Pointer)
			}
			require.Equal(t, c.fields, fields, err)
		})
	}
	_, err := good.Encode("acme")
	require.NoError(t, err)
}

func TestABatchIsCheckedAsAWholeAndStoredInOrder(t *testing.T) {
	t.Parallel()
	p, b := ready(t)
	events := make([]publisher.Event, 1500)
	for i := range events {
		events[i] = publisher.Event{ID: fmt.Sprint("n", i), Type: "order.created", Data: i}
	}
	bad := append([]publisher.Event{}, events[:3]...)
	bad[1].ID = "a\nb"
	bad[2].Data = nil
	err := p.PublishBatch(t.Context(), bad)
	require.ErrorContains(t, err, "/1/event_id")
	require.ErrorContains(t, err, "/2/data")
	require.Empty(t, stream(t, b))

	require.NoError(t, p.PublishBatch(t.Context(), nil))
	require.NoError(t, p.PublishBatch(t.Context(), events))
	require.NoError(t, p.PublishBatch(t.Context(), events), "once more")
	stored := stream(t, b)
	require.Len(t, stored, len(events))
	for i, e := range stored {
		require.Equal(t, events[i].ID, e.ID)
	}
}

func TestARepetitionIsDroppedAndAnotherTenantsEventIsNot(t *testing.T) {
	t.Parallel()
	p, b := ready(t)
	e := publisher.Event{ID: "one", Type: "order.created", Data: 1}
	require.NoError(t, p.Publish(t.Context(), e))
	require.NoError(t, p.Publish(t.Context(), e)) // with another time
	require.Len(t, stream(t, b), 1)
	e.Tenant = "other"
	require.NoError(t, p.Publish(t.Context(), e))
	require.Len(t, stream(t, b), 2)
	e.Data = 2
	require.NoError(t, p.Publish(t.Context(), e), "for the worker to reject it in the open")
	require.Len(t, stream(t, b), 3)
}

func TestPublishAsyncKeepsTheOrderAndFlushWaits(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	p, b := connect(t, publisher.Options{URL: url, MaxInFlight: 8}), look(t, url)
	var acks []*publisher.Ack
	for i := range 500 {
		acks = append(acks, p.PublishAsync(publisher.Event{Type: "order.created", Data: i}))
	}
	require.NoError(t, p.Flush(t.Context()))
	stored := stream(t, b)
	require.Len(t, stored, 500)
	for i, ack := range acks {
		<-ack.Done()
		require.NoError(t, ack.Err())
		require.Equal(t, stored[i].ID, ack.ID())
		require.Equal(t, fmt.Sprint(i), string(stored[i].Data))
		require.Equal(t, webhook.DefaultTenant, stored[i].Tenant)
	}
	require.ErrorIs(t, p.PublishAsync(publisher.Event{Type: "order.created"}).Err(), webhook.ErrInvalid)
}

func TestFlushTellsOfWhatWasNotStored(t *testing.T) {
	t.Parallel()
	p := connect(t, publisher.Options{URL: testenv.NATS(t)}) // without a stream to store anything
	ack := p.PublishAsync(publisher.Event{Type: "order.created", Data: 1})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Flush(ended), context.Canceled)
	require.Error(t, p.Flush(t.Context()))
	require.Error(t, ack.Err())
	require.NotEmpty(t, ack.ID())
}

func TestPublishTriesAgainUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	p := connect(t, publisher.Options{URL: url, Timeout: 300 * time.Millisecond})
	e := publisher.Event{ID: "one", Type: "order.created", Data: 1}
	require.Error(t, p.Publish(t.Context(), e), "there is no stream")

	patient := connect(t, publisher.Options{URL: url, Timeout: 2 * time.Minute})
	result := make(chan error, 1)
	go func() { result <- patient.Publish(t.Context(), e) }()
	b := look(t, url) // creates the stream
	require.NoError(t, <-result)
	require.Len(t, stream(t, b), 1)
}

func TestAnEventOfTheLargestSizeIsTaken(t *testing.T) {
	t.Parallel()
	p, b := ready(t)
	require.NoError(t, p.Publish(t.Context(), publisher.Event{Type: "order.created", Data: strings.Repeat("x", 1<<20-500)}))
	require.Len(t, stream(t, b), 1)
}

func TestNewWaitsForTheServerUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	s, err := natsd.Start(t.Context(), natsd.Options{StoreDir: t.TempDir(), Port: natsd.RandomPort})
	require.NoError(t, err)
	url := s.ClientURL()
	require.NoError(t, s.Shutdown(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = publisher.New(ctx, publisher.Options{URL: url})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = publisher.New(t.Context(), publisher.Options{URL: url, Tenant: "A B"})
	require.Error(t, err)
}

func TestManyPublishAtOnce(t *testing.T) {
	t.Parallel()
	p, b := ready(t)
	var all sync.WaitGroup
	errs := make(chan error, 64)
	for i := range 32 {
		all.Go(func() { errs <- p.Publish(t.Context(), publisher.Event{Type: "order.created", Data: i}) })
		all.Go(func() { errs <- p.PublishAsync(publisher.Event{Type: "order.created", Data: i}).Err() })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, stream(t, b), 64)
}
