package deliveryworker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestEachFormatReachesItsHookSignedAndWithTheExactData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, format := range webhook.Formats() {
		w.hook("/"+string(format), func(h *webhook.Hook) {
			h.Config = config(t, `{"format":"`+string(format)+`"}`)
			h.Secrets = []webhook.Secret{{Value: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
			h.APIKey = "k-123"
			h.Headers = map[string]string{"x-shop": "7"}
		})
	}
	w.run()
	data := `{ "b":1.50, "a":[1e2,"ü"],"b":2 }`
	w.publish("package.created", `{"event_id":"e-1","event_time":"2026-03-01T10:00:00.25Z","entity":"package:61","current_context":{"user":"x"},"data":`+data+`}`)
	want := map[webhook.Format]string{
		webhook.FormatOMS:         `{"event_time":"2026-03-01T10:00:00.25Z","event_type":"package.created","current_context":{"user":"x"},"data":` + data + `}`,
		webhook.FormatWhisperer:   `{"event":{"type":"package.created","uuid":"e-1"},"data":` + data + `}`,
		webhook.FormatStandard:    `{"type":"package.created","timestamp":"2026-03-01T10:00:00.25Z","data":` + data + `}`,
		webhook.FormatCloudEvents: `{"specversion":"1.0","id":"e-1","source":"/whisperer/default","type":"package.created","subject":"package:61","time":"2026-03-01T10:00:00.25Z","datacontenttype":"application/json","sequence":"%s","data":` + data + `}`,
		webhook.FormatRaw:         data,
		webhook.FormatThin:        `{"type":"package.created","id":"e-1","time":"2026-03-01T10:00:00.25Z","entity":"package:61","url":"https://hooks.example.com/whisperer/events/e-1/"}`,
	}
	key, err := signature.ParseVerifyKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	for format, body := range want {
		got := w.receiver.Await(t, "/"+string(format), 1)[0]
		sequence := got.Header.Get("X-Whisperer-Sequence")
		require.Regexp(t, `^[1-9]\d*$`, sequence)
		require.Equal(t, strings.Replace(body, "%s", fmt.Sprintf("%016s", sequence), 1), got.Body)
		require.NoError(t, signature.Verify(got.Header, []byte(got.Body), []signature.VerifyKey{key}, time.Now(), time.Minute))
		require.Contains(t, got.Header.Get("X-Whisperer-Signature"), "sha256=")
		require.Equal(t, "package.created", got.Header.Get("X-Whisperer-Event"))
		require.Equal(t, "e-1", got.Header.Get("X-Whisperer-Event-Id"))
		require.Equal(t, "1", got.Header.Get("X-Whisperer-Attempt"))
		require.Equal(t, got.Header.Get("webhook-id"), got.Header.Get("X-Whisperer-Delivery"))
		require.Equal(t, "Whisperer/test", got.Header.Get("User-Agent"))
		require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`, got.Header.Get("traceparent"))
		require.Equal(t, "k-123", got.Header.Get("X-Api-Key"))
		require.Equal(t, "7", got.Header.Get("X-Shop"))
	}
	require.Equal(t, "application/cloudevents+json", w.receiver.Got("/cloudevents")[0].Header.Get("Content-Type"))
}

// recorded waits until the delivery is recorded in the state.
func (w *world) recorded(h webhook.Hook, eventID string, publishedAround time.Time, state webhook.DeliveryState) webhook.Delivery {
	w.t.Helper()
	id := webhook.DeliveryID(h.ID, eventID)
	var found webhook.Delivery
	require.Eventually(w.t, func() bool {
		d, _, err := w.db.History.GetDelivery(w.t.Context(), webhook.DefaultTenant, id)
		found = d
		return err == nil && d.State == state && d.PublishedAt.Sub(publishedAround).Abs() < time.Hour
	}, 2*time.Minute, 10*time.Millisecond, "delivery %s %s, last %v", id, state, &found)
	return found
}

func TestAFailingReceiverGetsTheDeliveryAgainOnTheHooksSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"linear","kwargs":{"base":1}}`)
	})
	w.receiver.Answer("/a", testenv.Answer{Status: 500}, testenv.Answer{Status: 500}, testenv.Answer{Status: 200})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	got := w.receiver.Await(t, "/a", 3)
	require.GreaterOrEqual(t, got[1].At.Sub(got[0].At), time.Second, "as the schedule says, and what a busy machine adds")
	require.GreaterOrEqual(t, got[2].At.Sub(got[1].At), 2*time.Second)
	for i, q := range got {
		require.Equal(t, []string{"1", "2", "3"}[i], q.Header.Get("X-Whisperer-Attempt"))
		require.Equal(t, got[0].Header.Get("webhook-id"), q.Header.Get("webhook-id"))
		require.Equal(t, got[0].Body, q.Body)
	}
	require.Equal(t, 3, w.recorded(h, "e-1", time.Now(), webhook.Delivered).Attempts)
}

func TestAReceiverDecidesWithItsStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone := w.hook("/gone", nil)
	stop := w.hook("/stop", func(h *webhook.Hook) { h.Config = config(t, `{"stop_on":[404]}`) })
	exhausted := w.hook("/exhausted", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}`)
	})
	w.receiver.Answer("/gone", testenv.Answer{Status: http.StatusGone})
	w.receiver.Answer("/stop", testenv.Answer{Status: http.StatusNotFound})
	w.receiver.Answer("/exhausted", testenv.Answer{Status: http.StatusBadGateway})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	require.Equal(t, 1, w.recorded(gone, "e-1", time.Now(), webhook.Dead).Attempts)
	require.Equal(t, 1, w.recorded(stop, "e-1", time.Now(), webhook.Dead).Attempts)
	require.Equal(t, 2, w.recorded(exhausted, "e-1", time.Now(), webhook.Dead).Attempts)
	require.Eventually(t, func() bool {
		h, err := w.db.Hooks.Get(t.Context(), webhook.DefaultTenant, gone.ID)
		require.NoError(t, err)
		return h.Status == webhook.Disabled && h.DisabledReason != ""
	}, 2*time.Minute, 10*time.Millisecond)
	w.publish("order.created", `{"event_id":"e-2","data":{}}`)
	w.recorded(stop, "e-2", time.Now(), webhook.Dead)
	require.Len(t, w.receiver.Got("/gone"), 1)
}

func TestRetryAfterIsTheLeastThatIsWaited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := w.hook("/slow", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":600}}`)
	})
	w.hook("/quick", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
	})
	busy := testenv.Answer{Status: 503, Header: http.Header{"Retry-After": {"2"}}}
	w.receiver.Answer("/slow", busy)
	w.receiver.Answer("/quick", busy, testenv.Answer{Status: 200})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	got := w.receiver.Await(t, "/quick", 2)
	require.GreaterOrEqual(t, got[1].At.Sub(got[0].At), 2*time.Second)
	require.Len(t, w.receiver.Got("/slow"), 1, "the schedule is not hurried")
	d := w.recorded(slow, "e-1", time.Now(), webhook.Waiting)
	require.Equal(t, webhook.Waiting, d.State)
	require.WithinDuration(t, w.receiver.Got("/slow")[0].At.Add(10*time.Minute), d.NextAt, time.Minute)
}

func TestWhatIsWorthNothingAnyMoreIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1},"deadline":5}`)
		h.Status = webhook.Paused
	})
	w.hook("/patient", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1},"deadline":3600}`)
	})
	stop := w.run()
	w.publish("order.created", `{"event_id":"parked","data":{}}`)
	w.recorded(h, "parked", time.Now(), webhook.Parked)
	stop()
	w.setStatus(h, webhook.Active)
	w.publish("order.created", `{"event_id":"late","data":{}}`)
	<-time.After(5100 * time.Millisecond)
	w.run()
	w.publish("order.created", `{"event_id":"fresh","data":{}}`)
	w.receiver.Await(t, "/a", 1)
	w.receiver.Await(t, "/patient", 3)
	for _, id := range []string{"parked", "late"} {
		d := w.recorded(h, id, time.Now(), webhook.Dead)
		require.Equal(t, webhook.ReasonExpired, d.Reason)
		require.Zero(t, d.Attempts)
	}
	require.Len(t, w.receiver.Got("/a"), 1, "only what is new")

	w.eventRecorded("late")
	require.NoError(t, w.db.Jobs.RetryDelivery(t.Context(), "test", webhook.DefaultTenant, webhook.DeliveryID(h.ID, "late"), false))
	got := w.receiver.Await(t, "/a", 2)
	require.Equal(t, "true", got[1].Header.Get("X-Whisperer-Replay"), "a person who asks for it gets it")
}

func TestWhatIsExpiredUsesUpNoRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1},"deadline":1}`)
		h.Config = config(t, `{"rate_limit":{"limit":1,"period":60}}`)
		h.Status = webhook.Paused
	})
	w.run()
	const n = 20
	for i := range n {
		w.publish("order.created", fmt.Sprintf(`{"event_id":"e-%d","data":{}}`, i))
	}
	w.recorded(h, fmt.Sprintf("e-%d", n-1), time.Now(), webhook.Parked)
	<-time.After(1100 * time.Millisecond)
	w.setStatus(h, webhook.Active)
	for i := range n {
		require.Equal(t, webhook.ReasonExpired, w.recorded(h, fmt.Sprintf("e-%d", i), time.Now(), webhook.Dead).Reason)
	}
	require.Empty(t, w.receiver.Got("/a"))
}

func TestWhatIsNoEventIsRejectedAndItsNeighboursAreDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", nil)
	w.run()
	w.publish("order.created", `{"data":1}`, `{"data":`, ``, "\xff", `{"event_type":"order.updated","data":1}`, `{"event_id":"a\u0007b","data":1}`, `{"data":2}`)
	w.receiver.Await(t, "/a", 2)
	require.Eventually(t, func() bool {
		list, err := w.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, time.Now().Add(-time.Hour), 100)
		require.NoError(t, err)
		return len(list) == 5
	}, 2*time.Minute, 10*time.Millisecond)
	require.Len(t, w.receiver.Got("/a"), 2)
}

func TestOneIDIsOneEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", nil)
	w.run()
	w.publish("order.created", `{"event_id":"x","data":1}`, `{"event_id":"x","data":1}`, `{"event_id":"x","data":2}`, `{"event_id":"y","data":3}`)
	require.Eventually(t, func() bool {
		list, err := w.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, time.Now().Add(-time.Hour), 100)
		require.NoError(t, err)
		return len(list) == 1 && list[0].Reason == "id_conflict"
	}, 2*time.Minute, 10*time.Millisecond)
	require.Len(t, w.receiver.Await(t, "/a", 2), 2)
}

func TestADeletedHookCancelsWhatWaitedAndAPausedOneParks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deleted := w.hook("/deleted", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":10}}`)
	})
	paused := w.hook("/paused", func(h *webhook.Hook) { h.Status = webhook.Paused })
	w.receiver.Answer("/deleted", testenv.Answer{Status: 500})
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{}}`)
	w.recorded(deleted, "e-1", time.Now(), webhook.Waiting)
	w.recorded(paused, "e-1", time.Now(), webhook.Parked)
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", webhook.DefaultTenant, deleted.ID, nil))
	require.Equal(t, 1, w.recorded(deleted, "e-1", time.Now(), webhook.Cancelled).Attempts)
	require.Len(t, w.receiver.Got("/deleted"), 1)
	require.Empty(t, w.receiver.Got("/paused"))
}

func TestNothingOfADeletedHookEndsUntilThatCannotBeUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	busy := func(testenv.Received) testenv.Answer { return testenv.Answer{Status: http.StatusServiceUnavailable} }
	w.receiver.React(busy)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1}}`)
	})
	w.run()
	w.publish("order.created", `{"event_id":"waiting","data":{}}`)
	w.receiver.Await(t, "/a", 1)
	require.NoError(t, w.db.Hooks.DeleteSoon(t.Context(), "test", h.Tenant, h.ID))
	w.recorded(h, "waiting", time.Now(), webhook.Parked)
	w.publish("order.created", `{"event_id":"meanwhile","data":{}}`)
	w.recorded(h, "meanwhile", time.Now(), webhook.Parked)
	w.receiver.React(nil)
	require.NoError(t, w.db.Hooks.Undelete(t.Context(), "test", h.Tenant, h.ID))
	w.recorded(h, "waiting", time.Now(), webhook.Delivered)
	w.recorded(h, "meanwhile", time.Now(), webhook.Delivered)

	require.NoError(t, w.db.Hooks.DeleteSoon(t.Context(), "test", h.Tenant, h.ID))
	w.receiver.React(busy) // a worker that does not know of the deletion yet
	w.publish("order.created", `{"event_id":"last","data":{}}`)
	w.recorded(h, "last", time.Now(), webhook.Parked)
	_, err := testenv.Plain(t, w.config.DatabaseURL).ExecContext(t.Context(), `UPDATE hooks SET deleted_at = deleted_at - interval '1 minute'`)
	require.NoError(t, err)
	w.recorded(h, "last", time.Now(), webhook.Cancelled) // the housekeeper performs the deletion
}

func TestAStoppedWorkerHandsOverWithoutLossOrRepetition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/a", nil)
	stop := w.run()
	ids := map[string]bool{}
	for range 200 {
		id := uuid.NewString()
		ids[id] = true
		w.publish("order.created", `{"event_id":"`+id+`","data":{}}`)
		if len(ids) == 100 {
			go stop()
		}
	}
	stop()
	w.run()
	w.receiver.Await(t, "/a", 200)
	seen := map[string]int{}
	for _, q := range w.receiver.Got("/a") {
		seen[q.Header.Get("X-Whisperer-Event-Id")]++
		require.Equal(t, "1", q.Header.Get("X-Whisperer-Attempt"))
	}
	require.Len(t, seen, 200)
	require.Len(t, w.receiver.Got("/a"), 200)
}

func TestAFilterLetsThroughOnlyWhatItDescribes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook("/big", func(h *webhook.Hook) { h.Config = config(t, `{"filter":"event.data.total > 100"}`) })
	w.hook("/channel", func(h *webhook.Hook) { h.Config = config(t, `{"channel_id":12}`) })
	w.hook("/all", nil)
	w.run()
	w.publish("order.created", `{"event_id":"e-1","data":{"total":50}}`, `{"event_id":"e-2","config_filter":{"channel_id":12},"data":{"total":150}}`,
		`{"event_id":"e-3","config_filter":{"channel_id":7},"data":{"total":150}}`, `{"event_id":"e-4","data":{}}`)
	require.Len(t, w.receiver.Await(t, "/all", 2), 2)
	require.ElementsMatch(t, []string{"e-1", "e-2", "e-4"}, ids(w.receiver.Await(t, "/channel", 3)))
	require.ElementsMatch(t, []string{"e-1", "e-4"}, ids(w.receiver.Got("/all")))
	require.Empty(t, w.receiver.Got("/big"), "config_filter narrows to hooks whose config has it")
	w.publish("order.created", `{"event_id":"e-5","data":{"total":101}}`)
	require.Equal(t, []string{"e-5"}, ids(w.receiver.Await(t, "/big", 1)))
}
