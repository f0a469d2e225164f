//go:build faults

package faults_test

import (
	"flag"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

var (
	soakFor  = flag.Duration("soak", time.Minute, "how long F23 goes on")
	soakRate = flag.Int("rate", 100, "events a second in F23")
)

// soak is a world in which faults happen again and again.
type soak struct {
	*world
	faults []window
	counts map[string]int
	// bound is the number of deliveries that may have been in flight when workers and nats-server died.
	bound int
}

const (
	soakWorkers = 3
	// flat is the maximum growth of a worker's memory in ten minutes, in KiB.
	flat = 1 << 10
)

// happen returns the faults of a soak. Each function causes the fault and ends it.
func (s *soak) happen() map[string]func() {
	return map[string]func(){
		"worker killed": func() {
			s.victim().kill()
			s.bound += concurrency
			s.run()
		},
		"worker restarted": func() {
			s.run()
			s.victim().stop(s.t)
		},
		"worker asleep": func() {
			victim := s.victim()
			victim.signal(syscall.SIGSTOP)
			s.bound += concurrency
			s.lasts(20 * time.Second)
			victim.signal(syscall.SIGCONT)
		},
		"NATS killed": func() {
			s.nats.kill()
			s.bound += soakWorkers * concurrency
			s.lasts(s.between(500*time.Millisecond, 5*time.Second))
			s.startNATS()
		},
		"Postgres killed": func() {
			s.killPostgres()
			s.lasts(s.between(500*time.Millisecond, 5*time.Second))
			s.startPostgres()
		},
	}
}

// victim returns a random worker other than the first, whose memory is watched.
func (s *soak) victim() *process {
	others := s.alive()[1:]
	return others[s.chance.IntN(len(others))]
}

func TestF23ASoakWithFaults(t *testing.T) {
	t.Parallel()
	s := &soak{world: newWorld(t, true), counts: map[string]int{}}
	s.goodHooks(1)
	s.receiver.reacts(func(string, int) testenv.Answer { return testenv.Answer{Delay: 10 * time.Millisecond} })
	for range soakWorkers {
		s.run()
	}
	memory := s.watch(s.workers[0])
	pause := min(max(*soakFor/100, 2*time.Second), 40*time.Second)
	stop := s.load(*soakRate, max(1, *soakRate/10))
	until := time.Now().Add(*soakFor)
	s.lasts(pause)
	happen := s.happen()
	names := []string{"worker killed", "worker restarted", "worker asleep", "NATS killed", "Postgres killed"}
	for time.Now().Before(until) {
		s.chance.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			if len(s.counts) == len(names) && time.Now().After(until) { // each fault has happened
				break
			}
			began := time.Now()
			happen[name]()
			s.faults = append(s.faults, window{began, time.Now()})
			s.counts[name]++
			s.lasts(s.between(pause, 2*pause))
			t.Logf("%s; %d events, %d requests; a worker has %d KiB", name, s.events.len(), s.receiver.ledger.len(), memory.last())
		}
	}
	stop()
	growth := memory.stop()
	if *soakFor > 30*time.Minute && growth > flat {
		t.Errorf("a worker grows by %.0f KiB in ten minutes", growth)
	}
	// a fault may hit what the previous one left
	s.check(check{
		fault: "F23 soak of " + short(*soakFor), bound: s.bound, unmarked: s.bound, faults: s.faults, recovery: 2*again + slack(), settle: 5 * time.Minute,
		note: fmt.Sprintf("%s; a worker's memory grows by %.0f KiB in 10 min, to", strings.Trim(fmt.Sprint(s.counts), "map[]"), growth),
	})
}

// samples is a process's memory over time.
type samples struct {
	at      []time.Duration
	kib     []int
	ask     chan chan int
	quit    chan struct{}
	stopped chan struct{}
}

// watch measures the process's memory until it is stopped.
func (w *world) watch(p *process) *samples {
	m := &samples{ask: make(chan chan int), quit: make(chan struct{}), stopped: make(chan struct{})}
	began := time.Now()
	go func() {
		defer close(m.stopped)
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		for {
			now := p.status("VmRSS")
			select {
			case <-tick.C:
				m.at, m.kib = append(m.at, time.Since(began)), append(m.kib, now)
			case answer := <-m.ask:
				answer <- now
			case <-m.quit:
				return
			}
		}
	}()
	return m
}

func (m *samples) last() int {
	answer := make(chan int)
	m.ask <- answer
	return <-answer
}

// stop ends the measurement, and returns the growth of the memory in ten minutes in KiB: the slope of the regression line
// through all samples but the first third, during which caches fill.
func (m *samples) stop() float64 {
	close(m.quit)
	<-m.stopped
	at, kib := m.at[len(m.at)/3:], m.kib[len(m.kib)/3:]
	var x, y, xx, xy float64
	for i := range at {
		minutes, size := at[i].Minutes(), float64(kib[i])
		x, y, xx, xy = x+minutes, y+size, xx+minutes*minutes, xy+minutes*size
	}
	n := float64(len(at))
	if n < 2 {
		return 0
	}
	return 10 * (n*xy - x*y) / (n*xx - x*x)
}
