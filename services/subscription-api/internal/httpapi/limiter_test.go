package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

func TestEachTokenMayMakeSoManyRequestsASecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.RequestRate = 1 })
	other := w.db.MakeToken(t, store.NewToken{Name: "other", Tenant: "default", Role: store.Viewer})
	a := w.call(t, http.MethodGet, hooks, "")
	require.Equal(t, `"token";q=5;w=5`, a.header.Get("RateLimit-Policy"))
	require.Equal(t, `"token";r=4;t=1`, a.header.Get("RateLimit"))
	var refused *answer
	require.Eventually(t, func() bool {
		refused = w.call(t, http.MethodGet, hooks, "")
		return refused.status != http.StatusOK
	}, time.Minute, time.Millisecond)
	require.Equal(t, http.StatusTooManyRequests, refused.status)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	require.True(t, strings.HasPrefix(refused.header.Get("RateLimit"), `"token";r=0;t=`), refused.header.Get("RateLimit"))
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "", token(other)).status, "another token has its own")
	require.Eventually(t, func() bool {
		return w.call(t, http.MethodGet, hooks, "").status == http.StatusOK
	}, time.Minute, 100*time.Millisecond, "later it may again")
	require.Equal(t, http.StatusUnauthorized, w.call(t, http.MethodGet, hooks, "", token("none")).status)
}
