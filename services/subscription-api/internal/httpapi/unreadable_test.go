package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// A hook that was sealed with another master key, or whose row was written by hand, is listed with the reason.
// Everything that needs all of it is refused.
func TestAHookThatCannotBeReadIsListedAndRefusedAndHidesNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.create(t, `{"event_type": "order.created", "target_url": "http://example.com/good", "secret_key": "s"}`)
	foreign := w.create(t, `{"event_type": "order.created", "target_url": "http://example.com/foreign", "name": "foreign", "secret_key": "s"}`)
	written := w.create(t, `{"event_type": "order.created", "target_url": "http://example.com/written", "name": "written"}`)
	other, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	db, err := store.Open(w.db.URL, 1, other)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	copied, err := w.db.Hooks.Get(t.Context(), "default", uuid.MustParse(foreign["id"].(string)))
	require.NoError(t, err)
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", "default", copied.ID, nil))
	copied, err = db.Hooks.Create(t.Context(), "test", copied, 100, store.IdempotencyKey{})
	require.NoError(t, err)
	foreign["id"] = copied.ID.String()
	w.admin(t, `UPDATE hooks SET config = '{"timeout": "long"}' WHERE id = '`+written["id"].(string)+`'`)
	e := newEvent("e-1", 1, "order.created", "", -time.Second)
	w.published(t, e)

	list := w.call(t, http.MethodGet, hooks, "")
	require.Equal(t, http.StatusOK, list.status, list.text)
	require.Len(t, list.json["results"], 3)
	reasons := map[any]string{good["id"]: "", foreign["id"]: "which is not in WHISPERER_MASTER_KEY here", written["id"]: "timeout"}
	for _, h := range list.json["results"].([]any) {
		h := h.(map[string]any)
		reason := reasons[h["id"]]
		if reason == "" {
			require.Nil(t, h["unreadable"])
			continue
		}
		require.Contains(t, h["unreadable"], reason)
		require.Equal(t, []any{"order.created"}, h["event_types"])
		require.Equal(t, "active", h["status"])
		require.NotEmpty(t, h["name"])
		require.Contains(t, h["target_url"], h["name"])
	}
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, events+"e-1/explain/", "").status)
	for _, h := range []map[string]any{foreign, written} {
		got := w.call(t, http.MethodGet, path(h), "")
		require.Equal(t, http.StatusOK, got.status, got.text)
		require.Contains(t, got.json["unreadable"], reasons[h["id"]])
		require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, path(h)+"deliveries/", "").status)
		require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, path(h)+"stats/", "").status)
		for _, refused := range []*answer{
			w.call(t, http.MethodPatch, path(h), `{"name": "new"}`),
			w.call(t, http.MethodPut, path(h), `{"event_type": "order.created", "target_url": "http://example.com/new"}`),
			w.call(t, http.MethodPost, path(h)+"pause/", ""),
			w.call(t, http.MethodPost, path(h)+"test/", ""),
		} {
			require.Equal(t, http.StatusConflict, refused.status, refused.text)
			require.Contains(t, refused.json["detail"], reasons[h["id"]])
		}
		require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, path(h), "").status)
	}
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, path(good), `{"name": "new"}`).status)
}

func TestAReplayToAHookThatCannotBeReadKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	require.Equal(t, http.StatusAccepted, h.replay(t, h.a, since+`,"reason":"first"`).status)
	require.Equal(t, http.StatusAccepted, h.replay(t, h.b, since+`,"include_missing":true,"reason":"second"`).status)
	h.admin(t, `UPDATE hooks SET config = '{"timeout": "long"}' WHERE id = '`+h.a.String()+`'`)
	h.work(t)
	page := h.call(t, http.MethodGet, jobsURL, "")
	require.ElementsMatch(t, []string{"completed", "paused"}, field(page, "state"))
	require.Contains(t, field(page, "detail")[1], "The hook cannot be read: ")
}
