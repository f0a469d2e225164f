package relay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/relay"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// listener listens to copies on the bus.
type listener struct {
	t      *testing.T
	copies *bus.Copies
	wish   bus.Wish
}

func listen(t *testing.T, b *bus.Bus, w bus.Wish) *listener {
	t.Helper()
	w.Relay, w.For = uuid.New(), time.Minute
	copies, err := b.Relay().Copies(t.Context(), w.Relay)
	require.NoError(t, err)
	t.Cleanup(copies.Close)
	require.NoError(t, b.Relay().PublishWish(&w))
	l := &listener{t: t, copies: copies, wish: w}
	require.Equal(t, "w", l.next().Worker)
	return l
}

// next returns the next message.
func (l *listener) next() api.RelayMessage {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Minute)
	defer cancel()
	data, dropped, err := l.copies.Next(ctx)
	require.NoError(l.t, err)
	require.Zero(l.t, dropped)
	var m api.RelayMessage
	require.NoError(l.t, json.Unmarshal(data, &m))
	return m
}

func run(t *testing.T) (*relay.Relay, *bus.Bus) {
	t.Helper()
	b := testenv.Bus(t)
	r := relay.New(b.Relay(), "w", zap.NewNop())
	stop, err := b.Relay().Wishes(r.Hear)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		cancel()
		<-done
	})
	return r, b
}

func due(tenant string, hook uuid.UUID, eventType string) []*webhook.Due {
	return []*webhook.Due{{ID: uuid.New(), Hook: &webhook.Hook{ID: hook, Tenant: tenant}, Event: &webhook.Event{Tenant: tenant, Type: eventType}}}
}

func TestEachListenerGetsWhatItAskedFor(t *testing.T) {
	t.Parallel()
	r, b := run(t)
	require.False(t, r.Wants("acme"))
	one, two := uuid.New(), uuid.New()
	all := listen(t, b, bus.Wish{Tenant: "acme"})
	hook := listen(t, b, bus.Wish{Tenant: "acme", Hook: two})
	created := listen(t, b, bus.Wish{Tenant: "acme", EventTypes: []string{"package.*", "order.created"}})
	foreign := listen(t, b, bus.Wish{Tenant: "other"})
	require.True(t, r.Wants("acme"))
	made := &whispererv1.AttemptFact{Number: 3, Method: "POST", Url: "http://example.com/", RequestHeaders: "A: b\nX-API-Key: [hidden]", Status: 503, ErrorClass: "http_status"}
	body := []byte("\xff exact")
	for _, d := range [][]*webhook.Due{due("acme", one, "order.updated"), due("acme", one, "order.created"), due("acme", two, "order.updated"), due("other", two, "order.created")} {
		r.Copy(d, made, body)
	}
	for range 3 {
		got := all.next().Request
		require.Equal(t, body, got.Body)
		require.Equal(t, []api.HeaderLine{{Name: "A", Value: "b"}, {Name: "X-API-Key", Value: "[hidden]"}}, got.Headers)
		require.Equal(t, []any{3, 503, "POST", "http://example.com/"}, []any{got.Attempt, *got.Status, got.Method, got.URL})
	}
	require.Equal(t, two, hook.next().Request.Hook)
	require.Equal(t, []string{"order.created"}, created.next().Request.EventTypes)
	require.Equal(t, two, foreign.next().Request.Hook)

	all.wish.For = 0
	require.NoError(t, b.Relay().PublishWish(&all.wish))
	foreign.wish.For = 0
	require.NoError(t, b.Relay().PublishWish(&foreign.wish))
	require.Eventually(t, func() bool { return !r.Wants("other") }, 2*time.Minute, time.Millisecond)
	require.True(t, r.Wants("acme"))
}

func TestWhatIsTooMuchIsDroppedAndSaid(t *testing.T) {
	t.Parallel()
	r, b := run(t)
	l := listen(t, b, bus.Wish{Tenant: "acme"})
	made := &whispererv1.AttemptFact{Number: 1, Method: "POST", Url: "http://example.com/", RequestHeaders: "A: b"}
	const sent = 40
	body := bytes.Repeat([]byte("x"), 500<<10)
	for range sent { // 20 MB at once
		r.Copy(due("acme", uuid.New(), "order.created"), made, body)
	}
	got, dropped := 0, 0
	for got+dropped < sent {
		m := l.next()
		dropped += m.Dropped
		if m.Request != nil {
			got++
		}
	}
	require.Equal(t, sent, got+dropped)
	require.Positive(t, got)
	require.Positive(t, dropped)

	large := bytes.Repeat([]byte("x"), b.MaxPayload())
	require.Eventually(t, func() bool { // repeat until the rate limit allows so many bytes again
		r.Copy(due("acme", uuid.New(), "order.created"), made, large)
		m := l.next()
		return m.Request != nil && m.Request.Body == nil && m.Request.BodySize == len(large)
	}, 2*time.Minute, 100*time.Millisecond, "a body that no message has room for is left out")
}
