package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/jobs"
)

// work executes due jobs until there are none.
func (w *world) work(t *testing.T) {
	t.Helper()
	for worked := true; worked; {
		var err error
		worked, err = w.db.Jobs.RunBatch(t.Context(), jobs.Wants)
		require.NoError(t, err)
	}
}

const since = `"from":"2026-01-01T00:00:00Z"`

func (w *world) replay(t *testing.T, hook uuid.UUID, fields string) *answer {
	t.Helper()
	return w.call(t, http.MethodPost, hooks+hook.String()+"/replay/", "{"+fields+"}")
}

func TestAReplayIsCountedFirst(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for fields, want := range map[string]int{
		since: 2,
		since + `,"event_types":["order-created"]`:                          1,
		since + `,"event_types":["package.>"]`:                              0,
		since + `,"states":["dead","delivered","waiting","parked"]`:         5,
		`"from":"` + h.events[1].PublishedAt.Format(time.RFC3339Nano) + `"`: 1,
	} {
		a := h.replay(t, h.a, fields+`,"dry_run":true`)
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.InDelta(t, want, a.json["total"], 0, fields)
		require.Nil(t, a.json["id"])
	}
	require.InDelta(t, 4, h.replay(t, h.b, since+`,"include_missing":true,"dry_run":true`).json["total"], 0)
	require.Empty(t, field(h.call(t, http.MethodGet, jobsURL, ""), "id"))
}

func TestAReplayParksDeliveriesBatchByBatch(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	a := h.replay(t, h.a, since+`,"reason":"their outage","rate":1`)
	require.Equal(t, http.StatusAccepted, a.status, a.text)
	require.Equal(t, "running", a.json["state"])
	require.Equal(t, "operator", a.json["owner_name"])
	require.Equal(t, http.StatusConflict, h.replay(t, h.a, since+`,"reason":"again"`).status)
	job := jobsURL + a.json["id"].(string) + "/"
	began := time.Now()
	h.work(t)
	a = h.call(t, http.MethodGet, job, "")
	require.LessOrEqual(t, a.json["done"], 1+time.Since(began).Seconds(), "one a second")
	require.Equal(t, webhook.Parked, h.state(t, h.a, &h.events[4]).State, "the oldest first")
	require.Eventually(t, func() bool {
		h.work(t)
		return h.call(t, http.MethodGet, job, "").json["state"] == "completed"
	}, time.Minute, 20*time.Millisecond)
	a = h.call(t, http.MethodGet, job, "")
	require.InDelta(t, 2, a.json["done"], 0)
	require.Equal(t, webhook.Parked, h.state(t, h.a, &h.events[1]).State)
	require.Equal(t, webhook.Delivered, h.state(t, h.a, &h.events[0]).State)
	parked, err := h.db.Queue.List(t.Context(), h.a, 0, 100, 10)
	require.NoError(t, err)
	require.True(t, parked[0].Replay)
	a = h.call(t, http.MethodGet, jobsURL+"?hook="+h.a.String(), "")
	require.Equal(t, []string{"completed"}, field(a, "state"))
	require.Equal(t, []string{"operator"}, field(a, "owner_name"))
}

func TestAReplayFindsWhatNeverReachedTheHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"order.>","target_url":"http://example.com/a","config":{"channel_id":12,"filter":"event.entity != 'order:9'"}}`)
	var list []webhook.Event
	for i, entity := range []string{"order:1", "order:2", "order:9", "order:4", "order:5"} {
		e := newEvent(fmt.Sprintf("e-%d", i), uint64(i+1), "order.created", entity, time.Hour)
		list = append(list, e)
	}
	list[1].ConfigFilter = []byte(`{"channel_id": 13}`)
	list[3].Type = "package.created"
	w.published(t, list...)
	w.recorded(t, newFact(hook, &list[4], webhook.Delivered, "", 200))
	a := w.replay(t, hook, since+`,"include_missing":true,"reason":"new hook"`)
	require.Equal(t, http.StatusAccepted, a.status, a.text)
	require.InDelta(t, 2, a.json["total"], 0, "the filter is asked later")
	require.Eventually(t, func() bool {
		w.work(t)
		return w.call(t, http.MethodGet, jobsURL+a.json["id"].(string)+"/", "").json["state"] == "completed"
	}, time.Minute, 20*time.Millisecond)
	parked, err := w.db.Queue.List(t.Context(), hook, 0, 100, 10)
	require.NoError(t, err)
	require.Len(t, parked, 1)
	require.Equal(t, "e-0", parked[0].Event.ID)
	require.Equal(t, webhook.DeliveryID(hook, "e-0"), parked[0].ID)
}

func TestAJobIsPausedResumedAndCancelled(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	job := jobsURL + h.replay(t, h.a, since+`,"reason":"r"`).json["id"].(string) + "/"
	change := func(verb string, status int, state string) {
		t.Helper()
		a := h.call(t, http.MethodPost, job+verb+"/", "")
		require.Equal(t, status, a.status, a.text)
		if status == http.StatusOK {
			require.Equal(t, state, a.json["state"])
		}
	}
	change("pause", http.StatusOK, "paused")
	change("pause", http.StatusOK, "paused")
	h.work(t)
	require.InDelta(t, 0, h.call(t, http.MethodGet, job, "").json["done"], 0)
	change("resume", http.StatusOK, "running")
	change("cancel", http.StatusOK, "cancelled")
	change("resume", http.StatusConflict, "")
	h.work(t)
	require.InDelta(t, 0, h.call(t, http.MethodGet, job, "").json["done"], 0)
	require.Equal(t, http.StatusAccepted, h.replay(t, h.a, since+`,"reason":"another"`).status)
	_, err := h.db.Hooks.Disable(t.Context(), "test", h.a, nil, "failing")
	require.NoError(t, err)
	h.work(t)
	page := h.call(t, http.MethodGet, jobsURL, "")
	require.Equal(t, []string{"paused", "cancelled"}, field(page, "state"))
	require.Equal(t, "The hook is disabled.", field(page, "detail")[0])
	require.Equal(t, http.StatusConflict, h.replay(t, h.a, since+`,"reason":"r"`).status)
}

func TestSeveralMayWorkOnAJobAndEachDeliveryIsParkedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"*","target_url":"http://example.com/a"}`)
	const n = 700
	list := make([]webhook.Event, n)
	for i := range list {
		list[i] = newEvent(fmt.Sprintf("e-%d", i), uint64(i+1), "order.created", "", time.Hour)
	}
	w.published(t, list...)
	job := w.replay(t, hook, since+`,"include_missing":true,"reason":"r","rate":10000`).json["id"].(string)
	require.Eventually(t, func() bool {
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _, _ = w.db.Jobs.RunBatch(t.Context(), jobs.Wants) })
		}
		all.Wait()
		return w.call(t, http.MethodGet, jobsURL+job+"/", "").json["state"] == "completed"
	}, time.Minute, time.Millisecond)
	require.InDelta(t, n, w.call(t, http.MethodGet, jobsURL+job+"/", "").json["done"], 0)
	parked, err := w.db.Queue.List(t.Context(), hook, 0, 1000, 1000)
	require.NoError(t, err)
	require.Len(t, parked, n)
}

func TestBadReplaysAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"*","target_url":"http://example.com/a"}`)
	for fields, pointer := range map[string]string{
		`"reason":"r"`:                    "/from",
		`"reason":"r","from":"yesterday"`: "/from",
		`"reason":"r","from":"2026-02-01T00:00:00Z","to":"2026-01-01T00:00:00Z"`: "/from",
		`"reason":"r","from":"0001-01-01T00:00:00Z"`:                             "/from",
		since: "/reason",
		since + `,"reason":"` + strings.Repeat("a", 501) + `"`: "/reason",
		since + `,"reason":"r","rate":0`:                       "/rate",
		since + `,"reason":"r","rate":1000000000`:              "/rate",
		since + `,"reason":"r","rate":1.5`:                     "/rate",
		since + `,"reason":"r","states":["gone"]`:              "/states",
		since + `,"reason":"r","states":["cancelled"]`:         "/states",
		since + `,"reason":"r","event_types":["a b"]`:          "/event_types",
		since + `,"reason":"r","dryrun":true`:                  "/dryrun",
	} {
		a := w.replay(t, hook, fields)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s: %s", fields, a.text)
		require.Equal(t, []string{pointer}, a.pointers(), fields)
	}
}
