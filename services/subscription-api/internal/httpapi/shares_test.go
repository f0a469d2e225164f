package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

// TestWhateverReadsWhatHappenedTakesAShare uses up all shares, and calls every operation about events and deliveries.
func TestWhateverReadsWhatHappenedTakesAShare(t *testing.T) {
	t.Parallel()
	shares := daemon.NewShares(1, time.Millisecond, 1, 1)
	w := newWorld(t, func(d *httpapi.Deps) { d.Cases.LookUps = shares })
	release, err := shares.Take(t.Context(), "another tenant", "another token")
	require.NoError(t, err)
	asked := 0
	for path, item := range w.document.Paths.Map() {
		for method, op := range item.Operations() {
			if !slices.Contains(op.Tags, "Events") && !slices.Contains(op.Tags, "Deliveries") || op.OperationID == "publish-events" ||
				op.OperationID == "get-hook-manifest" || // waits for a share for each of its pages
				op.OperationID == "relay-deliveries" { // has its own shares
				continue
			}
			asked++
			body := map[string]string{
				"retry-deliveries": `{"ids":["` + uuid.NewString() + `"]}`, "replay-delivery": `{"target_url":"http://example.com/"}`,
			}[op.OperationID]
			a := w.call(t, method, strings.ReplaceAll(path, "{id}", uuid.NewString()), body)
			require.Equal(t, http.StatusServiceUnavailable, a.status, "%s %s: %s", method, path, a.text)
		}
	}
	require.Greater(t, asked, 8)
	release()
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, "/whisperer/hook_events/", "").status)
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodPost, "/whisperer/hook_events/"+uuid.NewString()+"/retry/", "").status)
}
