//go:build faults

package faults_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// crowd is a set of hooks of one kind that are paused with a backlog.
type crowd struct {
	*world

	plain *sql.DB
	hooks []webhook.Hook
	n     int // number of events that each must get
}

// newCrowd creates hooks with the config, in a database with partitions for this many days, and starts workers.
func newCrowd(t *testing.T, hooks, workers, days int, config string) *crowd {
	t.Helper()
	w := newWorld(t, false)
	c := &crowd{world: w}
	var err error
	c.plain, err = sql.Open("postgres", w.pg.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.plain.Close() })
	for day := range days {
		require.NoError(t, w.db.Ledger.EnsureDay(t.Context(), time.Now().AddDate(0, 0, -day)))
	}
	for i := range hooks {
		c.add(fmt.Sprintf("/%d", i), config)
	}
	for range workers {
		w.start("WHISPERER_KEEP_PAYLOADS=9600h", "WHISPERER_KEEP_RECORDS=9600h")
	}
	for _, p := range w.workers {
		p.awaitReady(t, patience)
	}
	return c
}

func (c *crowd) add(path, text string) {
	c.hooks = append(c.hooks, c.hook(c.receiver.URL+path, func(h *webhook.Hook) {
		h.Config = config(c.t, text)
	}))
}

// pause pauses or resumes all hooks.
func (c *crowd) pause(paused bool) {
	c.t.Helper()
	status := webhook.Active
	if paused {
		status = webhook.Paused
	}
	_, err := c.plain.ExecContext(c.t.Context(), `UPDATE hooks SET status = $1`, string(status))
	require.NoError(c.t, err)
}

// publishAll publishes n more events in order.
func (c *crowd) publishAll(n int) {
	c.t.Helper()
	for range n {
		c.n++
		require.NoError(c.t, c.publish(c.t.Context(), event(fmt.Sprintf("e-%06d", c.n), fmt.Sprintf("order:%d", c.n%7), `{"note":"`+canary+`"}`)))
	}
}

// park parks n events for each hook.
func (c *crowd) park(n int) {
	c.t.Helper()
	c.pause(true)
	c.known()
	c.publishAll(n)
	require.Eventually(c.t, func() bool {
		count, err := c.db.Queue.Count(c.t.Context(), 1<<30)
		return err == nil && count.N == n*len(c.hooks)
	}, 5*time.Minute, 250*time.Millisecond)
}

// arrived returns the events that arrived at each path, in order.
func (c *crowd) arrived() map[string][]string {
	c.t.Helper()
	got := map[string][]string{}
	for _, r := range c.receiver.ledger.read(c.t) {
		require.Empty(c.t, r.Faulty)
		if r.Status == 200 {
			got[r.Hook] = append(got[r.Hook], r.Event)
		}
	}
	return got
}

// path returns where a hook's requests arrive.
func (c *crowd) path(h webhook.Hook) string { return strings.TrimPrefix(h.TargetURL, c.receiver.URL) }

// all waits until each hook has got all events.
func (c *crowd) all(limit time.Duration) {
	c.t.Helper()
	var last struct { // a pointer to a struct is printed with what it has when the time is over
		path    string
		got, of int
	}
	got := func(h webhook.Hook, n int) bool {
		last.path, last.got, last.of = c.path(h), n, c.n
		return n >= c.n
	}
	require.Eventually(c.t, func() bool {
		for _, h := range c.hooks {
			if !got(h, c.receiver.Count(c.path(h))) {
				return false
			}
		}
		arrived := c.arrived()
		for _, h := range c.hooks { // some of what was counted may be repetitions
			if !got(h, len(slices.Compact(slices.Sorted(slices.Values(arrived[c.path(h)]))))) {
				return false
			}
		}
		return true
	}, limit, 100*time.Millisecond, "%+v", &last)
}

// inOrder checks that a hook's events arrived in order: only repetitions may follow a later event, and there are at most
// repeated of them.
func (c *crowd) inOrder(got []string, repeated int) {
	c.t.Helper()
	last, again := "", 0
	for _, e := range got {
		if e <= last {
			again++
			continue
		}
		if last != "" {
			require.Equal(c.t, next(last), e, "out of order")
		}
		last = e
	}
	require.LessOrEqual(c.t, again, repeated)
	require.Equal(c.t, fmt.Sprintf("e-%06d", c.n), last)
}

func next(id string) string {
	var n int
	_, _ = fmt.Sscanf(id, "e-%d", &n)
	return fmt.Sprintf("e-%06d", n+1)
}

// quiet checks that no worker and no database reported a shortage.
func (c *crowd) quiet() {
	c.t.Helper()
	const shortOfMemory = "(53200)" // the SQLSTATE as lib/pq prints it, because a port may be the same number
	for _, p := range c.workers {
		content, err := os.ReadFile(p.log)
		require.NoError(c.t, err)
		for _, bad := range []string{shortOfMemory, "lease lost", "drain failed"} {
			require.NotContains(c.t, string(content), bad)
		}
	}
}

// manyOrdered drains ordered hooks, in a database with many days.
func manyOrdered(t *testing.T, hooks, workers, events int) {
	t.Helper()
	c := newCrowd(t, hooks, workers, 90, `{"ordering":"hook"}`)
	c.park(events)
	began := time.Now()
	c.pause(false)
	c.all(10 * time.Minute)
	took := time.Since(began)
	for _, got := range c.arrived() {
		c.inOrder(got, 0)
	}
	c.quiet()
	results.add(result{
		fault: fmt.Sprintf("F41 %d ordered hooks, %d workers", hooks, workers), part: true,
		note: fmt.Sprintf("%d deliveries in %s", hooks*events, short(took)),
	})
}

func TestF41ManyOrderedHooks(t *testing.T) {
	t.Parallel()
	manyOrdered(t, 100, 4, 100)
}

func TestLongF41ManyOrderedHooks(t *testing.T) { manyOrdered(t, 1000, 8, 100) }

// manyRated drains hooks with a rate limit that are sent less than the limit. Deliveries that reach a worker other than the one
// that drains the hook are parked first.
func manyRated(t *testing.T, hooks int) {
	t.Helper()
	c := newCrowd(t, hooks, 2, 90, `{"rate_limit":{"limit":10,"period":1}}`)
	usage := func() (transactions float64, cpu time.Duration) {
		require.NoError(t, c.plain.QueryRowContext(t.Context(), `SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database`).Scan(&transactions))
		return transactions, c.postgresCPU()
	}
	c.publishAll(10) // all hooks have begun
	c.all(patience)
	transactions, cpu := usage()
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range 30 {
		<-tick.C
		c.publishAll(1)
	}
	c.all(patience)
	took := time.Since(began).Seconds()
	t2, cpu2 := usage()
	rate, core := (t2-transactions)/took, (cpu2-cpu).Seconds()/took
	c.quiet()
	results.add(result{
		fault: fmt.Sprintf("F42 %d hooks with a rate", hooks), part: true,
		note: fmt.Sprintf("%.0f transactions/s, %.0f %% of a core for PostgreSQL", rate, 100*core),
	})
	t.Logf("%.0f transactions/s, %.0f %% of a core", rate, 100*core)
	require.Less(t, rate, 300.0)
}

func TestF42ManyHooksWithARate(t *testing.T) {
	t.Parallel()
	manyRated(t, 50)
}

func TestLongF42ManyHooksWithARate(t *testing.T) { manyRated(t, 500) }

// postgresCPU returns the CPU time of all processes of PostgreSQL, including those that have ended.
func (c *crowd) postgresCPU() time.Duration {
	c.t.Helper()
	total := time.Duration(0)
	postmaster := c.postmaster()
	entries, err := os.ReadDir("/proc")
	require.NoError(c.t, err)
	for _, e := range entries {
		content, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // not a process, or one that has ended
		}
		rest := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
		var parent, utime, stime, cutime, cstime int
		_, _ = fmt.Sscan(rest[1], &parent)
		_, _ = fmt.Sscan(strings.Join(rest[11:15], " "), &utime, &stime, &cutime, &cstime)
		ticks := 0
		switch {
		case e.Name() == fmt.Sprint(postmaster):
			ticks = utime + stime + cutime + cstime
		case parent == postmaster:
			ticks = utime + stime
		}
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total
}

// stuck blocks one of three workers while they drain, and measures how long the other hooks stand still.
func stuck(t *testing.T, fault string, stick func(c *crowd, p *process, proxied *proxy), release func(p *process, proxied *proxy)) {
	t.Parallel()
	c := newCrowd(t, 0, 2, 1, ``)
	for i := range 10 {
		c.add(fmt.Sprintf("/ordered/%d", i), `{"ordering":"hook"}`)
		c.add(fmt.Sprintf("/entity/%d", i), `{"ordering":"entity","concurrency":4}`)
		c.add(fmt.Sprintf("/free/%d", i), `{"concurrency":4}`)
	}
	database, err := url.Parse(c.pg.URL("postgres"))
	require.NoError(t, err)
	proxied := newProxy(t, database.Host, false)
	database.Host = proxied.at
	victim := c.run("WHISPERER_DATABASE_URL=" + database.String())
	c.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: 10 * time.Millisecond} })
	backlog := 500
	if *full {
		backlog = 1500
	}
	c.park(backlog)
	c.pause(false)
	require.Eventually(t, func() bool { return c.receiver.Count("/ordered/0") > 20 && c.receiver.Count("/free/0") > 20 }, patience, 10*time.Millisecond)
	stick(c, victim, proxied)
	c.publishAll(20) // some of them go to the stuck worker
	// each hook goes on within the duration of a lease, and the deliveries in flight at the stuck worker keep their place
	began := time.Now()
	longest, progress := time.Duration(0), make([]int, len(c.hooks))
	last := make([]time.Time, len(c.hooks))
	for i := range last {
		last[i] = began
	}
	for time.Since(began) < 60*time.Second {
		open := 0
		for i, h := range c.hooks {
			n := c.receiver.Count(c.path(h))
			if n > progress[i] {
				longest = max(longest, time.Since(last[i]))
				progress[i], last[i] = n, time.Now()
			}
			if n < c.n {
				open++
			}
		}
		if open == 0 {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	release(victim, proxied)
	c.all(2 * time.Minute)
	require.Less(t, longest, 30*time.Second+slack(), "no hook stands still for longer than a lease of 15 s and what a busy machine adds")
	for path, got := range c.arrived() {
		if strings.HasPrefix(path, "/ordered/") {
			c.inOrder(got, 2)
		}
	}
	results.add(result{fault: fault, part: true, note: "a hook stood still for at most " + short(longest)})
}

func TestF43AWorkerThatIsAsleepDoesNotStopTheOthers(t *testing.T) {
	stuck(t, "F43 a worker asleep while hooks are drained",
		func(_ *crowd, p *process, _ *proxy) { p.signal(syscall.SIGSTOP) },
		func(p *process, _ *proxy) { p.signal(syscall.SIGCONT) })
}

func TestF43AWorkerWithoutItsDatabaseDoesNotStopTheOthers(t *testing.T) {
	stuck(t, "F43 a worker without PostgreSQL while hooks are drained",
		func(_ *crowd, _ *process, x *proxy) { x.cut(true, true) },
		func(_ *process, x *proxy) { x.mend() })
}
