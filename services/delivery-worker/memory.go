package deliveryworker

import (
	"math"
	"runtime/debug"
	gometrics "runtime/metrics"
)

const (
	// manyHooks is from how many hooks on what their loading has left behind is given back to the system at once.
	manyHooks = 10_000
	// memoryRoom is what a worker needs beside what it keeps, in bytes.
	memoryRoom = 32 << 20
	// gcPercent is how much garbage there may be beside what is kept, for as long as that is below the target: little is
	// kept where few hooks are, and to look at it again and again is a tenth of what a delivery costs.
	gcPercent = 300
	// usualPercent is GOGC where nobody has set it.
	usualPercent = 100
)

// memoryTarget is what aimAt is to be told: the configured one, unless the operator has set GOMEMLIMIT, the Go runtime's
// own. With a target, garbage is collected seldom below it, unless the operator has set GOGC.
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

// aimAt has the garbage collector work harder before the process takes more than so many bytes, and lets it take more where
// what is kept needs it: a target that cannot be met would give nothing for much CPU. Call it when much begins or ends to be
// kept. A target of 0 is none.
func aimAt(target int64) {
	if target == 0 {
		return
	}
	debug.SetMemoryLimit(max(target, kept()*7/4+memoryRoom))
}

// kept is what the last garbage collection left, in bytes.
func kept() int64 {
	sample := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}}
	gometrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // memory fits
}
