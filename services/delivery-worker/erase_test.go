package deliveryworker_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// canary is part of the payloads to be erased, and of the receivers' answers to them.
const canary = "canary-4711-jane-doe"

// erasing is a world whose nats-server keeps its files where the test can read them.
type erasing struct {
	*world
	files  string
	eraser *erase.Eraser
}

func newErasing(t *testing.T) *erasing {
	t.Helper()
	files := t.TempDir()
	server, err := natsd.Start(t.Context(), natsd.Options{StoreDir: files, Port: natsd.RandomPort})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Shutdown(context.Background())) })
	w := newWorldOn(t, server.ClientURL())
	find := func() (*bus.Bus, error) { return w.bus, nil }
	return &erasing{world: w, files: files, eraser: erase.New(w.db, find, erase.NewMetrics(prometheus.NewRegistry()), zaptest.NewLogger(t))}
}

// places returns where the canary is found: tables of PostgreSQL and files of nats-server.
func (w *erasing) places() []string {
	return append(testenv.TablesWith(w.t, w.config.DatabaseURL, canary), testenv.FilesWith(w.t, w.files, canary)...)
}

// nowhere waits until the canary is found nowhere. nats-server removes acknowledged messages from its files with a delay.
func (w *erasing) nowhere() {
	w.t.Helper()
	var left []string
	defer func() { w.t.Log("left in", left) }()
	require.Eventually(w.t, func() bool { left = w.places(); return len(left) == 0 }, 2*time.Minute, 200*time.Millisecond)
}

// erase requests an erasure and performs it.
func (w *erasing) erase(n store.NewErasure) store.Erasure {
	w.t.Helper()
	n.Tenant, n.Reason = webhook.DefaultTenant, "asked for"
	if n.Range.To.IsZero() {
		n.Range = store.TimeRange{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Minute)}
	}
	e, err := w.db.Erasures.Create(w.t.Context(), "token of the test", n)
	require.NoError(w.t, err)
	for e.State == store.JobRunning {
		_, err := w.eraser.Step(w.t.Context())
		require.NoError(w.t, err)
		e, err = w.db.Erasures.Get(w.t.Context(), n.Tenant, e.ID)
		require.NoError(w.t, err)
	}
	return e
}

// verify checks the signature of an erasure's certificate.
func (w *erasing) verify(e *store.Erasure) {
	w.t.Helper()
	keys, err := w.db.Access.SigningKeys(w.t.Context(), e.Tenant)
	require.NoError(w.t, err)
	var set []httpsig.JWK
	for i := range keys {
		set = append(set, keys[i].Public)
	}
	_, err = erase.Verify(e.Certificate, set)
	require.NoError(w.t, err)
	_, err = erase.Verify(e.Certificate, set[:0:0])
	require.ErrorContains(w.t, err, "there is no key")
	changed := strings.Replace(string(e.Certificate), `"asked for"`, `"nobody asked"`, 1)
	_, err = erase.Verify([]byte(changed), nil)
	require.ErrorContains(w.t, err, "was changed")
	_, err = erase.Verify([]byte(`{"events":1}`), nil)
	require.ErrorContains(w.t, err, "not signed")
}

func (w *erasing) delivery(hook uuid.UUID, event string) webhook.Delivery {
	d, _, err := w.db.History.GetDelivery(w.t.Context(), webhook.DefaultTenant, webhook.DeliveryID(hook, event))
	if err != nil {
		return webhook.Delivery{}
	}
	return d
}

// await waits until the delivery is in the state.
func (w *erasing) await(hook uuid.UUID, event string, state webhook.DeliveryState) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.delivery(hook, event).State == state }, time.Minute, 20*time.Millisecond, "%s %s", event, state)
}

func TestAnErasedPayloadIsNowhere(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	w.receiver.React(func(r testenv.Received) testenv.Answer {
		switch {
		case !strings.Contains(r.Body, canary):
			return testenv.Answer{}
		case r.Path == "/fails":
			return testenv.Answer{Status: http.StatusServiceUnavailable, Header: http.Header{"X-Echo": {canary}}, Body: canary}
		}
		return testenv.Answer{Header: http.Header{"X-Echo": {canary}}, Body: canary}
	})
	ok := w.hook("/ok", func(h *webhook.Hook) { h.Callback = &webhook.Callback{URL: w.receiver.URL + "/told"} })
	fails := w.hook("/fails", func(h *webhook.Hook) {
		h.RetryConfig = []byte(`{"choice":"fixed","kwargs":{"seconds":3600}}`)
	})
	paused := w.hook("/paused", func(h *webhook.Hook) { h.Status = webhook.Paused })
	w.hook("/filter", func(h *webhook.Hook) { h.Config = config(t, `{"filter":"int(event.data.name) == 1"}`) })
	w.run()
	body := func(id string) string {
		return fmt.Sprintf(`{"event_id":"%s","entity":"customer:61","current_context":{"who":"%s"},"data":{"name":"%s"}}`, id, canary, canary)
	}
	w.publish("order.created", body("e-1"), body("e-2"), `{"event_id":"other","entity":"customer:7","data":{"name":"somebody else"}}`)
	w.publish("order.created", `{"event_id":"e-1","data":{"other":"`+canary+`"}}`) // an id_conflict
	w.await(ok.ID, "e-2", webhook.Delivered)
	w.await(fails.ID, "e-2", webhook.Waiting)
	w.await(paused.ID, "e-2", webhook.Parked)
	w.await(fails.ID, "e-1", webhook.Waiting)
	w.await(ok.ID, "other", webhook.Delivered)
	w.receiver.Await(t, "/told", 3)
	require.Eventually(t, func() bool {
		list, err := w.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, time.Time{}, 10)
		return err == nil && len(list) == 1
	}, time.Minute, 20*time.Millisecond)
	require.NotEmpty(t, w.places(), "the canary is everywhere")

	total, err := w.db.Erasures.Count(t.Context(), store.NewErasure{
		Tenant: webhook.DefaultTenant, Kind: store.EraseEntity, Criteria: []string{"customer:61"},
		Range: store.TimeRange{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Minute)},
	})
	require.NoError(t, err)
	require.EqualValues(t, 2, total)
	e := w.erase(store.NewErasure{Kind: store.EraseIDs, Criteria: []string{"e-1", "e-2"}, Total: &total})
	require.Equal(t, store.JobCompleted, e.State, e.Detail)
	w.verify(&e)
	w.nowhere()

	for hook, state := range map[uuid.UUID]webhook.DeliveryState{ok.ID: webhook.Delivered, fails.ID: webhook.Dead, paused.ID: webhook.Dead} {
		d := w.delivery(hook, "e-1")
		require.Equal(t, state, d.State)
		if state == webhook.Dead {
			require.Equal(t, webhook.ReasonErased, d.Reason)
		}
	}
	event, err := w.db.History.FindEvent(t.Context(), webhook.DefaultTenant, "e-1")
	require.NoError(t, err)
	require.Equal(t, "customer:61", event.Entity, "what it was stays")
	require.Equal(t, "null", string(event.Data))
	require.Equal(t, "token of the test", event.Erased.By)
	other, err := w.db.History.FindEvent(t.Context(), webhook.DefaultTenant, "other")
	require.NoError(t, err)
	require.Contains(t, string(other.Data), "somebody else")

	_, err = w.db.Hooks.Update(t.Context(), "test", webhook.DefaultTenant, paused.ID, nil, func(h *webhook.Hook) error {
		h.Status = webhook.Active
		return nil
	})
	require.NoError(t, err)
	w.receiver.Await(t, "/paused", 1)
	require.Len(t, w.receiver.Got("/paused"), 1, "only the other event")
	require.ErrorContains(t, w.db.Jobs.RetryDelivery(t.Context(), "test", webhook.DefaultTenant, webhook.DeliveryID(fails.ID, "e-1"), true), "erased on")
	again := w.erase(store.NewErasure{Kind: store.EraseIDs, Criteria: []string{"e-1", "e-2"}})
	require.Zero(t, again.Done, "it is done once")
}

func TestPayloadsAreErasedWhenTheirRetentionIsOver(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	fails := w.hook("/fails", func(h *webhook.Hook) {
		h.EventTypes, h.RetryConfig = []string{"order.created"}, []byte(`{"choice":"fixed","kwargs":{"seconds":3600}}`)
	})
	w.receiver.Answer("/fails", testenv.Answer{Status: http.StatusServiceUnavailable})
	w.run()
	w.publish("order.created", fmt.Sprintf(`{"event_id":"e-1","data":{"name":"%s"}}`, canary))
	w.publish("order.updated", `{"event_id":"e-2","data":{"n":2}}`)
	w.publish("package.created", `{"event_id":"e-3","data":{"n":3}}`)
	w.await(fails.ID, "e-1", webhook.Waiting)
	data := func(id string) string {
		e, err := w.db.History.FindEvent(t.Context(), webhook.DefaultTenant, id)
		if err != nil {
			return ""
		}
		return string(e.Data)
	}
	require.Eventually(t, func() bool { return data("e-2") != "" && data("e-3") != "" }, time.Minute, 20*time.Millisecond)
	set := func(eventType string, days int) {
		require.NoError(t, w.db.Retention.Set(t.Context(), "test", webhook.DefaultTenant, eventType, days, 10))
	}
	set("order.>", 30)
	set("order.created", 2)
	later := time.Now().AddDate(0, 0, 3)
	n, err := w.eraser.Expire(t.Context(), later)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the shorter of two counts")
	w.nowhere()
	event, err := w.db.History.FindEvent(t.Context(), webhook.DefaultTenant, "e-1")
	require.NoError(t, err)
	require.Equal(t, webhook.ErasedByRetention, event.Erased.By)
	require.Equal(t, webhook.ReasonErased, w.delivery(fails.ID, "e-1").Reason)
	require.JSONEq(t, `{"n":2}`, data("e-2"))
	n, err = w.eraser.Expire(t.Context(), later)
	require.NoError(t, err)
	require.Zero(t, n)
	set("order.>", 1) // a shorter retention than the one up to which events were erased
	n, err = w.eraser.Expire(t.Context(), later)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, "null", data("e-2"))
	require.JSONEq(t, `{"n":3}`, data("e-3"))
	set("order.>", 0)
	require.ErrorIs(t, w.db.Retention.Set(t.Context(), "test", webhook.DefaultTenant, "x", 1, 1), webhook.ErrInvalid)
}
