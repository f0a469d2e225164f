package e2e_test

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestKillingAWorkerThatCollapsesLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	const entities, before, after = 10, 1000, 20
	hook := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/a","secret_key":"` + secret + `",
		"config":{"collapse":"entity","concurrency":1,"format":"raw"}}`)
	s.call("POST", "/whisperer/hooks/"+hook+"/pause/", "", 200)
	s.receiver.Delay(100 * time.Millisecond)
	victim := s.start("delivery-worker")
	stock := func(from, n int) {
		for i := from; i < from+n; i++ {
			require.NoError(t, s.publish(t.Context(), fmt.Sprintf(`{"event_id":"s-%d","entity":"stock:%d","data":%d}`, i, i%entities, i)))
		}
	}
	counts := func() map[webhook.DeliveryState]int {
		stats, err := s.db.History.HookStats(t.Context(), webhook.DefaultTenant, uuid.MustParse(hook), time.Now())
		require.NoError(t, err)
		return stats.Day
	}
	stock(0, before)
	require.Eventually(t, func() bool { return counts()[webhook.Parked] == before }, 2*time.Minute, 20*time.Millisecond)
	s.call("POST", "/whisperer/hooks/"+hook+"/resume/", "", 200)
	require.Eventually(t, func() bool { return len(s.receiver.All()) >= 2 }, 2*time.Minute, time.Millisecond)
	victim.signal(syscall.SIGKILL)
	<-victim.ended
	unrecorded := len(s.receiver.All()) + 1 // at most: what the killed worker had sent, plus one request in progress
	stock(before, after)
	s.start("delivery-worker")
	require.Eventually(t, func() bool {
		c := counts()
		return c[webhook.Delivered]+c[webhook.Superseded] == before+after
	}, 2*time.Minute, 50*time.Millisecond, "all came to their end")

	got := s.receiver.All()
	require.LessOrEqual(t, len(distinct(got)), entities+after)
	newest := map[int]int{}
	for _, q := range got {
		requireSigned(t, q)
		var n int
		require.NoError(t, json.Unmarshal([]byte(q.Body), &n))
		require.GreaterOrEqual(t, n, newest[n%entities], "an older one never comes after a newer one of its entity")
		newest[n%entities] = n
	}
	for i := range entities {
		require.Equal(t, before+after-entities+i, newest[i])
	}
	// what the killed worker had sent but not recorded may still be superseded
	require.LessOrEqual(t, counts()[webhook.Delivered], len(distinct(got)))
	require.GreaterOrEqual(t, counts()[webhook.Delivered], len(distinct(got))-unrecorded)
	d := s.get("/whisperer/deliveries/" + webhook.DeliveryID(uuid.MustParse(hook), "s-0").String() + "/")
	require.Equal(t, "superseded", d["state"])
	require.NotEmpty(t, d["superseded_by"])
	require.Equal(t, "superseded", s.get("/whisperer/events/s-0/explain/")["results"].([]any)[0].(map[string]any)["outcome"])
}
