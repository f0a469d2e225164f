package history_test

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/bench/history"
)

func TestEveryLookUpFindsSomethingInTheMadeUpHistory(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "history-test-") //nolint:usetesting // PostgreSQL's user has to pass through
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	report, err := history.Run(t.Context(), history.Options{Attempts: 20_000, Requests: 3, Dir: dir, Version: "test", Progress: io.Discard})
	require.NoError(t, err)
	require.NotEmpty(t, report.Figures)
	nothing := map[string]bool{
		"an event": true, "a delivery with its attempts": true, "a hook's figures": true, "rejected events": true, "jobs": true,
		"deliveries with a rare status": true,
	}
	for _, f := range report.Figures {
		require.Positive(t, f.P50, f.Name)
		require.GreaterOrEqual(t, f.Max, f.P50, f.Name)
		require.Equal(t, !nothing[f.Name], f.Results > 0, f.Name)
	}
	var out bytes.Buffer
	report.Print(&out)
	require.Contains(t, out.String(), "dead deliveries")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
