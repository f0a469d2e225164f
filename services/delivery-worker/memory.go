package deliveryworker

import (
	"math"
	"runtime/debug"
	gometrics "runtime/metrics"
)

const (
	// manyHooks is the number of hooks above which the garbage from loading them is returned to the system at once.
	manyHooks = 10_000
	// memoryRoom is the memory that a worker needs in addition to its live heap, in bytes.
	memoryRoom = 32 << 20
	// gcPercent is GOGC while the heap is below the target. With few hooks the live heap is small, and collecting it often would
	// be a tenth of a delivery's cost.
	gcPercent = 300
	// usualPercent is Go's default for GOGC.
	usualPercent = 100
)

// memoryTarget returns the target for aimAt: the configured one, unless the operator has set GOMEMLIMIT, Go's own. Below the target
// garbage is collected rarely, unless the operator has set GOGC.
func memoryTarget(configured int64) int64 {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return 0
	}
	if configured > 0 {
		if set := debug.SetGCPercent(gcPercent); set != usualPercent {
			debug.SetGCPercent(set)
		}
	}
	return configured
}

// aimAt makes the garbage collector work harder before the process takes more than target bytes, but allows more if the live heap
// needs it: an unreachable target would cost much CPU and gain nothing. It is called when the live heap has grown or shrunk a lot. A
// target of 0 means none.
func aimAt(target int64) {
	if target == 0 {
		return
	}
	debug.SetMemoryLimit(max(target, kept()*7/4+memoryRoom))
}

// kept returns the size of the live heap after the last garbage collection, in bytes.
func kept() int64 {
	sample := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}}
	gometrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // memory fits
}
