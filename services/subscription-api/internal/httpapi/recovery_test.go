package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestAHookThatIsEnabledAgainOffersWhatItMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/a"}`)
	at := hooks + hook.String() + "/"
	recovery := func() map[string]any {
		a := w.call(t, http.MethodGet, at+"recovery/", "")
		require.Equal(t, http.StatusOK, a.status, a.text)
		return a.json
	}
	require.Equal(t, map[string]any{"disabled_from": nil, "disabled_to": nil, "missed": 0.0, "complete_from": nil}, recovery())
	require.Empty(t, w.call(t, http.MethodGet, at, "").header.Get("Link"))

	ended, delivered := newEvent("e-1", 1, "order.created", "order:1", time.Hour), newEvent("e-2", 2, "order.created", "order:2", time.Hour)
	_, err := w.db.Hooks.Disable(t.Context(), "delivery-worker", hook, nil, "It only fails.")
	require.NoError(t, err)
	meanwhile, other := newEvent("e-3", 3, "order.created", "order:3", -3*time.Second), newEvent("e-4", 4, "package.created", "package:1", -3*time.Second)
	w.published(t, ended, delivered, meanwhile, other)
	w.recorded(t, newFact(hook, &ended, webhook.Dead, webhook.ReasonHookDisabled, 500), newFact(hook, &delivered, webhook.Delivered, "", 200))
	before := recovery()
	require.InDelta(t, 2, before["missed"], 0)
	require.Nil(t, before["disabled_to"])
	require.Nil(t, before["complete_from"])
	link := `<` + strings.TrimPrefix(at, w.url) + `recovery/>; rel="recovery"`
	require.Equal(t, link, w.call(t, http.MethodGet, at, "").header.Get("Link"))

	enabled := w.call(t, http.MethodPatch, at, `{"is_active":true}`)
	require.Equal(t, http.StatusOK, enabled.status, enabled.text)
	require.Equal(t, link, enabled.header.Get("Link"))
	after := recovery()
	require.InDelta(t, 2, after["missed"], 0)
	require.NotNil(t, after["disabled_to"])
	require.Greater(t, after["complete_from"], after["disabled_to"])
	fields, err := json.Marshal(after["replay"])
	require.NoError(t, err)
	counted := w.call(t, http.MethodPost, at+"replay/", strings.TrimSuffix(string(fields), "}")+`,"dry_run":true}`)
	require.Equal(t, http.StatusOK, counted.status, counted.text)
	require.InDelta(t, 1, counted.json["total"], 0, "what is a minute old")

	w.recorded(t, newFact(hook, &meanwhile, webhook.Delivered, "", 200))
	require.InDelta(t, 1, recovery()["missed"], 0, "one of them has come by now")
	require.Empty(t, w.call(t, http.MethodPost, at+"resume/", "").header.Get("Link"), "it was active already")
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, hooks+"0190b0b0-0000-7000-8000-000000000000/recovery/", "").status)
}

func TestResumingADisabledHookLinksToWhatItMissed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/a"}`)
	_, err := w.db.Hooks.Disable(t.Context(), "delivery-worker", hook, nil, "It only fails.")
	require.NoError(t, err)
	a := w.call(t, http.MethodPost, hooks+hook.String()+"/resume/", "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Contains(t, a.header.Get("Link"), "/recovery/")
}

func TestTheDeliveryThatFoundTheReceiverGoneIsMissedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/a"}`)
	long, last := newEvent("e-1", 1, "order.created", "order:1", time.Hour), newEvent("e-2", 2, "order.created", "order:2", time.Second)
	w.published(t, long, last)
	w.recorded(t, newFact(hook, &long, webhook.Dead, webhook.ReasonGone, 410), newFact(hook, &last, webhook.Dead, webhook.ReasonGone, 410))
	_, err := w.db.Hooks.Disable(t.Context(), "delivery-worker", hook, nil, "The receiver is gone.")
	require.NoError(t, err)
	a := w.call(t, http.MethodGet, hooks+hook.String()+"/recovery/", "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.InDelta(t, 1, a.json["missed"], 0, "the one of an earlier time was not what disabled it now")
}
