package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestAReceiverThatFailsTwiceGetsTheDeliveryOnTheThirdAttempt(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.receiver.React(func(q testenv.Received) testenv.Answer {
		if q.Number <= 2 {
			return testenv.Answer{Status: http.StatusInternalServerError}
		}
		return testenv.Answer{Status: http.StatusOK}
	})
	hook := s.hook(`{"event_type":"order-created","target_url":"` + s.receiver.URL + `/a","secret_key":"` + secret + `",
		"retry_countdown_config":{"choice":"linear","kwargs":{"base":2}}}`)
	s.start("delivery-worker")
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-1","data":{"total":1.50}}`))
	require.Eventually(t, func() bool { return len(s.receiver.All()) == 3 }, 2*time.Minute, 10*time.Millisecond)
	got := s.receiver.All()
	require.GreaterOrEqual(t, got[1].At.Sub(got[0].At), 2*time.Second, "as the schedule says, and what a busy machine adds")
	require.GreaterOrEqual(t, got[2].At.Sub(got[1].At), 4*time.Second)
	for i, q := range got {
		requireSigned(t, q)
		require.Equal(t, got[0].Header.Get("webhook-id"), q.Header.Get("webhook-id"))
		require.Equal(t, got[0].Body, q.Body)
		require.Equal(t, fmt.Sprint(i+1), q.Header.Get("X-Whisperer-Attempt"))
	}
	s.awaitRecorded(hook, map[string]webhook.DeliveryState{"e-1": webhook.Delivered}, 3)
}

// awaitRecorded waits until the ledger has every event's delivery in its state after this many attempts; 0 means any
// number.
func (s *system) awaitRecorded(hook string, want map[string]webhook.DeliveryState, attempts int) {
	s.t.Helper()
	id := uuid.MustParse(hook)
	left := maps.Clone(want)
	rows := s.plain() // works on older databases, too
	var last string
	done := func() bool {
		for event, state := range left {
			var d webhook.Delivery
			err := rows.QueryRowContext(s.t.Context(), `SELECT state, reason, attempts FROM deliveries WHERE id = $1 ORDER BY published_at DESC LIMIT 1`, webhook.DeliveryID(id, event)).
				Scan(&d.State, &d.Reason, &d.Attempts)
			if err != nil || d.State != state || attempts != 0 && d.Attempts != attempts {
				last = fmt.Sprintf("%s is %q by %q after %d attempts, not %q: %v", event, d.State, d.Reason, d.Attempts, state, err)
				return false
			}
			delete(left, event)
		}
		return true
	}
	defer func() {
		if s.t.Failed() {
			s.t.Log("the first that it does not have:", last)
		}
	}()
	require.Eventually(s.t, done, 2*time.Minute, 50*time.Millisecond, "the ledger does not have all deliveries of hook %s", hook)
}

// load publishes n events, eight at a time, and returns the ids that JetStream has acknowledged.
func (s *system) load(n int) map[string]webhook.DeliveryState {
	acked := make(map[string]webhook.DeliveryState, n)
	var mu sync.Mutex
	var publishers sync.WaitGroup
	for p := range 8 {
		publishers.Go(func() {
			for i := p; i < n; i += 8 {
				id := fmt.Sprintf("e-%d", i)
				if s.publish(context.WithoutCancel(s.t.Context()), `{"event_id":"`+id+`","data":{"n":`+fmt.Sprint(i)+`}}`) == nil {
					mu.Lock()
					acked[id] = webhook.Delivered
					mu.Unlock()
				}
			}
		})
	}
	publishers.Wait()
	return acked
}

// extras counts repeated deliveries, and checks that a repetition is the same delivery with the same bytes.
func extras(t *testing.T, got []testenv.Received) int {
	t.Helper()
	first := map[string]testenv.Received{}
	n := 0
	for _, q := range got {
		requireSigned(t, q)
		before, again := first[q.Header.Get("webhook-id")]
		if !again {
			first[q.Header.Get("webhook-id")] = q
			continue
		}
		require.Equal(t, before.Body, q.Body)
		n++
	}
	return n
}

func distinct(got []testenv.Received) map[string]time.Time {
	last := map[string]time.Time{}
	for _, q := range got {
		last[eventID(q)] = q.At
	}
	return last
}

func TestKillingOneOfTwoWorkersUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.receiver.Delay(20 * time.Millisecond)
	const concurrency = 32
	hook := s.hook(fmt.Sprintf(`{"event_type":"*","target_url":"%s/a","secret_key":"%s","config":{"concurrency":%d}}`, s.receiver.URL, secret, concurrency))
	victim := s.start("delivery-worker", "WHISPERER_WORKER=victim", fmt.Sprintf("WHISPERER_SLOTS=%d", concurrency))
	s.start("delivery-worker", "WHISPERER_WORKER=survivor")
	var acked map[string]webhook.DeliveryState
	var loading sync.WaitGroup
	loading.Go(func() { acked = s.load(3000) })
	require.Eventually(t, func() bool { return len(s.receiver.All()) > 300 && s.receiver.InFlight() > concurrency/2 }, 2*time.Minute, time.Millisecond)
	victim.signal(syscall.SIGKILL)
	<-victim.ended
	loading.Wait()
	loaded := time.Now()
	require.Len(t, acked, 3000)
	s.awaitRecorded(hook, acked, 0)
	got := s.receiver.All()
	last := distinct(got)
	require.Len(t, last, len(acked), "every acknowledged event reached the receiver")
	for _, at := range last {
		require.Less(t, at.Sub(loaded), time.Minute, "redelivered within 20 s of the death, and sent")
	}
	// its slots were taken by requests and by answers that were not durable yet; slow requests, which have given up
	// their slots, are bounded per hook
	require.LessOrEqual(t, extras(t, got), 2*concurrency, "what comes twice is at most what the victim had under way")
}

func TestARollingRestartUnderLoadLosesNothingAndSendsNothingTwice(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.receiver.Delay(5 * time.Millisecond)
	hook := s.hook(`{"event_type":">","target_url":"` + s.receiver.URL + `/a","secret_key":"` + secret + `"}`)
	one, two := s.start("delivery-worker"), s.start("delivery-worker")
	var acked map[string]webhook.DeliveryState
	var loading sync.WaitGroup
	loading.Go(func() { acked = s.load(3000) })
	require.Eventually(t, func() bool { return len(s.receiver.All()) > 200 }, 2*time.Minute, time.Millisecond)
	one.stop(t)
	s.start("delivery-worker")
	two.stop(t)
	s.start("delivery-worker")
	loading.Wait()
	s.awaitRecorded(hook, acked, 1)
	require.Len(t, distinct(s.receiver.All()), 3000)
	require.Zero(t, extras(t, s.receiver.All()))
}

func TestAnUnreadableEventIsRejectedAndItsNeighboursAreDelivered(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	hook := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/a","secret_key":"` + secret + `"}`)
	s.start("delivery-worker")
	require.NoError(t, s.publish(t.Context(), `{"event_id":"before","data":{}}`))
	require.NoError(t, s.publish(t.Context(), `{"event_id":"bad","data":`))
	require.NoError(t, s.publish(t.Context(), `{"event_id":"after","data":{}}`))
	s.awaitRecorded(hook, map[string]webhook.DeliveryState{"before": webhook.Delivered, "after": webhook.Delivered}, 1)
	require.Eventually(t, func() bool {
		list, err := s.db.Ledger.RejectedEvents(t.Context(), webhook.DefaultTenant, time.Now().Add(-time.Hour), 10)
		require.NoError(t, err)
		return len(list) == 1 && list[0].Reason == "unreadable" && string(list[0].Raw) == `{"event_id":"bad","data":`
	}, 2*time.Minute, 10*time.Millisecond)
	require.Len(t, s.receiver.All(), 2)
}

func TestADeliveryWhoseWorkersDieOneAfterTheOtherIsStillMade(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.receiver.Delay(time.Minute)
	hook := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/a","secret_key":"` + secret + `","config":{"timeout":30}}`)
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-1","data":{}}`))
	for n := 1; n <= 2; n++ {
		worker := s.start("delivery-worker")
		require.Eventually(t, func() bool { return len(s.receiver.All()) == n }, 2*time.Minute, 10*time.Millisecond)
		worker.signal(syscall.SIGKILL)
		<-worker.ended
	}
	s.receiver.Delay(0)
	s.start("delivery-worker")
	s.awaitRecorded(hook, map[string]webhook.DeliveryState{"e-1": webhook.Delivered}, 3)
	require.Equal(t, 2, extras(t, s.receiver.All()))
}
