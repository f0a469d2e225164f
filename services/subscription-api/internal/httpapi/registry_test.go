package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const registry = hooks + "registry/"

func TestTheRegistryKnowsTheBuiltInTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	results := w.call(t, http.MethodGet, registry, "").json["results"].([]any)
	require.Len(t, results, 22+7, "the types of the order management system, and the operational ones")
	first := results[0].(map[string]any)
	require.Equal(t, "package.created", first["name"])
	require.Equal(t, true, first["built_in"])
	require.NotEmpty(t, first["description"])
	require.IsType(t, map[string]any{}, first["schema"])
	require.NotNil(t, first["example"])
}

func TestATenantDeclaresTypesOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call(t, http.MethodPost, registry, `{"name": "kiosk-opened", "description": "A kiosk was opened", "schema": {"type": "object"}, "example": {"b": 1, "a": 2.50}}`)
	require.Equal(t, http.StatusCreated, a.status, a.text)
	require.Equal(t, "kiosk.opened", a.json["name"])
	list := w.call(t, http.MethodGet, registry, "")
	require.Contains(t, list.text, `"example":{"b":1,"a":2.50}`, "as it was written")
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, registry, `{"name": "kiosk.opened", "description": "Changed"}`).status)
	require.Contains(t, w.call(t, http.MethodGet, registry, "").text, "Changed")
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, registry+"kiosk-opened/", "").status)
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodDelete, registry+"kiosk.opened/", "").status)
	for _, known := range []string{"package.created", "package-created", "hook.failing"} {
		a = w.call(t, http.MethodDelete, registry+known+"/", "")
		require.Equal(t, http.StatusUnprocessableEntity, a.status, known)
		require.Contains(t, a.text, "known from the start")
	}
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodDelete, registry+"x%00/", "").status)
}

func TestAHookKeepsATypeThatIsNoLongerDeclared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, registry, `{"name": "kiosk.opened"}`).status)
	hook := w.create(t, `{"event_type": "kiosk.opened", "target_url": "http://example.com/"}`)
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, registry+"kiosk.opened/", "").status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPatch, path(hook), `{"name": "n"}`).status)
}

func TestTypesThatBreakARule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ body, pointer string }{
		{`{}`, "/name"},
		{`{"name": "package.>"}`, "/name"},
		{`{"name": "Package created"}`, "/name"},
		{`{"name": "package-created"}`, "/name"},
		{`{"name": "a.b", "schema": []}`, "/schema"},
		{`{"name": "a.b", "schema": {"maximum": 1e999}}`, "/schema/maximum"},
		{`{"name": "a.b", "description": "` + strings.Repeat("d", 1025) + `"}`, "/description"},
		{`{"name": "a.b", "example": "` + strings.Repeat("d", 64<<10) + `"}`, "/example"},
		{`{"name": "a.b", "x": 1}`, "/x"},
	} {
		a := w.call(t, http.MethodPost, registry, c.body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, c.body)
		require.Equal(t, []string{c.pointer}, a.pointers(), a.text)
	}
}

func TestPreviewRetries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const preview = hooks + "preview-retries/"
	a := w.call(t, http.MethodPost, preview, `{"retry_countdown_config": {"choice": "schedule", "kwargs": {"seconds": [5, 300]}, "jitter": 0.2}}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, []any{
		map[string]any{"retry": 1.0, "delay_min": 5.0, "delay_max": 6.0, "after_min": 5.0, "after_max": 6.0},
		map[string]any{"retry": 2.0, "delay_min": 300.0, "delay_max": 360.0, "after_min": 305.0, "after_max": 366.0},
	}, a.json["retries"])
	for _, body := range []string{`{}`, `{"retry_countdown_config": null}`} {
		require.Len(t, w.call(t, http.MethodPost, preview, body).json["retries"], 9, "the default schedule")
	}
	a = w.call(t, http.MethodPost, preview, `{"retry_countdown_config": {"choice": "fixed", "kwargs": {"seconds": -1}}}`)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Equal(t, []string{"/retry_countdown_config/kwargs/seconds"}, a.pointers())
}
