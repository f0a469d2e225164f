package history_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/bench/history"
)

// folder returns a folder that PostgreSQL's user can pass through.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "history-test-") //nolint:usetesting // PostgreSQL's user has to pass through
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func TestEveryLookUpFindsSomethingInTheMadeUpHistory(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	report, err := history.Run(t.Context(), history.Options{Attempts: 20_000, Hooks: 200, Requests: 3, Dir: dir, Version: "test", Progress: io.Discard})
	require.NoError(t, err)
	require.InEpsilon(t, 20_000, report.Attempts, 0.1)
	require.Positive(t, report.Bytes)
	require.NotEmpty(t, report.LookUps)
	nothing := map[string]bool{ // no lists, or empty ones
		"an event": true, "a delivery with its attempts": true, "a hook's figures": true, "the busiest hook's figures": true,
		"a failing hook's figures": true, "jobs": true, "deliveries with a rare status": true,
		"events of a type never published": true, "deliveries of a type never published": true, "deliveries by a status of success": true, "deliveries of the busiest hook and no type": true,
	}
	for _, f := range report.LookUps {
		require.Positive(t, f.P50, f.Name)
		require.GreaterOrEqual(t, f.Max, f.P50, f.Name)
		if !strings.HasSuffix(f.Name, ", a day") { // the first pages of a search may be empty
			require.Equal(t, !nothing[f.Name], f.Results > 0, f.Name)
		}
	}
	require.NotEmpty(t, report.Pages)
	for _, f := range report.Pages {
		require.Positive(t, f.Bytes, f.Name)
	}
	var out bytes.Buffer
	report.Print(&out)
	require.Contains(t, out.String(), "dead deliveries")
	require.Contains(t, out.String(), "the busiest hook")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAHistoryThatIsKeptIsFilledOnce(t *testing.T) {
	t.Parallel()
	o := history.Options{
		Attempts: 10_000, Hooks: 40, Requests: 1, Keep: filepath.Join(folder(t), "kept"), Part: history.Pages, Version: "test", Progress: io.Discard,
	}
	first, err := history.Run(t.Context(), o)
	require.NoError(t, err)
	again, err := history.Run(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, first.Seeding, again.Seeding)
	require.Equal(t, first.Attempts, again.Attempts)
	require.Empty(t, again.LookUps)
	require.Len(t, again.Pages, len(first.Pages))

	o.Attempts = 12_000
	_, err = history.Run(t.Context(), o)
	require.ErrorContains(t, err, "one of 10000 attempts and 40 hooks")
	require.NoError(t, os.Remove(filepath.Join(o.Keep, "history.json")))
	_, err = history.Run(t.Context(), o)
	require.ErrorContains(t, err, "is not complete")
}
