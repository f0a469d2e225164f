//go:build faults

package faults_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// calm checks that the bus has redelivered next to nothing.
func (w *world) calm(s *stranger) int {
	w.t.Helper()
	n := s.redelivered(bus.StreamOMS, w.bus.Streams().Durables(bus.Fanout)...)
	require.LessOrEqual(w.t, n, w.events.len()/1000, "redeliveries")
	return n
}

// TestLongF19SlowConnections delays everything between a worker and PostgreSQL and NATS by 50 to 150 ms in each direction, so
// that each response takes 100 to 300 ms.
func TestLongF19SlowConnections(t *testing.T) {
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: 20 * time.Millisecond} })
	database, err := url.Parse(w.pg.URL("postgres"))
	require.NoError(t, err)
	toPostgres, toNATS := newProxy(t, database.Host, false), newProxy(t, w.natsURL()[len("nats://"):], true)
	database.Host = toPostgres.at
	lag := func() time.Duration { return 50*time.Millisecond + rand.N(100*time.Millisecond) }
	toPostgres.slow(lag)
	toNATS.slow(lag)
	began := time.Now()
	for range 2 {
		w.start("WHISPERER_DATABASE_URL="+database.String(), "WHISPERER_NATS_URL=nats://"+toNATS.at)
	}
	for _, p := range w.workers {
		p.awaitReady(t, 60*time.Second)
	}
	stop := w.load(60, 1)
	w.lasts(seconds(20, 60))
	stop()
	w.settled(patience)
	ended := time.Now()
	again := w.calm(w.stranger())
	w.check(check{
		fault: "F19 200 ms to Postgres and NATS", bound: 0, faults: []window{{began, ended}},
		note: fmt.Sprintf("%d redelivered, %d look-ups in vain,", again, w.said("failed to look up due retries")),
	})
}

// confine puts the process into a memory cgroup of its own, if one can be created, and reports whether it did.
func (w *world) confine(p *process, bytes int) bool {
	w.t.Helper()
	for root, limit := range map[string]string{"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"} {
		group := filepath.Join(root, fmt.Sprintf("whisperer-faults-%d", p.cmd.Process.Pid))
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		w.t.Cleanup(func() { _ = os.Remove(group) }) // if the process ends slowly this fails, and the empty group stays
		if os.WriteFile(filepath.Join(group, limit), []byte(strconv.Itoa(bytes)), 0o600) == nil &&
			os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o600) == nil {
			return true
		}
	}
	return false
}

// TestLongF20BusyCPUsAndLittleMemory keeps all CPUs busy with other work at the same priority, while workers have 256 MiB of
// memory: limited by a cgroup if the machine permits one, otherwise by the Go runtime. No message is redelivered because its
// worker had no time to report progress.
func TestLongF20BusyCPUsAndLittleMemory(t *testing.T) {
	const limit = 256 << 20
	w := newWorld(t, false)
	for i := range hooks {
		w.hooks = append(w.hooks, w.hook(fmt.Sprintf("%s/good/%d", w.receiver.URL, i), func(h *webhook.Hook) {
			h.Config = config(t, fmt.Sprintf(`{"concurrency":%d,"timeout":30}`, concurrency))
		}))
	}
	// some attempts outlast the time after which a silent worker loses its message
	w.receiver.reacts(func(_ string, n int) testenv.Answer {
		if n%200 == 0 {
			return testenv.Answer{Delay: 20 * time.Second}
		}
		return testenv.Answer{Delay: 20 * time.Millisecond}
	})
	how := "in cgroups of 256 MiB"
	for range 2 {
		if p := w.run("GOMEMLIMIT=" + strconv.Itoa(limit)); !w.confine(p, limit) {
			how = "with GOMEMLIMIT of 256 MiB and no cgroup"
		}
	}
	stop := w.load(40, 1)
	w.lasts(3 * time.Second)
	began := time.Now()
	spinner := start(t, w.dir, "spinner", os.Args[0], busy+"=8")
	w.lasts(seconds(25, 60))
	spinner.kill()
	ended := time.Now()
	stop()
	w.settled(patience)
	again := w.calm(w.stranger())
	for _, p := range w.workers {
		require.True(t, p.alive(), "a worker lives with its memory")
	}
	w.check(check{
		fault: "F20 8 busy threads, workers " + how, bound: w.events.len() * hooks / 1000, faults: []window{{began, ended}},
		note: fmt.Sprintf("%d redelivered,", again),
	})
}
