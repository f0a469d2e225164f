package deliveryworker

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// This test changes a setting of the process, so it does not run in parallel with others.
func TestTheMemoryTargetGivesWayToWhatIsKept(t *testing.T) { //nolint:paralleltest // see above
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	limit := func() int64 { return debug.SetMemoryLimit(-1) }

	aimAt(0)
	require.Equal(t, before, limit(), "no target")
	aimAt(math.MaxInt64 / 2)
	require.Equal(t, int64(math.MaxInt64/2), limit())
	debug.FreeOSMemory()
	aimAt(1)
	require.Greater(t, limit(), kept()*3/2, "there is room beside what is kept")

	require.Zero(t, memoryTarget(1<<30), "a limit that is set already is left alone")
	debug.SetMemoryLimit(math.MaxInt64)
	usual := debug.SetGCPercent(150)
	t.Cleanup(func() { debug.SetGCPercent(usual) })
	require.Equal(t, int64(1<<30), memoryTarget(1<<30))
	require.Equal(t, 150, debug.SetGCPercent(usualPercent), "what the operator has set is left alone")
	require.Zero(t, memoryTarget(0))
	require.Equal(t, usualPercent, debug.SetGCPercent(usualPercent), "nothing is aimed at")
	require.Equal(t, int64(1<<30), memoryTarget(1<<30))
	require.Equal(t, gcPercent, debug.SetGCPercent(usualPercent))
}
