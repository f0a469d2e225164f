//go:build faults

package faults_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// outlives takes a service that the workers need away for a time, under a load that continues for a while afterwards, and
// returns when that was. All workers must survive.
func (w *world) outlives(rate int, down, after time.Duration, away, back func()) window {
	w.t.Helper()
	stop := w.load(rate, 1)
	w.lasts(4 * time.Second)
	w.catchesUp()
	during := window{began: time.Now()}
	away()
	w.lasts(down)
	back()
	during.ended = time.Now()
	w.lasts(after)
	stop()
	for _, p := range w.workers {
		require.True(w.t, p.alive(), "a worker outlives what it depends on")
		p.awaitReady(w.t, patience)
	}
	return during
}

func outage(t *testing.T, fault string, down time.Duration, durable bool, away, back func(w *world)) {
	t.Parallel()
	w := newWorld(t, durable)
	w.goodHooks(hooks)
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: 20 * time.Millisecond} })
	w.run()
	w.run()
	during := w.outlives(50, down, 6*time.Second, func() { away(w) }, func() { back(w) })
	// a nats-server that died does not know which messages it had handed out
	w.check(check{fault: fmt.Sprintf("%s, back after %s", fault, down), bound: 2 * underWay, unmarked: 2 * underWay, faults: []window{during}, recovery: again + slack()})
}

func TestF05KillingNATSForASecond(t *testing.T) {
	outage(t, "F05 kill -9 nats-server", time.Second, false, func(w *world) { w.nats.kill() }, (*world).startNATS)
}

func TestF05KillingNATSForHalfAMinute(t *testing.T) {
	outage(t, "F05 kill -9 nats-server", 30*time.Second, false, func(w *world) { w.nats.kill() }, (*world).startNATS)
}

func TestF06KillingPostgresForASecond(t *testing.T) {
	outage(t, "F06 kill -9 Postgres", time.Second, true, (*world).killPostgres, (*world).startPostgres)
}

func TestF06KillingPostgresForLong(t *testing.T) {
	outage(t, "F06 kill -9 Postgres", seconds(30, 600), true, (*world).killPostgres, (*world).startPostgres)
}

func TestF12NATSDownForLong(t *testing.T) {
	outage(t, "F12 nats-server down", seconds(60, 600), false, func(w *world) { w.nats.kill() }, (*world).startNATS)
}

// cut runs a partition between one of two workers and a server.
func cut(t *testing.T, fault string, toNATS bool, down time.Duration, away, back func(p *proxy)) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: 50 * time.Millisecond} })
	var p *proxy
	if toNATS {
		p = newProxy(t, w.natsURL()[len("nats://"):], true)
		w.run("WHISPERER_NATS_URL=nats://" + p.at)
	} else {
		database, err := url.Parse(w.pg.URL("postgres"))
		require.NoError(t, err)
		p = newProxy(t, database.Host, false)
		database.Host = p.at
		w.run("WHISPERER_DATABASE_URL=" + database.String())
	}
	w.run()
	during := w.outlives(40, down, 8*time.Second, func() { away(p) }, func() { back(p) })
	// attempts whose outcome the worker cannot report fill its slots, and one more event per hook waits; on a busy machine,
	// slow attempts have given their slots to as many others
	w.check(check{fault: fault, bound: 2*underWay + hooks, faults: []window{during}, recovery: again + slack()})
}

func TestF08APartitionBetweenAWorkerAndNATS(t *testing.T) {
	cut(t, "F08 worker cut off NATS, both ways", true, seconds(30, 60), func(p *proxy) { p.cut(true, true) }, (*proxy).mend)
}

func TestF08AWorkerThatNATSDoesNotHear(t *testing.T) {
	cut(t, "F08 worker not heard by NATS", true, seconds(30, 60), func(p *proxy) { p.cut(true, false) }, (*proxy).mend)
}

func TestF08AWorkerThatDoesNotHearNATS(t *testing.T) {
	cut(t, "F08 worker does not hear NATS", true, seconds(30, 60), func(p *proxy) { p.cut(false, true) }, (*proxy).mend)
}

func TestF08ResetConnectionsToNATS(t *testing.T) {
	cut(t, "F08 connections to NATS reset, 20 times", true, 0, func(p *proxy) {
		for range 20 {
			p.reset()
			<-time.After(500 * time.Millisecond)
		}
	}, func(*proxy) {})
}

func TestF09APartitionBetweenAWorkerAndPostgres(t *testing.T) {
	cut(t, "F09 worker cut off Postgres", false, seconds(30, 60), func(p *proxy) { p.cut(true, true) }, (*proxy).mend)
}

func TestF13BothDownAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.goodHooks(hooks)
	w.nats.kill()
	w.killPostgres()
	began := time.Now()
	one, two := w.start(), w.start()
	w.lasts(5 * time.Second)
	require.True(t, one.alive() && two.alive(), "a worker waits for what it depends on")
	w.startNATS()
	w.lasts(2 * time.Second)
	w.startPostgres()
	ended := time.Now()
	one.awaitReady(t, patience)
	two.awaitReady(t, patience)
	stop := w.load(50, 1)
	w.lasts(3 * time.Second)
	stop()
	w.check(check{fault: "F13 start without NATS and Postgres", bound: 0, faults: []window{{began, ended}}})
}
