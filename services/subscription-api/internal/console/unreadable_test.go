package console_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestAHookThatCannotBeReadIsMarkedAndHidesNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hook(t, "good", "http://example.com/good", "package.created")
	written := w.hook(t, "written", "http://example.com/written", "package.created")
	foreign := w.hook(t, "foreign", "http://example.com/foreign", "package.created")
	other, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	db, err := store.Open(w.db.URL, 1, other)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, w.db.Hooks.Delete(t.Context(), "test", "default", foreign.ID, nil))
	foreign, err = db.Hooks.Create(t.Context(), "test", foreign, 10, store.IdempotencyKey{})
	require.NoError(t, err)
	_, err = testenv.Plain(t, w.db.URL).ExecContext(t.Context(), `UPDATE hooks SET config = '{"timeout": "long"}' WHERE id = $1`, written.ID)
	require.NoError(t, err)
	w.event(t, "e-1", 1, "package.created", "", time.Minute)

	p := w.signIn(t, w.operator)
	list := p.get(t, "/console/hooks/")
	require.Equal(t, http.StatusOK, list.status)
	require.Contains(t, list.text, ">good</a>")
	require.Contains(t, list.text, "cannot be read")
	require.Contains(t, list.text, "which is not in WHISPERER_MASTER_KEY here")
	for _, path := range []string{"/console/", "/console/event?id=e-1", "/console/event/explain?id=e-1", "/console/hooks/?sort=name"} {
		require.Equal(t, http.StatusOK, p.get(t, path).status, path)
	}
	for _, h := range []string{written.ID.String(), foreign.ID.String()} {
		path := "/console/hooks/" + h + "/"
		page := p.get(t, path)
		require.Equal(t, http.StatusOK, page.status)
		require.Contains(t, page.text, "Cannot be read:")
		require.Contains(t, page.text, "or repair its row")
		require.NotContains(t, page.text, "Rotate the secret")
		for _, tab := range []string{"edit", "test", "replay", "integrate", "changes"} {
			got := p.get(t, path+tab)
			require.Contains(t, []int{http.StatusOK, http.StatusConflict}, got.status, tab)
		}
		require.Equal(t, http.StatusConflict, p.get(t, path+"edit").status)
		require.Equal(t, http.StatusConflict, p.post(t, path+"status", "status", "pause").status)
		require.Equal(t, http.StatusOK, p.get(t, "/console/deliveries/?hook="+h).status)
		require.Equal(t, http.StatusOK, p.get(t, path+"delete").status)
	}
	require.Equal(t, http.StatusSeeOther, p.post(t, "/console/hooks/"+foreign.ID.String()+"/delete", "confirm", "foreign").status)
}
