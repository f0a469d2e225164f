package bench

import (
	"maps"
	"sync"
	"time"
)

// Names of processes in the figures.
const (
	processWorker    = "worker"
	processPostgres  = "postgres"
	processNATS      = "nats"
	processAPI       = "api"
	processPublisher = "publisher"
	processReceiver  = "receiver"
	processClient    = "client"
)

// lookEvery is the interval of reading memory usage.
const lookEvery = 250 * time.Millisecond

// meter measures the resources that processes use from its start to its end.
type meter struct {
	processes map[string][]process
	before    map[string]time.Duration
	busy      time.Duration

	quit chan struct{}
	done sync.WaitGroup
	peak map[string]int64
}

// used is what a meter has measured.
type used struct {
	cpu map[string]time.Duration
	// peak is the maximum memory, in bytes.
	peak map[string]int64
	// others is the share of the machine's CPU time that other programs used.
	others float64
}

// startMeter starts to measure; processes are grouped by the name of their figure.
func startMeter(processes map[string][]process) *meter {
	m := &meter{processes: processes, quit: make(chan struct{}), peak: map[string]int64{}}
	m.before, m.busy = m.cpu(), busy()
	m.done.Go(func() {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			m.remember()
			select {
			case <-look.C:
			case <-m.quit:
				return
			}
		}
	})
	return m
}

func (m *meter) cpu() map[string]time.Duration {
	cpu := map[string]time.Duration{}
	for name, all := range m.processes {
		cpu[name] = cpuOf(all)
	}
	return cpu
}

func (m *meter) remember() {
	for name, all := range m.processes {
		m.peak[name] = max(m.peak[name], memoryOf(all))
	}
}

// stop ends the measurement.
func (m *meter) stop() used {
	u := used{cpu: m.cpu()}
	all := busy() - m.busy
	close(m.quit)
	m.done.Wait()
	m.remember()
	var ours time.Duration
	for name, before := range m.before {
		u.cpu[name] -= before
		ours += u.cpu[name]
	}
	u.peak = maps.Clone(m.peak)
	if all > 0 {
		u.others = max(0, float64(all-ours)/float64(all))
	}
	return u
}
