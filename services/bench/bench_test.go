package bench_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/bench"
)

// partArgument makes this test binary a part of the bench that runs in it.
const partArgument = "play-part"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == partArgument {
		if err := bench.ServePart(context.Background(), os.Args[2], "test", os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func options(t *testing.T, dir string, scenarios ...bench.Scenario) bench.Options {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	return bench.Options{
		Scenarios: scenarios, Runs: 1, Scale: 1, Size: 1024, Dir: dir, Command: []string{program, partArgument}, Version: "test",
		Progress: io.Discard,
	}
}

// shared returns a folder that PostgreSQL's user can pass through, unlike a test's temporary folder.
func shared(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bench-test-") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func TestEverythingIsMeasuredBesideThePlainClient(t *testing.T) {
	t.Parallel()
	dir := shared(t)
	o := options(t, dir,
		bench.Scenario{Name: "fast", Title: "two hooks of 102", Events: 100, Hooks: 2, Registered: 100, Workers: 2, Goroutines: 4},
		bench.Scenario{Name: "paced", Title: "one of two hangs", Events: 50, Rate: 100, Hooks: 2, Hanging: true, Workers: 1, Against: "fast"})
	o.ProfileDir = t.TempDir()
	report, err := bench.Run(t.Context(), o)
	require.NoError(t, err)

	require.Len(t, report.Results, 2)
	for i, want := range []int{200, 50} {
		result := &report.Results[i]
		require.Equal(t, want, result.System.Deliveries, "each once, those of the hook that hangs not counted")
		require.Len(t, result.Each, 1)
		require.Zero(t, result.Each[0].Missing)
		require.Zero(t, result.Each[0].Duplicates)
		require.Zero(t, result.Each[0].Unreadable)
		require.Zero(t, result.Each[0].Unsigned)
		require.Positive(t, result.Bare.PerSecond)
		require.Positive(t, result.Ratio.PerSecond)
		require.Positive(t, result.Ratio.P99)
	}
	require.Nil(t, report.Results[0].Against)
	require.NotNil(t, report.Results[1].Against)

	var out strings.Builder
	report.Print(&out)
	require.Contains(t, out.String(), "fast: two hooks of 102 (200 deliveries)")
	require.Contains(t, out.String(), "paced / fast")
	profiles, err := filepath.Glob(filepath.Join(o.ProfileDir, "fast-1-delivery-worker-*.cpu.pprof"))
	require.NoError(t, err)
	require.Len(t, profiles, 2)
	requireEmpty(t, dir)
}

func TestTheAPIIsMeasured(t *testing.T) {
	t.Parallel()
	o := options(t, shared(t), // each must cost the API more than the resolution of its CPU time, which is 10 ms
		bench.Scenario{Name: "published", Events: 300, HTTP: true, Hooks: 2, Workers: 1, Goroutines: 4},
		bench.Scenario{Name: "accepted", Events: 2500, HTTP: true, Batch: 100, Hooks: 1, Goroutines: 2},
		bench.Scenario{Name: "created", Events: 30, Creates: true, Hooks: 1, Goroutines: 4})
	o.ProfileDir = t.TempDir()
	report, err := bench.Run(t.Context(), o)
	require.NoError(t, err)
	for i, want := range []int{600, 2500, 30} {
		result := &report.Results[i]
		require.Equal(t, want, result.System.Deliveries)
		for _, problem := range result.Each[0].Problems { // on a busy machine calls may time out, which is logged
			require.Regexp(t, ` logged \d+ warnings or errors$|deadline exceeded|i/o timeout`, problem)
		}
		require.Positive(t, result.System.CPUOf["api"])
		require.Positive(t, result.Ratio.PerSecond)
	}
	profiles, err := filepath.Glob(filepath.Join(o.ProfileDir, "*-subscription-api-*.cpu.pprof"))
	require.NoError(t, err)
	require.Len(t, profiles, 3)
}

func TestAnInterruptedBenchLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := shared(t)
	o := options(t, dir, bench.Scenario{Name: "long", Title: "goes on", Events: 1_000_000, Rate: 10, Hooks: 1, Workers: 1})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	o.Progress = writer(func([]byte) { interrupt() }) // at the first line of progress
	_, err := bench.Run(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	requireEmpty(t, dir)
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestOptionsThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(o *bench.Options){
		"no scenario":   func(o *bench.Options) { o.Scenarios = nil },
		"no runs":       func(o *bench.Options) { o.Runs = 0 },
		"too many runs": func(o *bench.Options) { o.Runs = bench.MaxRuns + 1 },
		"small bodies":  func(o *bench.Options) { o.Size = bench.MinSize - 1 },
		"no scale":      func(o *bench.Options) { o.Scale = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t, t.TempDir(), bench.Scenarios()...)
			spoil(&o)
			_, err := bench.Run(t.Context(), o)
			require.ErrorContains(t, err, "bench: ")
		})
	}
}

func TestWhatComesLaterIsMeasuredFromThenOn(t *testing.T) {
	t.Parallel()
	report, err := bench.Run(t.Context(), options(t, shared(t),
		bench.Scenario{Name: "parked", Events: 300, Hooks: 1, Workers: 2, Later: bench.Down, Ordering: webhook.OrderHook, Goroutines: 1},
		bench.Scenario{Name: "retries", Events: 100, Hooks: 1, Workers: 1, Later: bench.Asked}))
	require.NoError(t, err)
	for i, want := range []int{300, 100} {
		once := &report.Results[i].Each[0]
		require.Equal(t, want, once.System.Deliveries)
		require.Zero(t, once.Missing)
	}
	require.Zero(t, report.Results[0].Each[0].Disorder)
	parked, retries := report.Results[0].System, report.Results[1].System
	require.GreaterOrEqual(t, report.Results[0].Each[0].Counters[`whisperer_deliveries_parked_total{reason="ordered"}`], 300.0)
	require.Greater(t, parked.Max, parked.P50, "from publishing on")
	require.Positive(t, retries.P50, "none comes early")
}

func TestASoakIsWatched(t *testing.T) {
	t.Parallel()
	report, err := bench.Run(t.Context(), options(t, shared(t),
		bench.Scenario{Name: "soak", Events: 1000, Hooks: 1, Workers: 1, Goroutines: 4, Share: 0.1, For: 3 * time.Second}))
	require.NoError(t, err)
	require.Zero(t, report.Results[0].Each[0].Missing)
	soak := report.Soak()
	require.NotNil(t, soak)
	require.InDelta(t, 0.1, soak.Rate/soak.Maximum, 1e-9)
	require.NotEmpty(t, soak.Seconds)
	for _, series := range soak.Series {
		require.Len(t, series.Values, len(soak.Seconds), series.Name)
		if series.Unit == "memory, MiB" || series.Unit == "deliveries/s" {
			require.Positive(t, series.Values[0], series.Name)
		}
	}
	_, err = soak.SVG()
	require.NoError(t, err)
	var out strings.Builder
	report.Print(&out)
	require.Contains(t, out.String(), "10 % of a maximum of")
	require.Contains(t, out.String(), "memory, MiB: worker")
}
