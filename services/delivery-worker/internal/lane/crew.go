package lane

import "sync/atomic"

// crewSize is how many goroutines wait for work at most.
const crewSize = 256

// crew are goroutines that have worked before: their stacks have grown to what an attempt needs, which would cost more than
// the goroutine itself.
type crew struct {
	jobs chan func()
	idle atomic.Int32
	over chan struct{} // closed when nobody is to wait any more
}

func newCrew() *crew { return &crew{jobs: make(chan func()), over: make(chan struct{})} }

// run does the job on a goroutine of the crew, or on one that joins it.
func (c *crew) run(job func()) {
	select {
	case c.jobs <- job:
	default:
		go c.work(job)
	}
}

func (c *crew) work(job func()) {
	for {
		job()
		if c.idle.Add(1) > crewSize {
			c.idle.Add(-1)
			return
		}
		select {
		case job = <-c.jobs:
			c.idle.Add(-1)
		case <-c.over:
			return
		}
	}
}
