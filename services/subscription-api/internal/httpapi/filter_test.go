package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFilterIsCheckedWhenItIsSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := `{"event_type":"order.created","target_url":"https://example.com/f","config":{"filter":"event.data.total > 100"}}`
	require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, hooks, good).status)
	bad := `{"event_type":"order.created","target_url":"https://example.com/g","config":{"filter":"event.tpye == \"x\""}}`
	a := w.call(t, http.MethodPost, hooks, bad)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.text, `"pointer":"/config/filter"`)
	require.Contains(t, a.text, "line 1, column")
}
