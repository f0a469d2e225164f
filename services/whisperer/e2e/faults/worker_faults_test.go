//go:build faults

package faults_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// seconds returns the time for the smoke set or for the full set.
func seconds(smoke, whole int) time.Duration {
	if *full {
		smoke = whole
	}
	return time.Duration(smoke) * time.Second
}

func TestF01KillingWorkersMidDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: time.Second} })
	for range 3 {
		w.run()
	}
	stop := w.load(25, 1)
	w.lasts(4 * time.Second)
	began := time.Now()
	const kills = 10
	for range kills {
		require.Eventually(t, func() bool { return w.receiver.InFlight() >= underWay/2 }, patience, time.Millisecond)
		alive := w.alive()
		alive[w.chance.IntN(len(alive))].kill()
		w.run()
		w.lasts(w.between(500*time.Millisecond, 2*time.Second))
	}
	ended := time.Now()
	w.lasts(2 * time.Second)
	stop()
	// a worker that drains a backlog leaves no trace of the attempts during which it dies
	w.check(check{fault: "F01 kill -9 a worker, 10 times", bound: kills * underWay, unmarked: kills * underWay / 4, faults: []window{{began, ended}}, recovery: again + slack(), repeat: again + slack()})
}

func TestF02KillingAWorkerBeforeItCanTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	net := newProxy(t, w.natsURL()[len("nats://"):], true)
	victim := w.run("WHISPERER_NATS_URL=nats://" + net.at)
	net.lose(func(subject string, _ []byte) bool { return strings.HasPrefix(subject, "ledger.") })
	began := time.Now()
	const events = 10
	for n := range events {
		require.NoError(t, w.publish(t.Context(), event(fmt.Sprintf("e-%d", n), "", "{}")))
	}
	require.Eventually(t, func() bool { return w.receiver.ledger.len() == events*hooks }, patience, time.Millisecond)
	victim.kill()
	ended := time.Now()
	w.run()
	w.check(check{fault: "F02 kill between answer and record", bound: events * hooks, faults: []window{{began, ended}}, repeat: again + slack()})
	for _, d := range w.history().deliveries {
		_, attempts, err := w.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 2)
		require.Equal(t, webhook.Unknown, attempts[0].Outcome)
		require.Equal(t, webhook.Succeeded, attempts[1].Outcome)
	}
}

func TestF02KillingTheSuccessorToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	killed := make(chan struct{}) // nothing is answered until then
	answers := sync.OnceFunc(func() { close(killed) })
	t.Cleanup(answers)
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Hold: killed} })
	began := time.Now()
	for round := 1; round <= 2; round++ {
		victim := w.run()
		if round == 1 {
			require.NoError(t, w.publish(t.Context(), event("e-1", "", "{}")))
		}
		require.Eventually(t, func() bool { return w.receiver.ledger.len() == round*hooks }, patience, time.Millisecond)
		w.lasts(time.Second) // the worker has published everything before the answer comes
		victim.kill()
	}
	answers()
	ended := time.Now()
	w.run()
	w.check(check{fault: "F02 kill the successor mid-delivery too", bound: 2 * hooks, faults: []window{{began, ended}}, recovery: again + slack(), repeat: again + slack()})
}

// acks reports whether a message is a worker's acknowledgement, rather than a sign of progress.
func acks(subject string, payload []byte) bool {
	return strings.HasPrefix(subject, "$JS.ACK.") && (len(payload) == 0 || string(payload) == "+ACK")
}

func TestF03KillingAWorkerBetweenRecordAndAck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	var failing atomic.Bool
	w.receiver.reacts(func(_ string, n int) testenv.Answer {
		if failing.Load() && n%5 == 0 { // retries lose their acks, too
			return testenv.Answer{Status: http.StatusServiceUnavailable}
		}
		return testenv.Answer{}
	})
	failing.Store(true)
	net := newProxy(t, w.natsURL()[len("nats://"):], true)
	victim := w.run("WHISPERER_NATS_URL=nats://" + net.at)
	var lost atomic.Int64
	net.lose(func(subject string, payload []byte) bool {
		if !acks(subject, payload) || strings.HasPrefix(subject, "$JS.ACK.LEDGER.") || strings.Contains(subject, "event-recorder") {
			return false
		}
		lost.Add(1)
		return true
	})
	stop := w.load(50, 1)
	require.Eventually(t, func() bool { return lost.Load() > 200 }, patience, 20*time.Millisecond)
	stop()
	w.settled(patience)
	began := time.Now()
	victim.kill()
	ended := time.Now()
	w.run()
	w.lasts(again) // all are redelivered
	w.check(check{fault: "F03 kill between record and ack", bound: 0, faults: []window{{began, ended}}, note: fmt.Sprintf("%d acks lost,", lost.Load())})
}

func TestF14RollingRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: 20 * time.Millisecond} })
	for range 3 {
		w.run()
	}
	stop := w.load(100, 1)
	w.lasts(5 * time.Second)
	began := time.Now()
	for _, p := range w.alive() {
		w.run()
		p.stop(t)
	}
	ended := time.Now()
	w.lasts(4 * time.Second)
	stop()
	w.check(check{fault: "F14 rolling restart of 3 workers", bound: 0, faults: []window{{began, ended}}, recovery: 2*time.Second + slack()})
}

func TestF15ScalingFrom1To8To2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: 20 * time.Millisecond} })
	first := w.run()
	stop := w.load(60, 1)
	w.lasts(5 * time.Second)
	began := time.Now()
	for range 7 {
		w.start()
	}
	for _, p := range w.alive() {
		p.awaitReady(t, 60*time.Second)
	}
	w.lasts(seconds(5, 20))
	for _, p := range w.alive()[:6] {
		p.stop(t)
	}
	ended := time.Now()
	require.False(t, first.alive())
	w.lasts(5 * time.Second)
	stop()
	w.check(check{fault: "F15 scale 1 to 8 to 2 workers", bound: 0, faults: []window{{began, ended}}, recovery: 5*time.Second + slack()})
}

func TestF16AWorkerThatSleepsAndWakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: 100 * time.Millisecond} })
	zombie := w.run()
	w.run()
	stop := w.load(40, 1)
	w.lasts(5 * time.Second)
	w.catchesUp()
	began := time.Now()
	zombie.signal(syscall.SIGSTOP)
	w.lasts(seconds(45, 60))
	zombie.signal(syscall.SIGCONT)
	ended := time.Now()
	w.lasts(10 * time.Second)
	stop()
	// deliveries in flight are repeated by the other worker, but messages on their way to the stopped one are not
	w.check(check{fault: "F16 SIGSTOP a worker, SIGCONT", bound: underWay, faults: []window{{began, ended}}, recovery: again + slack()})
	var failed int
	require.NoError(t, testenv.Plain(t, w.pg.URL("postgres")).QueryRowContext(t.Context(), `SELECT count(*) FROM attempts WHERE outcome = 'failed'`).Scan(&failed))
	require.Zero(t, failed, "that a worker slept through an answer is not the receiver's failure")
}
