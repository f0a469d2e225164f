//go:build faults

package faults_test

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// slack is what a busy machine may add to times that are asserted: three seconds on an idle one, and as many times that as the
// machine was slower in its worst ten seconds so far, since what a program needs a second of CPU time for takes it so many
// seconds.
func slack() time.Duration {
	return time.Duration(3 * slowest.Load())
}

// slowest is how many nanoseconds a second of CPU time has taken at worst, over ten seconds.
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

// burst is what burn uses: long enough to lose the CPU to those who wait for it, and 5 % of one.
const burst = 5 * time.Millisecond

// burn uses a burst of CPU time and returns how long that took.
func burn() time.Duration {
	began, until := time.Now(), cpuTime()+burst
	for cpuTime() < until {
	}
	return time.Since(began)
}

// cpuTime is what the thread has used.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(t.Nano())
}
