package httpapi

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//nolint:paralleltest // what others allocate meanwhile would count
func TestABodyIsCheckedWithoutAPointerToEachOfItsValues(t *testing.T) {
	const depth = 16
	text := []byte(strings.Repeat(`{"`+strings.Repeat("k", maxKey)+`":`, depth) + `[` + strings.Repeat("0,", 100_000) + `0]` + strings.Repeat("}", depth))
	require.Less(t, len(text), maxBody)
	checked := testing.Benchmark(func(b *testing.B) {
		b.Helper()
		for range b.N {
			require.NoError(b, checkJSON(text))
		}
	})
	require.Less(t, checked.AllocedBytesPerOp(), int64(16*maxBody))
}
