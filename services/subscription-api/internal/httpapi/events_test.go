package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

const events = "/whisperer/events/"

// newBus returns a world whose events go to a nats-server of its own. published reads the OMS stream.
func newBus(t *testing.T) (w *world, published func() []envelope.Published) {
	t.Helper()
	b := testenv.Bus(t)
	types := noTypes()
	w = newWorld(t, func(d *httpapi.Deps) {
		d.Publisher, d.Types = b, types
		d.Cases.Bus = func() (*bus.Bus, error) { return b, nil }
		d.RetryWait = 50 * time.Millisecond // there is no worker to make the attempt
	})
	watch, err := w.db.Hooks.Watch(store.WatchOptions{Types: types, Log: zap.NewNop()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { watch.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	return w, func() []envelope.Published {
		var messages []envelope.Published
		for seq := webhook.Sequence(1); ; seq++ {
			m, err := b.Event(t.Context(), seq)
			if err != nil { // the end of the stream
				return messages
			}
			messages = append(messages, m)
		}
	}
}

func TestAnEventIsStoredByteForByteBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	body := `{"event_type":"package-created",  "event_id":"e-1", "entity":"package:61","data":{"b":1.50,"a":"\u00e9 é","big":12345678901234567890123}, "current_context":{"user":1}}`
	a := w.call(t, http.MethodPost, events, body, header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		header("tracestate", "vendor=1"))
	require.Equal(t, http.StatusAccepted, a.status, a.text)
	require.Equal(t, "e-1", a.json["event_id"])
	m := published()
	require.Len(t, m, 1)
	require.Equal(t, "default package.created", m[0].Tenant+" "+m[0].Type)
	require.Equal(t, body, string(m[0].Body))
	require.Equal(t, "application/json", m[0].Headers["Content-Type"][0])
	require.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", m[0].Headers["traceparent"][0])
	require.Equal(t, "vendor=1", m[0].Headers["tracestate"][0])
}

func TestABatchIsStoredInItsOrder(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	w.db.MakeTenant(t, "acme")
	for _, shape := range []string{`[%s]`, `{"events": [%s]}`} {
		list := `{"event_type":"order.created","event_id":"` + shape[:1] + `1","data": {"x" : 1} }, {"event_type":"my.own","data":null}`
		list = strings.ReplaceAll(list, `"{1"`, `"b1"`)
		list = strings.ReplaceAll(list, `"[1"`, `"a1"`)
		a := w.call(t, http.MethodPost, events, fmt.Sprintf(shape, list), header("X-Whisperer-Tenant", "acme"))
		require.Equal(t, http.StatusAccepted, a.status, a.text)
		require.NotContains(t, a.json, "event_id")
		require.Len(t, a.json["results"], 2)
	}
	m := published()
	require.Len(t, m, 4)
	require.Equal(t, "acme order.created", m[0].Tenant+" "+m[0].Type)
	require.JSONEq(t, `{"event_type":"order.created","event_id":"a1","data": {"x" : 1} }`, string(m[0].Body))
	require.Contains(t, string(m[0].Body), `{"x" : 1} }`)
	require.Equal(t, "acme my.own", m[1].Tenant+" "+m[1].Type)
	require.NotEmpty(t, m[1].Headers["Nats-Msg-Id"], "the made-up id travels with the event")
}

func TestPublishingAgainDoesNotDouble(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	w.db.MakeTenant(t, "acme")
	withID := `{"event_type":"order.created","event_id":"1","data":1}`
	without := `[{"event_type":"order.created","data":1},{"event_type":"order.created","data":1}]`
	var answers []string
	for range 2 {
		require.Equal(t, http.StatusAccepted, w.call(t, http.MethodPost, events, withID).status)
		a := w.call(t, http.MethodPost, events, without, header("Idempotency-Key", "k"))
		answers = append(answers, a.text)
	}
	require.Equal(t, answers[0], answers[1])
	require.Len(t, published(), 3, "an event with an id, and two that the key gave ids")

	w.call(t, http.MethodPost, events, `{"event_type":"order.created","event_id":"1","data":2}`)
	require.Len(t, published(), 4, "the same id with another body gets through, to be rejected in the open")
	w.call(t, http.MethodPost, events, withID, header("X-Whisperer-Tenant", "acme"))
	require.Len(t, published(), 5, "ids are a tenant's own")
	w.call(t, http.MethodPost, events, without, header("Idempotency-Key", "k2"))
	w.call(t, http.MethodPost, events, without)
	require.Len(t, published(), 9)
}

func TestEventsThatBreakARule(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	event := func(fields string) string { return `{"event_type":"order.created","data":1,` + fields + `}` }
	for _, c := range []struct {
		name, body, pointer string
		status              int
	}{
		{"no type", `{"data":1}`, "/event_type", 422},
		{"no data", `{"event_type":"order.created"}`, "/data", 422},
		{"a type with a wildcard", `{"event_type":"order.*","data":1}`, "/event_type", 422},
		{"a type with a space", `{"event_type":"order created","data":1}`, "/event_type", 422},
		{"a type that ends a line", `{"event_type":"order.created\r\nX: 1","data":1}`, "/event_type", 422},
		{"an id with a line feed", event(`"event_id":"a\r\nb"`), "/event_id", 422},
		{"an id that is too long", event(`"event_id":"` + strings.Repeat("i", 256) + `"`), "/event_id", 422},
		{"an empty id", event(`"event_id":""`), "/event_id", 422},
		{"an id that is a number", event(`"event_id":1`), "/event_id", 422},
		{"a time without a zone", event(`"event_time":"2026-01-01T00:00:00"`), "/event_time", 422},
		{"an entity with a control character", event(`"entity":"a\u0001"`), "/entity", 422},
		{"a context that is a list", event(`"current_context":[]`), "/current_context", 422},
		{"a filter that is a string", event(`"config_filter":"x"`), "/config_filter", 422},
		{"a type that is ours", `{"event_type":"hook.disabled","data":1}`, "/event_type", 422},
		{"the type of a callback", `{"event_type":"callback.h0190a1b2c3d47e5f8a9b0c1d2e3f4a5b","data":1}`, "/event_type", 422},
		{"a type that is ours, with dashes", `[{"event_type":"delivery-dead","data":1}]`, "/0/event_type", 422},
		{"an id that is ours", event(`"event_id":"whisperer:dead:1"`), "/event_id", 422},
		{"an unknown field", event(`"event_typ":"x"`), "/event_typ", 422},
		{"a bad one among good ones", `[{"event_type":"order.created","data":1},{"event_type":"order.created"}]`, "/1/data", 422},
		{"a bad one in events", `{"events":[{"event_type":"order.created","data":1,"x":1}]}`, "/events/0/x", 422},
		{"a list of numbers", `[1]`, "/0", 422},
		{"no events", `[]`, "", 422},
		{"no events in events", `{"events":[]}`, "/events", 422},
		{"events that are none", `{"events":1}`, "/events", 422},
		{"something beside events", `{"events":[{"event_type":"order.created","data":1}],"data":1}`, "/data", 422},
		{"a hundred and one", `[` + strings.Repeat(`{"event_type":"order.created","data":1},`, 100) + `{"event_type":"order.created","data":1}]`, "", 422},
		{"text", `"x"`, "", 422},
	} {
		a := w.call(t, http.MethodPost, events, c.body)
		require.Equal(t, c.status, a.status, "%s: %s", c.name, a.text)
		require.Equal(t, []string{c.pointer}, a.pointers(), "%s: %s", c.name, a.text)
	}
	require.Empty(t, published(), "nothing was stored, not even good ones beside a bad one")
}

func TestWithoutNATSPublishingIsAnsweredWith503(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := time.Now()
	a := w.call(t, http.MethodPost, events, `{"event_type":"order.created","data":1}`)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Less(t, time.Since(begin), 30*time.Second)
}
