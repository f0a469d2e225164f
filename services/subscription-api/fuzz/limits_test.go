package fuzz_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLimitsHoldOnEveryOperation(t *testing.T) {
	t.Parallel()
	api := startTarget(t)
	c := newCaller(t, api, 0)
	defer c.wire.close()
	for _, id := range api.document.ids {
		op := api.document.operations[id]
		send := func(body string, more ...field) int {
			r := &request{op: op, method: op.method, path: fill(op.path, "018f5b5e-0000-7000-8000-000000000000"), body: []byte(body)}
			r.headers = append([]field{{"Authorization", "Token " + c.operator}, {"Content-Type", "application/json"}}, more...)
			a, err := c.wire.exchange(r)
			require.NoError(t, err, id)
			return a.status
		}
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, send("", field{"X-Padding", strings.Repeat("p", 30_000)}), id)
		if op.body != nil {
			deep := strings.Repeat("[", 68) + strings.Repeat("]", 68) // a batch adds two levels around each event
			require.Equal(t, http.StatusBadRequest, send(`{"config":`+deep+`}`), id)
			require.Equal(t, http.StatusRequestEntityTooLarge, send(`"`+strings.Repeat("a", 1<<20)+`"`), id)
		}
	}
}
