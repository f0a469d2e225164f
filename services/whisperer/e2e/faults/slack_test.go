//go:build faults

package faults_test

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// slack is the tolerance that is added to asserted times: three seconds on an idle machine. It grows by the factor by which the
// machine was slower in its worst ten seconds so far, because a program's CPU time then takes that much longer.
func slack() time.Duration {
	return time.Duration(3 * slowest.Load())
}

// slowest is the worst time in nanoseconds that a second of CPU time has taken, over ten seconds.
var slowest = func() *atomic.Int64 {
	var worst atomic.Int64
	worst.Store(int64(time.Second))
	go func() {
		runtime.LockOSThread()
		const bursts = 100
		next := time.NewTicker(100 * time.Millisecond)
		for {
			var wall time.Duration
			for range bursts {
				<-next.C
				wall += burn()
			}
			worst.Store(max(worst.Load(), int64(wall/bursts)*int64(time.Second/burst)))
		}
	}()
	return &worst
}()

// burst is the CPU time that burn uses: long enough to lose the CPU to waiting processes, and 5 % of one CPU.
const burst = 5 * time.Millisecond

// burn uses a burst of CPU time and returns how long it took.
func burn() time.Duration {
	began, until := time.Now(), cpuTime()+burst
	for cpuTime() < until {
	}
	return time.Since(began)
}

// cpuTime returns the CPU time used by the thread.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(t.Nano())
}
