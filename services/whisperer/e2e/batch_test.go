package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestABatchOutlivesItsWorkerWithItsIDAndBody(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	hook := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/a","secret_key":"` + secret + `",
		"config":{"batch":{"max_events":50,"max_wait":1},"concurrency":1,"format":"raw","timeout":30}}`)
	s.call("POST", "/whisperer/hooks/"+hook+"/pause/", "", 200)
	victim := s.start("delivery-worker")
	want := map[string]webhook.DeliveryState{}
	publish := func(from, n int) {
		for i := from; i < from+n; i++ {
			id := fmt.Sprintf("e-%d", i)
			require.NoError(t, s.publish(t.Context(), fmt.Sprintf(`{"event_id":%q,"data":%d}`, id, i)))
			want[id] = webhook.Delivered
		}
	}
	publish(0, 7)
	for id := range want {
		want[id] = webhook.Parked
	}
	s.awaitRecorded(hook, want, 0)
	for id := range want {
		want[id] = webhook.Delivered
	}
	s.receiver.Delay(time.Minute)
	s.call("POST", "/whisperer/hooks/"+hook+"/resume/", "", 200)
	require.Eventually(t, func() bool { return len(s.receiver.All()) == 1 }, time.Minute, 10*time.Millisecond)
	victim.signal(syscall.SIGKILL)
	<-victim.ended
	publish(7, 5)
	s.receiver.Delay(0)
	s.start("delivery-worker")
	s.awaitRecorded(hook, want, 1)

	got := s.receiver.All()
	require.Len(t, got, 3)
	require.Equal(t, "[0,1,2,3,4,5,6]", got[0].Body)
	require.Equal(t, got[0].Body, got[1].Body, "the same events, although more have come")
	require.Equal(t, got[0].Header.Get("webhook-id"), got[1].Header.Get("webhook-id"))
	require.Equal(t, "[7,8,9,10,11]", got[2].Body)
	for _, q := range got {
		requireSigned(t, q)
		require.Len(t, strings.Split(q.Header.Get("X-Whisperer-Delivery"), ","), strings.Count(q.Body, ",")+1)
	}
}
