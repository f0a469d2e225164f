//go:build faults

package faults_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mixed publishes large and small events in parallel, until all are acknowledged.
func (w *world) mixed(name string, large, small int) {
	w.t.Helper()
	const (
		largeSize, smallSize = 512 << 10, 1 << 10
		publishers           = 4
	)
	send := func(kind string, n, size int) {
		text := canary + strings.Repeat("x", size)
		for i := range n {
			id := fmt.Sprintf("%s-%s-%d", name, kind, i)
			_ = w.publish(w.t.Context(), event(id, fmt.Sprintf("order:%d", i%50), `{"note":"`+text+`"}`))
		}
	}
	var open sync.WaitGroup
	for i := range publishers {
		open.Go(func() { send(fmt.Sprintf("large-%d", i), large/publishers, largeSize) })
		open.Go(func() { send(fmt.Sprintf("small-%d", i), small/publishers, smallSize) })
	}
	open.Wait()
}

// TestF30LargeEventsInLittleMemory sends a worker far more bytes of events than it has memory, while PostgreSQL works, hangs
// and is away.
func TestF30LargeEventsInLittleMemory(t *testing.T) {
	t.Parallel()
	const limit = 512 << 20
	large, small := 320, 2000 // in each phase
	if *full {
		large, small = 2000, 66_000
	}
	w := newWorld(t, true)
	w.goodHooks(1)
	database, err := url.Parse(w.pg.URL("postgres"))
	require.NoError(t, err)
	toPostgres := newProxy(t, database.Host, false)
	database.Host = toPostgres.at
	p := w.run("WHISPERER_DATABASE_URL="+database.String(), "WHISPERER_OMS_MAX_BYTES=3758096384")
	how := "in a cgroup of 512 MiB"
	if !w.confine(p, limit) {
		how = "without a cgroup"
	}
	w.mixed("there", large, small)
	began := time.Now()
	toPostgres.cut(true, true)
	w.mixed("hangs", large, small)
	toPostgres.mend()
	toPostgres.reset()
	w.settled(patience)
	w.killPostgres()
	w.mixed("away", large, small)
	w.startPostgres()
	ended := time.Now()
	require.True(t, p.alive(), "the worker lives with its memory")
	w.check(check{
		fault: "F30 512 KiB events, PostgreSQL there, hanging, away, worker " + how, faults: []window{{began, ended}},
		settle: seconds(120, 900), note: fmt.Sprintf("%d large and %d small,", 3*large, 3*small),
	})
}
