package egress_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// BenchmarkDo compares Do with a plain http.Client on the same server, with 1 KiB each way. The ratio do/plain is the
// cost of the guard, the limits and the record of an attempt.
func BenchmarkDo(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer server.Close()
	body := make([]byte, 1<<10)
	header := func() http.Header {
		return http.Header{
			"Content-Type": {"application/json"}, "Webhook-Id": {"1"}, "Webhook-Timestamp": {"2"}, "Webhook-Signature": {"v1,x"},
		}
	}
	fields := egress.HeaderOf(header())
	list := func() egress.Header { return slices.Clone(fields) }
	plain := server.Client()
	plain.Timeout = 15 * time.Second
	byPlain := func(b *testing.B) {
		b.Helper()
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL, bytes.NewReader(body))
		require.NoError(b, err)
		req.Header = header()
		resp, err := plain.Do(req)
		require.NoError(b, err)
		_, err = io.ReadAll(io.LimitReader(resp.Body, egress.MaxBody))
		require.NoError(b, err)
		resp.Body.Close()
	}
	client := newClient(b, egress.Options{})
	target, err := client.Prepare(server.URL)
	require.NoError(b, err)
	byDo := func(b *testing.B) {
		b.Helper()
		got := client.Do(b.Context(), egress.Request{Target: target, Header: list(), Body: body})
		if !got.Success() {
			b.Fatal(got.Err)
		}
	}
	for name, send := range map[string]func(*testing.B){"plain": byPlain, "do": byDo} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					send(b)
				}
			})
		})
	}
	b.Run("ratio", func(b *testing.B) {
		var do, other time.Duration
		for b.Loop() {
			t0 := time.Now()
			byDo(b)
			t1 := time.Now()
			byPlain(b)
			do, other = do+t1.Sub(t0), other+time.Since(t1)
		}
		b.ReportMetric(float64(do)/float64(other), "do/plain")
	})
}

func BenchmarkCheckURL(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, err := egress.Policy{}.CheckURL("https://hooks.example.com/a/b?c=d")
		require.NoError(b, err)
	}
}
