// Package simulation_test runs the worker's production code with a simulated bus, database, receivers and clock. A seed
// determines each history of events and faults; an oracle checks that the worker keeps its promises. See
// docs/decisions/0027-simulation.md.
package simulation_test

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

var (
	seed      = flag.Uint64("seed", 0, "run the history of this seed alone, and print it")
	first     = flag.Uint64("first", 1, "the first seed of several")
	histories = flag.Uint64("histories", 300, "how many histories to run")
	most      = flag.Int("most", 10, "how many histories that go wrong to look for")
	step      = flag.Uint64("step", 1, "from one seed to the next, for several processes side by side")
)

func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1) // so that goroutines that are ready at the same time run in a fixed order
	debug.SetGCPercent(-1)
	os.Exit(testenv.Main(m))
}

// history runs the history of a seed.
func history(t *testing.T, seed uint64) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed)
		w.run()
	})
	return w
}

// run is the script of a history: random actions and faults for some time, then a phase without faults in which all remaining
// work must be finished.
func (w *world) run() {
	if w.steps = w.random.IntN(6) == 0; w.steps {
		w.clocks(time.Duration(w.random.IntN(80)-40) * time.Second)
	}
	for i := range 1 + w.random.IntN(3) {
		w.start(string(rune('a' + i)))
	}
	for range w.random.IntN(3) {
		w.create()
	}
	for range 3 + w.random.IntN(14) {
		pause := time.Duration(w.random.IntN(300)) * time.Millisecond
		if w.random.IntN(8) == 0 {
			pause *= 20
		}
		if w.random.IntN(4) == 0 && slices.ContainsFunc(w.workers, (*worker).deaf) { // until other workers no longer wait for it
			pause += 2 * store.Stale
		}
		<-time.After(pause + time.Duration(w.random.IntN(1_000_000)))
		w.mu.Lock()
		w.knownHooks()
		w.mu.Unlock()
		w.act()
	}
	w.mend()
	<-time.After(6 * time.Second) // stale workers catch up
	var left []string
	for range 600 {
		if left = w.idle(); len(left) == 0 {
			break
		}
		<-time.After(time.Second)
	}
	for _, h := range w.hooks {
		w.sync(h)
	}
	for _, text := range left {
		w.wrong("it does not come to an end: %s", text)
	}
	w.judge()
	w.mu.Lock()
	w.over = true
	w.mu.Unlock()
	for _, x := range w.workers {
		x.stop()
	}
	for _, x := range w.workers {
		<-x.ended
	}
	<-time.After(time.Minute)
}

// mend ends all faults.
func (w *world) mend() {
	w.trace("from now on everything works")
	w.mu.Lock()
	w.calm, w.chance = true, chance{}
	w.mu.Unlock()
	for _, x := range w.workers {
		x.stale.Store(false)
		x.away.Store(false)
	}
	for _, h := range w.hooks {
		w.sync(h)
		h.receiver = fine
		if now := h.now(); now != nil && now.Status == webhook.Paused && w.random.IntN(3) > 0 {
			next := *now
			next.Status = webhook.Active
			w.write(h, &next, "resumed")
		}
	}
}

// knownHooks notes which hooks are known to all workers.
func (w *world) knownHooks() {
	for _, h := range w.hooks {
		known := h.knownAt.IsZero()
		for _, x := range w.workers {
			known = known && (x.dead.Load() || x.snapshot >= h.xid)
		}
		if known {
			h.knownAt = time.Now()
		}
	}
}

func TestHistories(t *testing.T) { //nolint:paralleltest // it wants the processor alone
	if *seed > 0 {
		w := history(t, *seed)
		for n := 1; n < 10 && len(w.broken) == 0; n++ { // goroutines that are ready at the same time may run in another order
			w = history(t, *seed)
		}
		w.print(t.Output())
		require.Empty(t, w.broken)
		return
	}
	began, bad := time.Now(), 0
	for i := range *histories {
		n := *first + i**step
		if w := history(t, n); len(w.broken) > 0 {
			if bad == 0 {
				w.print(t.Output())
			}
			t.Errorf("seed %d, history %d: %s (run it again: make sim SEED=%d)", n, i+1, w.broken[0], n)
			if bad++; bad == *most {
				break
			}
		}
		if i%200 == 199 {
			runtime.GC()
		}
	}
	t.Logf("%d histories in %s", *histories, time.Since(began).Round(time.Millisecond))
}

// print prints the history, one line per step.
func (w *world) print(out io.Writer) {
	for _, l := range w.lines {
		fmt.Fprintln(out, l)
	}
}
