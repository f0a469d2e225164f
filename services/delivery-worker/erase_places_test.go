package deliveryworker_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// whole returns an erasure of everything that was published recently.
func whole(kind store.ErasureKind, criteria ...string) store.NewErasure {
	return store.NewErasure{
		Tenant: webhook.DefaultTenant, Kind: kind, Criteria: criteria, Reason: "asked for",
		Range: store.TimeRange{From: time.Now().Add(-time.Hour), To: time.Now().Add(24 * time.Hour)},
	}
}

func (w *erasing) begin(n store.NewErasure) store.Erasure {
	w.t.Helper()
	e, err := w.db.Erasures.Create(w.t.Context(), "token of the test", n)
	require.NoError(w.t, err)
	return e
}

func (w *erasing) recorded(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		require.Eventually(w.t, func() bool {
			_, err := w.db.History.FindEvent(w.t.Context(), webhook.DefaultTenant, id)
			return err == nil
		}, 2*time.Minute, 10*time.Millisecond)
	}
}

func TestARepetitionOfAnErasedEventIsErasedToo(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	h := w.hook("/a", nil)
	w.run()
	body := `{"event_id":"e-1","data":{"name":"` + canary + `"}}`
	w.publish("order.created", body)
	w.await(h.ID, "e-1", webhook.Delivered)
	w.publish("order.created", body, body, `{"event_id":"e-1","data":{"other":"`+canary+`"}}`)
	w.publish("order.created", `{"event_id":"e-2","data":{}}`)
	w.recorded("e-2")
	e := w.erase(store.NewErasure{Kind: store.EraseIDs, Criteria: []string{"e-1"}})
	require.Equal(t, store.JobCompleted, e.State, e.Detail)
	require.EqualValues(t, 4, e.Places["oms_overwritten"], e.Places)
	w.nowhere()
	require.Len(t, w.receiver.Got("/a"), 2)
}

func TestRejectedEventsThatAreSetAsideAreErased(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]store.NewErasure{
		"by id": whole(store.EraseIDs, `e"1`), "by entity": whole(store.EraseEntity, "customer:61"), "by path": whole(store.ErasePath, `$ ? (@.name == "`+canary+`")`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newErasing(t)
			rejected := func(raw string, headers ...*whispererv1.Header) *whispererv1.RejectedEvent {
				return &whispererv1.RejectedEvent{
					Seq: 1, PublishedAt: time.Now().UnixNano(), Subject: "oms.default.order.created", Tenant: webhook.DefaultTenant, Reason: "off_schema",
					Raw: []byte(raw), Size: uint32(len(raw)), Headers: headers, Detail: "name is no number",
				}
			}
			require.NoError(t, w.bus.Streams().Ensure(t.Context()))
			require.NoError(t, w.bus.PublishFacts(t.Context(), uuid.NewString(), &whispererv1.LedgerBatch{Rejected: []*whispererv1.RejectedEvent{
				rejected(`{"event_id":"e\"1","entity":"customer\u003a61","data":{"name":"` + canary + `"}}`),
				rejected(`{"event_id":"other","data":{"name":"another"}}`),
			}}))
			testenv.SetAside(t, w.bus, bus.FactRecorder, bus.AsideFacts, 1)
			require.NotEmpty(t, w.places())
			w.run()
			e := w.erase(n)
			require.Equal(t, store.JobCompleted, e.State, e.Detail)
			require.NotZero(t, e.Places["setaside_overwritten"], "%v", e.Places)
			w.nowhere()
			require.NotEmpty(t, testenv.FilesWith(t, w.files, "another"), "the other one is still set aside")
		})
	}
}

func TestAnErasureWaitsForAnotherOneOfTheSameEvents(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	w.run()
	w.publish("order.created", `{"event_id":"e-1","entity":"customer:61","data":{"name":"`+canary+`"}}`)
	w.recorded("e-1")
	require.NoError(t, w.db.Erasures.Mark(t.Context(), nil, webhook.ErasedByRetention, []store.EventKey{{Tenant: webhook.DefaultTenant, ID: "e-1"}}))
	e := w.begin(whole(store.EraseEntity, "customer:61"))
	_, err := w.eraser.Step(t.Context())
	require.NoError(t, err)
	e, err = w.db.Erasures.Get(t.Context(), e.Tenant, e.ID)
	require.NoError(t, err)
	require.Equal(t, store.JobRunning, e.State, "the payload is still there")
	require.Contains(t, e.Detail, "waits for another")
	require.Eventually(t, func() bool { // the worker's housekeeper performs the erasure, and then nothing is left to do
		_, err := w.eraser.Step(t.Context())
		require.NoError(t, err)
		e, err = w.db.Erasures.Get(t.Context(), e.Tenant, e.ID)
		require.NoError(t, err)
		return e.State == store.JobCompleted
	}, 2*time.Minute, 50*time.Millisecond)
	w.nowhere()
}

func TestCallbacksOfSeveralTenantsEventsAreErased(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	w.receiver.React(func(testenv.Received) testenv.Answer { return testenv.Answer{Body: canary} })
	tenants := []string{webhook.DefaultTenant, "zoo"}
	_, err := w.db.Access.EnsureTenant(t.Context(), "test", "zoo")
	require.NoError(t, err)
	var hooks []webhook.Hook
	for _, tenant := range tenants {
		hooks = append(hooks, w.hook("/"+tenant, func(h *webhook.Hook) {
			h.Tenant, h.EventTypes, h.Callback = tenant, []string{"order.created"}, &webhook.Callback{URL: w.receiver.URL + "/told"}
		}))
	}
	w.run()
	for _, tenant := range tenants {
		require.NoError(t, w.bus.PublishEvents(t.Context(), []bus.Outgoing{{Tenant: tenant, Type: "order.created", Body: []byte(`{"event_id":"e-1","data":{}}`)}}))
	}
	w.receiver.Await(t, "/told", 2)
	plain := testenv.Plain(t, w.config.DatabaseURL)
	for i, h := range hooks {
		require.Eventually(t, func() bool {
			d, _, err := w.db.History.GetDelivery(t.Context(), tenants[i], webhook.DeliveryID(h.ID, "e-1"))
			return err == nil && d.State == webhook.Delivered
		}, 2*time.Minute, 10*time.Millisecond)
		require.NoError(t, w.db.Retention.Set(t.Context(), "test", tenants[i], "order.created", 1, 10))
	}
	require.Eventually(t, func() bool { // a callback may be recorded later, and the worker's housekeeper erases, too
		_, err := w.eraser.Expire(t.Context(), time.Now().AddDate(0, 0, 2))
		require.NoError(t, err)
		var n int
		require.NoError(t, plain.QueryRowContext(t.Context(), `SELECT count(*) FROM events WHERE erased_at IS NOT NULL`).Scan(&n))
		return n == 4
	}, 2*time.Minute, 50*time.Millisecond, "two events and their callbacks")
	w.nowhere()
}

func TestALateFailureOfAFilterQuotesNoErasedEvent(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	h := w.hook("/a", nil)
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{"name":"`+canary+`"}}`)
	w.await(h.ID, "e-1", webhook.Delivered)
	e := w.erase(store.NewErasure{Kind: store.EraseIDs, Criteria: []string{"e-1"}})
	require.Equal(t, store.JobCompleted, e.State, e.Detail)
	for _, kind := range []webhook.ExpressionKind{webhook.FilterExpression, webhook.TransformExpression} {
		_, err := w.db.Health.AddFailures(t.Context(), kind, map[uuid.UUID]store.ExpressionFailures{h.ID: {N: 1, LastAt: time.Now(), LastError: "no number: " + canary, EventID: "e-1"}})
		require.NoError(t, err)
	}
	w.nowhere()
}

func TestAnErasureThatFailedKeepsItsReason(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{"name":"`+canary+`"}}`)
	w.recorded("e-1")
	e := w.begin(whole(store.EraseIDs, "e-1"))
	require.NoError(t, w.db.Erasures.Mark(t.Context(), &e.ID, e.Owner, []store.EventKey{{Tenant: e.Tenant, ID: "e-1"}}))
	require.NoError(t, w.db.Erasures.Fail(t.Context(), &e, "It cannot be done."))
	require.Eventually(t, func() bool { // the events that are marked are erased nevertheless
		worked, err := w.eraser.Step(t.Context())
		require.NoError(t, err)
		return !worked
	}, 2*time.Minute, 10*time.Millisecond)
	e, err := w.db.Erasures.Get(t.Context(), e.Tenant, e.ID)
	require.NoError(t, err)
	require.Equal(t, store.JobFailed, e.State)
	require.Equal(t, "It cannot be done.", e.Detail)
	w.nowhere()
}

func TestManyRejectedEventsAreLookedAtInPages(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	w.run()
	for i := range 3 {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","entity":"customer:61","data":%d`, i, i), fmt.Sprintf(`{"entity":"customer:6%d"`, i+2))
	}
	require.Eventually(t, func() bool {
		list, err := w.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, time.Time{}, 10)
		require.NoError(t, err)
		return len(list) == 6
	}, 2*time.Minute, 10*time.Millisecond)
	e := w.erase(store.NewErasure{Kind: store.EraseEntity, Criteria: []string{"customer:61"}})
	require.Equal(t, store.JobCompleted, e.State, e.Detail)
	require.EqualValues(t, 3, e.Places["rejected_events"])
	require.Len(t, testenv.TablesWith(t, w.config.DatabaseURL, "customer:63"), 1)
}

func TestEventsThatAreSetAsideAreErasedInTheEventLogToo(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	require.NoError(t, w.bus.Streams().Ensure(t.Context()))
	w.publish("order.created", `{"event_id":"e-1","entity":"customer:61","data":{"name":"`+canary+`"}}`)
	testenv.SetAside(t, w.bus, bus.EventRecorder, bus.AsideEvents, 1)
	w.run()
	e := w.erase(store.NewErasure{Kind: store.EraseEntity, Criteria: []string{"customer:61"}})
	require.Equal(t, store.JobCompleted, e.State, e.Detail)
	w.nowhere()
}

// A worker that is cut off from PostgreSQL does not learn which events are erased, and the erasure does not wait for it.
func TestAWorkerThatIsCutOffKeepsNoErasedPayload(t *testing.T) {
	t.Parallel()
	w := newErasing(t)
	direct := w.config.DatabaseURL
	way := testenv.WayTo(t, direct)
	asked, answer := make(chan struct{}), make(chan struct{})
	answers := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(answers)
	w.receiver.React(func(testenv.Received) testenv.Answer {
		close(asked)
		<-answer
		return testenv.Answer{Status: http.StatusServiceUnavailable}
	})
	h := w.hook("/fails", func(h *webhook.Hook) {
		h.RetryConfig, h.Config = []byte(`{"choice":"fixed","kwargs":{"seconds":3600}}`), config(t, `{"timeout":30}`)
	})
	w.config.DatabaseURL = way.URL
	stop := w.run()
	w.config.DatabaseURL = direct
	w.publish("order.created", `{"event_id":"e-1","data":{"name":"`+canary+`"}}`)
	w.recorded("e-1")
	require.Eventually(t, func() bool { // otherwise another worker would have to record it, and there is none
		lag, err := w.bus.Lag(t.Context(), bus.EventRecorder)
		return err == nil && lag.Done(lag.Last)
	}, time.Minute, 10*time.Millisecond)
	<-asked
	way.Silence()
	require.NoError(t, w.db.Retention.Set(t.Context(), "test", webhook.DefaultTenant, "order.created", 1, 10))
	n, err := w.eraser.Expire(t.Context(), time.Now().AddDate(0, 0, 2))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	answers()
	event, err := w.db.History.FindEvent(t.Context(), webhook.DefaultTenant, "e-1")
	require.NoError(t, err)
	delivery := webhook.DeliveryID(h.ID, "e-1")
	require.Eventually(t, func() bool {
		scheduled, err := w.bus.Retries().Scheduled(t.Context(), h.ID, delivery, event.PublishedAt)
		return err == nil && scheduled
	}, time.Minute, 20*time.Millisecond)
	w.nowhere()
	way.Mend()
	require.Eventually(t, func() bool { return w.delivery(h.ID, "e-1").Reason == webhook.ReasonErased }, 2*time.Minute, 20*time.Millisecond)
	stop()
}
