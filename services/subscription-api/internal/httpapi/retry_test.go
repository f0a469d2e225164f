package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestADeliveryIsTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i, was := range []string{"", "dead", "waiting", "parked"} {
		if was == "" {
			continue
		}
		e := &h.events[i]
		a := h.call(t, http.MethodPost, deliveriesURL+webhook.DeliveryID(h.a, e.ID).String()+"/retry/", "")
		require.Equal(t, http.StatusOK, a.status, "%s: %s", was, a.text)
		require.Equal(t, "parked", a.json["state"], was)
		require.Equal(t, "replay", a.json["reason"], was)
		require.Equal(t, true, a.json["replay"], was)
		require.Equal(t, webhook.Parked, h.state(t, h.a, e).State)
	}
	backlogs, err := h.db.Queue.ListBacklogs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{h.a}, backlogs)
	parked, err := h.db.Queue.List(t.Context(), h.a, 0, 100, 10)
	require.NoError(t, err)
	require.Len(t, parked, 3)
	for i, p := range parked {
		require.True(t, p.Replay)
		require.False(t, p.EventMissing)
		require.Zero(t, p.Round.Retries, "the schedule begins anew")
		require.True(t, p.Round.StartedAt.IsZero())
		require.Equal(t, []int{1, 1, 0}[i], p.Attempts, "numbers go on")
	}
	log, _, err := h.db.Access.ListAudit(t.Context(), webhook.DefaultTenant, store.AuditFilter{}, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "delivery.retried", log[0].Action)
}

func TestWhatWasDeliveredIsSentAgainOnlyByForce(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	path := deliveriesURL + webhook.DeliveryID(h.a, "e-1").String() + "/retry/"
	for _, body := range []string{"", "{}", `{"force":false}`, `{"force":null}`} {
		a := h.call(t, http.MethodPost, path, body)
		require.Equal(t, http.StatusConflict, a.status, a.text)
		require.Contains(t, a.json["detail"], `{"force": true}`)
	}
	require.Equal(t, http.StatusUnprocessableEntity, h.call(t, http.MethodPost, path, `{"force":1}`).status)
	require.Equal(t, http.StatusUnprocessableEntity, h.call(t, http.MethodPost, path, `{"fource":true}`).status)
	require.Equal(t, http.StatusOK, h.call(t, http.MethodPost, path, `{"force":true}`).status)
	require.Equal(t, webhook.Parked, h.state(t, h.a, &h.events[0]).State)
}

func TestWhatCannotBeSentIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	lost := newEvent("lost", 9, "order.created", "", time.Hour)
	h.recorded(t, newFact(h.a, &lost, webhook.Dead, webhook.ReasonExhausted, 500), newFact(h.b, &h.events[1], webhook.Dead, webhook.ReasonGone, 410))
	retry := func(path string) *answer { return h.call(t, http.MethodPost, deliveriesURL+path+"/retry/", "") }
	a := retry(webhook.DeliveryID(h.a, "lost").String())
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.json["detail"], "payload")

	require.Equal(t, http.StatusOK, h.call(t, http.MethodPatch, hooks+h.a.String()+"/", `{"status":"paused"}`).status)
	require.Equal(t, http.StatusOK, retry(webhook.DeliveryID(h.a, "e-2").String()).status, "it waits until the hook is resumed")
	_, err := h.db.Hooks.Disable(t.Context(), "test", h.b, nil, "failing")
	require.NoError(t, err)
	a = retry(webhook.DeliveryID(h.b, "e-2").String())
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.json["detail"], "disabled")
	require.Equal(t, http.StatusNoContent, h.call(t, http.MethodDelete, hooks+h.a.String()+"/", "").status)
	a = retry(webhook.DeliveryID(h.a, "e-2").String())
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.json["detail"], "deleted")

	viewer := h.db.MakeToken(t, store.NewToken{Name: "v", Tenant: webhook.DefaultTenant, Role: store.Viewer})
	a = h.call(t, http.MethodPost, deliveriesURL+webhook.DeliveryID(h.b, "e-2").String()+"/retry/", "", header("Authorization", "Token "+viewer))
	require.Equal(t, http.StatusForbidden, a.status)
}
