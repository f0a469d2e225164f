package httpapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

// BenchmarkPublish measures the part of a request with events of 1 KiB between net/http and NATS.
func BenchmarkPublish(b *testing.B) {
	event := `{"event_type":"order.created","event_time":"2026-01-01T10:00:00Z","entity":"order:61","data":{"note":"` + strings.Repeat("x", 900) + `"}}`
	w := newWorld(b, func(d *httpapi.Deps) { d.Publisher, d.Log = anyBus{}, zap.NewNop() })
	for _, n := range []int{1, 100} {
		body := event
		if n > 1 {
			body = "[" + strings.Repeat(event+",", n-1) + event + "]"
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, events, strings.NewReader(body))
				r.Header.Set("Authorization", "Token "+w.token)
				r.Header.Set("Content-Type", "application/json")
				a := httptest.NewRecorder()
				w.handler.ServeHTTP(a, r)
				require.Equal(b, http.StatusAccepted, a.Code)
			}
		})
	}
}
