package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const oldExample = `{"event_type":"package-created","target_url":"http://example.com/","secret_key":"secret"}`

func TestTheOldExampleStillWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call(t, http.MethodPost, "/whisperer/hooks/", oldExample)
	require.Equal(t, http.StatusCreated, a.status, a.text)
	require.Equal(t, `"1"`, a.header.Get("ETag"))
	require.Equal(t, "/whisperer/hooks/"+a.json["id"].(string)+"/", a.header.Get("Location"))
	require.Equal(t, "package.created", a.json["event_type"])
	require.Equal(t, []any{"package.created"}, a.json["event_types"])
	require.Equal(t, true, a.json["has_secret"])
	require.Equal(t, true, a.json["is_active"])
	require.Equal(t, "active", a.json["status"])
	require.NotContains(t, a.json, "secret_key")
	require.Equal(t, map[string]any{}, a.json["config"])
	require.Nil(t, a.json["callback"])
	require.Nil(t, a.json["retry_countdown_config"])

	got := w.call(t, http.MethodGet, a.header.Get("Location"), "")
	require.Equal(t, a.json, got.json)
}
