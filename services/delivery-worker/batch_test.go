package deliveryworker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// ofBatch returns the numbers of the stock events in a batch request with format raw.
func ofBatch(t *testing.T, q testenv.Received) []int {
	t.Helper()
	var list []struct{ N int }
	require.NoError(t, json.Unmarshal([]byte(q.Body), &list), q.Body)
	numbers := make([]int, len(list))
	for i := range list {
		numbers[i] = list[i].N
	}
	return numbers
}

func deliveryIDs(h webhook.Hook, numbers ...int) []uuid.UUID {
	ids := make([]uuid.UUID, len(numbers))
	for i, n := range numbers {
		ids[i] = webhook.DeliveryID(h.ID, fmt.Sprintf("s-%d", n))
	}
	return ids
}

// allRecorded waits until n deliveries of the hook are recorded in the state.
func (w *world) allRecorded(h webhook.Hook, state webhook.DeliveryState, n int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.states(h)[state] == n }, 2*time.Minute, 20*time.Millisecond, "%v", w.states(h))
}

func TestSeveralEventsGoInOneSignedRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Config = config(t, `{"format":"cloudevents","ordering":"hook","batch":{"max_events":10,"max_wait":5}}`)
		h.Secrets = []webhook.Secret{{Value: secret}}
	})
	w.run()
	w.stock(0, 25, 3)
	w.allRecorded(h, webhook.Delivered, 25)
	key, err := signature.ParseVerifyKey(secret)
	require.NoError(t, err)
	next := 0
	var sizes []int
	for _, q := range w.receiver.Got("/a") {
		require.Equal(t, "application/cloudevents-batch+json", q.Header.Get("Content-Type"))
		require.NoError(t, signature.Verify(q.Header, []byte(q.Body), []signature.VerifyKey{key}, q.At, signature.DefaultTolerance))
		var list []struct {
			ID   string
			Data struct{ N int }
		}
		require.NoError(t, json.Unmarshal([]byte(q.Body), &list))
		var numbers []int
		var ids []string
		for _, e := range list {
			require.Equal(t, next, e.Data.N, "in order")
			require.Equal(t, fmt.Sprintf("s-%d", next), e.ID)
			numbers = append(numbers, next)
			next++
		}
		for _, id := range deliveryIDs(h, numbers...) {
			ids = append(ids, id.String())
		}
		require.Equal(t, strings.Join(ids, ","), q.Header.Get("X-Whisperer-Delivery"))
		require.Len(t, strings.Split(q.Header.Get("X-Whisperer-Sequence"), ","), len(list))
		require.Equal(t, webhook.BatchID(h.ID, deliveryIDs(h, numbers...)).String(), q.Header.Get("Webhook-Id"))
		require.Empty(t, q.Header.Get("X-Whisperer-Event"))
		sizes = append(sizes, len(list))
	}
	require.Equal(t, 25, next)
	require.LessOrEqual(t, len(sizes), 5, sizes)
	require.LessOrEqual(t, slices.Max(sizes), 10)
	d, attempts, err := w.db.History.GetDelivery(t.Context(), h.Tenant, webhook.DeliveryID(h.ID, "s-7"))
	require.NoError(t, err)
	require.Equal(t, 1, d.Attempts)
	require.Len(t, attempts, 1)
	require.Equal(t, http.StatusOK, attempts[0].Status)
}

func TestAFailedBatchIsTriedAgainWholeAndItsEventsAloneAfterThreeFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Status = webhook.Paused
		h.Config = config(t, `{"format":"raw","batch":{"max_events":5,"max_wait":1}}`)
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":1},"max_retries":4}`)
	})
	w.receiver.React(func(q testenv.Received) testenv.Answer {
		if slices.Contains(ofBatch(t, q), 3) {
			return testenv.Answer{Status: http.StatusInternalServerError}
		}
		return testenv.Answer{}
	})
	w.run()
	w.stock(0, 5, 1)
	w.allRecorded(h, webhook.Parked, 5)
	w.setStatus(h, webhook.Active)
	w.allRecorded(h, webhook.Delivered, 4)
	w.recorded(h, "s-3", time.Now(), webhook.Dead)
	got := w.receiver.Got("/a")
	for _, q := range got[:3] {
		require.Equal(t, got[0].Body, q.Body)
		require.Equal(t, []int{0, 1, 2, 3, 4}, ofBatch(t, q))
		require.Equal(t, webhook.BatchID(h.ID, deliveryIDs(h, 0, 1, 2, 3, 4)).String(), q.Header.Get("Webhook-Id"))
	}
	require.Equal(t, "3", got[2].Header.Get("X-Whisperer-Attempt"))
	alone := map[int]int{}
	for _, q := range got[3:] {
		numbers := ofBatch(t, q)
		require.Len(t, numbers, 1)
		require.Equal(t, deliveryIDs(h, numbers...)[0].String(), q.Header.Get("Webhook-Id"))
		alone[numbers[0]]++
	}
	require.Equal(t, map[int]int{0: 1, 1: 1, 2: 1, 3: 2, 4: 1}, alone)
	require.Equal(t, 5, w.delivery(h, "s-3").Attempts)
	require.Equal(t, 4, w.delivery(h, "s-4").Attempts)
}

func TestABatchThatIsTooLargeIsHalvedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Status = webhook.Paused
		h.Config = config(t, `{"format":"raw","concurrency":1,"batch":{"max_events":100,"max_wait":1}}`)
		h.RetryConfig = json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":3600},"max_retries":1}`)
	})
	w.receiver.React(func(q testenv.Received) testenv.Answer {
		if len(ofBatch(t, q)) > 7 {
			return testenv.Answer{Status: http.StatusRequestEntityTooLarge}
		}
		return testenv.Answer{}
	})
	w.run()
	w.stock(0, 100, 1)
	w.allRecorded(h, webhook.Parked, 100)
	w.setStatus(h, webhook.Active)
	w.allRecorded(h, webhook.Delivered, 100)
	seen := map[int]bool{}
	var refused []int
	for _, q := range w.receiver.Got("/a") {
		numbers := ofBatch(t, q)
		if len(numbers) > 7 {
			refused = append(refused, len(numbers))
			continue
		}
		for _, n := range numbers {
			require.False(t, seen[n], "twice")
			seen[n] = true
		}
	}
	slices.Sort(refused)
	require.Equal(t, []int{12, 12, 12, 12, 13, 13, 13, 13, 25, 25, 25, 25, 50, 50, 100}, refused)
	require.Len(t, seen, 100)
	require.Positive(t, w.delivery(h, "s-0").Attempts)
}

func TestOneEventThatItsReceiverRefusesForGoodEndsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Status = webhook.Paused
		h.Config = config(t, `{"format":"raw","stop_on":[422],"batch":{"max_events":10,"max_wait":1},
			"transform":"event.data.n == 5.0 ? event.data.missing : event.data"}`)
	})
	w.receiver.React(func(q testenv.Received) testenv.Answer {
		if slices.Contains(ofBatch(t, q), 3) {
			return testenv.Answer{Status: http.StatusUnprocessableEntity}
		}
		return testenv.Answer{}
	})
	w.run()
	w.stock(0, 10, 1)
	w.allRecorded(h, webhook.Parked, 10)
	w.setStatus(h, webhook.Active)
	w.allRecorded(h, webhook.Delivered, 8)
	require.Equal(t, webhook.ReasonStopStatus, w.recorded(h, "s-3", time.Now(), webhook.Dead).Reason)
	require.Equal(t, webhook.ReasonTransform, w.recorded(h, "s-5", time.Now(), webhook.Dead).Reason)
	require.Equal(t, 2, w.delivery(h, "s-4").Attempts)
}

func TestARateLimitCountsRequestsOfBatchesAndCollapsedOnesAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("/a", func(h *webhook.Hook) {
		h.Status = webhook.Paused
		h.Config = config(t, `{"format":"raw","collapse":"entity","rate_limit":{"limit":1,"period":1},"batch":{"max_events":20,"max_wait":1}}`)
	})
	w.run()
	w.stock(0, 300, 60)
	w.allRecorded(h, webhook.Parked, 300)
	w.setStatus(h, webhook.Active)
	w.allRecorded(h, webhook.Delivered, 60)
	w.allRecorded(h, webhook.Superseded, 240)
	got := w.receiver.Got("/a")
	require.Len(t, got, 3)
	require.Greater(t, got[2].At.Sub(got[0].At), time.Second, "2 s, less what a busy machine takes to get the first one")
}
